"""Method osft: each matrix is trained only outside of its largest singular directions.

Source: Sculpting Subspaces (Nayak et al. 2025, arXiv 2504.07097). peft's OSF decomposes the matrices and
projects the gradients. That is not enough: Adam divides a gradient element by element, and the step it makes
has a part within the protected directions again. So the trained factors are projected once more after each
step. Each phase decomposes the weights that the phase before ended with.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from peft import OSFConfig

from labtune.models.hf import load_weights
from labtune.models.quiet import no_warnings
from labtune.training.methods.method import Weights
from labtune.training.methods.osft_layer import OsftLinear
from labtune.training.methods.wrapped import Wrapped, linear_layers, wrap


class Osft(Wrapped):
    """Orthogonal subspace fine-tuning, in fp32."""

    # peft projects gradients where they arrive, which is only at the first of several copies.
    shares_weights = False

    def begin(self, best: Path | None) -> Any:
        """The student, or the kept model, decomposed."""
        model = self._load(best or self._tuning.student)
        if self._tuning.device.type == "cuda":
            # There a decomposition takes a fraction of the time; Apple's GPUs have none.
            model = model.to(self._tuning.device)
        return decompose(model, self._tuning.config.osft.preserve)

    def keep(self, folder: Path, model: Any) -> None:
        """A plain model in full precision."""
        weights = {name: value.detach().cpu() for name, value in self.plain_weights(model).items()}
        with no_warnings():
            self.blueprint.build(weights).save_pretrained(folder)

    def finished(self, best: Path) -> Any:
        """The kept model."""
        return load_weights(best)

    def merged(self, layer: Any) -> torch.Tensor:
        """What the layer computes with."""
        weight: torch.Tensor = layer.whole_weight()
        return weight

    def resume_weights(self, model: Any) -> Weights:
        """The trained factors, and those they began with: a decomposition is not unique."""
        frozen = {
            f"{name}.{part}": value
            for name, layer in osft_layers(model).items()
            for part, value in layer.frozen().items()
        }
        return super().resume_weights(model) | frozen

    def bind(self, optimizer: torch.optim.Optimizer, model: Any) -> None:
        """Project the factors after each step."""
        layers = osft_layers(model)

        def project(*_: Any) -> None:
            for layer in layers.values():
                layer.project()

        optimizer.register_step_post_hook(project)


def decompose(model: Any, preserve: float) -> Any:
    """Wrap the linear layers of `model` so that `preserve` of each one's singular directions stay.

    At least one direction is protected and one trained; a layer with a single one is left alone.
    """
    ranks = {
        name: min(smaller - 1, max(1, int(preserve * smaller)))
        for name in linear_layers(model)
        if (smaller := min(model.get_submodule(name).weight.shape)) > 1
    }
    settings = OSFConfig(
        target_modules=list(ranks),
        rank_pattern={f"^{re.escape(name)}$": rank for name, rank in ranks.items()},
    )
    model = wrap(model, settings)
    for name in ranks:
        layer = model.get_submodule(name)
        # peft offers no place to name a class of one's own for its layers.
        layer.__class__ = OsftLinear
        layer.take_apart()
    return model


def osft_layers(model: Any) -> dict[str, OsftLinear]:
    """The decomposed layers of a model by name."""
    return {name: module for name, module in model.named_modules() if isinstance(module, OsftLinear)}
