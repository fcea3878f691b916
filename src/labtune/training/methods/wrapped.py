"""What methods that wrap a student's linear layers share: which layers, and the plain weights below."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from peft import inject_adapter_in_model
from peft.tuners.tuners_utils import BaseTunerLayer

from labtune.errors import ConfigError
from labtune.models.quiet import no_warnings
from labtune.training.methods.method import Method, Weights

NAME = "default"
"""The one adapter that a model has here."""

_READ_PAST = (".mamba.out_proj",)
"""Layers whose weight a fused kernel takes without calling them: what wraps them would never be trained."""


class Wrapped(Method):
    """A method of the library peft: linear layers are wrapped, and only what the wrapper adds is trained."""

    def resume_weights(self, model: Any) -> Weights:
        """What is trained."""
        return {name: weight.detach() for name, weight in model.named_parameters() if weight.requires_grad}

    def plain_weights(self, model: Any) -> Weights:
        """The student's weights with what the wrappers add merged in, in fp32."""
        layers = _wrappers(model)
        plain: Weights = {}
        with torch.no_grad():
            for name, value in model.state_dict().items():
                owner = next((layer for layer in layers if name.startswith(f"{layer}.")), None)
                if owner is None:
                    plain[name] = value
                elif name == f"{owner}.base_layer.weight":
                    plain[f"{owner}.weight"] = self.merged(layers[owner])
                elif name == f"{owner}.base_layer.bias":
                    plain[f"{owner}.bias"] = value
        return plain

    @abstractmethod
    def merged(self, layer: Any) -> torch.Tensor:
        """The weight of a wrapped layer with what the wrapper adds, fp32."""


def wrap(model: Any, settings: Any) -> Any:
    """`model` with layers wrapped as peft's `settings` say; only what that adds is trained, in fp32."""
    with no_warnings():
        wrapped = inject_adapter_in_model(settings, model, adapter_name=NAME)
    for weight in wrapped.parameters():
        if weight.requires_grad:
            weight.data = weight.data.float()
    return wrapped


def linear_layers(model: Any, wanted: Sequence[str] = ()) -> list[str]:
    """Full names of the linear layers to wrap: those called `wanted`, or all but the output layer.

    Raises:
        ConfigError: no layer has a wanted name.
    """
    output = model.get_output_embeddings()
    found = [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not output and not name.endswith(_READ_PAST)
    ]
    last = {name.rpartition(".")[2] for name in found}
    if unknown := sorted(set(wanted) - last):
        raise ConfigError(
            f"train.lora.targets: the student has no linear layer {unknown[0]!r}",
            hint=f"it has {', '.join(sorted(last))}",
        )
    return [name for name in found if not wanted or name.rpartition(".")[2] in wanted]


def _wrappers(model: Any) -> dict[str, Any]:
    return {name: module for name, module in model.named_modules() if isinstance(module, BaseTunerLayer)}
