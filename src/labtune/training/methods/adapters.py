"""Methods lora, dora and qlora: the student stays as it is, low-rank adapters beside its layers are trained.

Sources: LoRA (Hu et al. 2021, arXiv 2106.09685), DoRA (Liu et al. 2024, arXiv 2402.09353), QLoRA (Dettmers
et al. 2023, arXiv 2305.14314). One adapter goes through all phases: what is shipped differs from the student
by a matrix of one rank, and a 4-bit student is never rounded again (docs/methods.md).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils.integrations import dequantize_module_weight
from transformers import BitsAndBytesConfig

from labtune.training.methods.method import Tuning, Weights
from labtune.training.methods.weights import load_weights_into, save_weights
from labtune.training.methods.wrapped import NAME, Wrapped, linear_layers, wrap


class Adapters(Wrapped):
    """Low-rank adapters beside linear layers."""

    def __init__(self, tuning: Tuning) -> None:
        super().__init__(tuning)
        # Side by side, threads would draw what is left out in an order of their own.
        self.shares_weights = not tuning.config.lora.dropout

    def begin(self, best: Path | None) -> Any:
        """The student with a fresh adapter that adds nothing yet, or with the kept one."""
        tuning, settings = self._tuning, self._tuning.config.lora
        model = self._load(tuning.student, **self._storage())
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(tuning.seed)
            model = wrap(
                model,
                LoraConfig(
                    r=settings.rank,
                    lora_alpha=settings.alpha,
                    lora_dropout=settings.dropout,
                    target_modules=linear_layers(model, settings.targets),
                    use_dora=tuning.config.method == "dora",
                ),
            )
        if best is not None:
            load_weights_into(self.resume_weights(model), best)
        return model

    def keep(self, folder: Path, model: Any) -> None:
        """The adapter alone."""
        save_weights(folder, self.resume_weights(model))

    def merged(self, layer: Any) -> torch.Tensor:
        """Weight plus adapter; of a 4-bit layer, the weight that training computed with."""
        weight = dequantize_module_weight(layer.get_base_layer()).detach().float()
        changed: torch.Tensor = weight + layer.get_delta_weight(NAME)
        if NAME in layer.lora_magnitude_vector:
            length = torch.linalg.norm(changed, dim=1, keepdim=True)
            changed *= layer.lora_magnitude_vector[NAME].weight.view(-1, 1) / length
        return changed

    def plain_weights(self, model: Any) -> Weights:
        """As of any wrapped model; 4-bit layers without an adapter are unpacked, too."""
        plain = super().plain_weights(model)
        return unpacked(model, plain) if self._tuning.config.method == "qlora" else plain

    def _storage(self) -> dict[str, Any]:
        """How the weights that are not trained are held."""
        config, device = self._tuning.config, self._tuning.device
        if config.method == "qlora":
            return {"dtype": "bf16", "quantization_config": nf4(), "device_map": {"": device}}
        # A frozen weight needs no more digits than the products are computed with.
        return {"dtype": "bf16" if config.precision == "bf16" and device.type == "cuda" else "fp32"}


def nf4() -> Any:
    """4-bit NormalFloat weights with quantised constants, products in bf16 (QLoRA, sections 3 and 4)."""
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


def unpacked(model: Any, plain: Weights) -> Weights:
    """`plain` without the packed tensors of 4-bit layers, and with their weights in their place."""
    packed = {
        name: module
        for name, module in model.named_modules()
        if type(module).__name__ == "Linear4bit"
        # peft's wrapper has the same name as the layer within.
        and not isinstance(module, BaseTunerLayer)
        and not name.endswith(".base_layer")
    }
    kept = {
        name: value
        for name, value in plain.items()
        if not any(name.startswith(f"{layer}.weight") for layer in packed)
    }
    weights = {f"{name}.weight": dequantize_module_weight(module) for name, module in packed.items()}
    return kept | weights
