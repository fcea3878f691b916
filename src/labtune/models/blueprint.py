"""What a plain model is made of besides its weights, so that it can be put together again around others.

While a student is tuned, its weights are wrapped, rounded or shared; what is examined and shipped is a model
of the student's own class around the resulting weights. Building it this way needs neither the files nor a
second copy of the weights.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True, slots=True)
class Blueprint:
    """Class, settings and computed buffers of a model."""

    kind: type
    config: Any
    generation_config: Any
    buffers: Mapping[str, torch.Tensor]

    @classmethod
    def of(cls, model: Any) -> Blueprint:
        """Read off a model as it was loaded, before anything wraps it."""
        config = copy.deepcopy(model.config)
        if hasattr(config, "quantization_config"):
            del config.quantization_config
        stored = model.state_dict().keys()
        buffers = {name: value.clone() for name, value in model.named_buffers() if name not in stored}
        return cls(type(model), config, copy.deepcopy(model.generation_config), buffers)

    def build(self, state: Mapping[str, torch.Tensor]) -> Any:
        """A model in evaluation mode that holds the very tensors of `state`, named as in `state_dict`."""
        with torch.device("meta"):
            model = self.kind(copy.deepcopy(self.config))
        model.load_state_dict(state, assign=True)
        device = next(model.parameters()).device
        for name, value in self.buffers.items():
            owner, _, last = name.rpartition(".")
            model.get_submodule(owner).register_buffer(last, value.to(device), persistent=False)
        model.tie_weights()
        model.generation_config = copy.deepcopy(self.generation_config)
        return model.requires_grad_(False).eval()
