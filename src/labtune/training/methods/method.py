"""What a tuning method decides: which weights are trained, what is kept of them, and what is shipped."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from labtune.config.lab import TrainConfig
from labtune.models.blueprint import Blueprint
from labtune.models.hf import load_weights

Weights = dict[str, torch.Tensor]
"""Tensors by their names in the student's own `state_dict`."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """What a method has to go by."""

    student: Path
    config: TrainConfig
    device: torch.device
    seed: int


class Method(ABC):
    """One way to tune a student. Each phase begins with the best weights of the phase before."""

    shares_weights = True
    """Whether copies of the model that share its weights may train side by side (`train.replicas`)."""

    def __init__(self, tuning: Tuning) -> None:
        self._tuning = tuning
        self._blueprint: Blueprint | None = None

    @abstractmethod
    def begin(self, best: Path | None) -> Any:
        """The model that a phase trains, on the CPU unless it is quantised.

        Args:
            best: what `keep` wrote at the best step of the phase before; None = the student as it is.

        Raises:
            ModelError: the student or the kept weights cannot be loaded.
        """

    @abstractmethod
    def keep(self, folder: Path, model: Any) -> None:
        """Write what `begin` needs of a model in training; `folder` is there and empty."""

    def finished(self, best: Path) -> Any:
        """The plain model of what `keep` wrote, weights as they are shipped or more precise."""
        return self.shipped(self.begin(best))

    @abstractmethod
    def plain_weights(self, model: Any) -> Weights:
        """The weights of a model in training without a trace of the method, not yet rounded.

        Tensors may be those of the model: they are to be read, not changed.
        """

    def resume_weights(self, model: Any) -> Weights | None:
        """What a resume point must hold to go on bitwise; None = all, as transformers saves a model."""
        return None

    def bind(self, optimizer: torch.optim.Optimizer, model: Any) -> None:  # noqa: B027
        """Register what the method does after each step of the optimiser; most do nothing."""

    def shipped(self, model: Any) -> Any:
        """A plain model, apart from `model`, with the weights that would be shipped: rounded to bf16."""
        plain, weights = self.plain_weights(model), {}
        for name in list(plain):
            # One by one, so that merged weights are not held twice.
            value = plain.pop(name)
            weights[name] = value.detach().bfloat16().float() if value.is_floating_point() else value.clone()
        return self.blueprint.build(weights)

    @property
    def device(self) -> torch.device:
        """Where the student is trained."""
        return self._tuning.device

    @property
    def blueprint(self) -> Blueprint:
        """How the student is built; known from the first `begin` on."""
        assert self._blueprint is not None, "begin comes first"
        return self._blueprint

    def _load(self, folder: Path, **settings: Any) -> Any:
        model = load_weights(folder, **settings)
        if self._blueprint is None:
            self._blueprint = Blueprint.of(model)
        return model
