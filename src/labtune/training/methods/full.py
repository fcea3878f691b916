"""Method full: every weight is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from labtune.models.hf import load_weights
from labtune.models.quiet import no_warnings
from labtune.training.methods.method import Method, Weights
from labtune.training.optimizer import pull_back


class Full(Method):
    """All weights, in fp32."""

    def begin(self, best: Path | None) -> Any:
        """The student, or the kept model."""
        return self._load(best or self._tuning.student)

    def keep(self, folder: Path, model: Any) -> None:
        """All weights, in full precision."""
        with no_warnings():
            model.save_pretrained(folder)

    def finished(self, best: Path) -> Any:
        """The kept model."""
        return load_weights(best)

    def plain_weights(self, model: Any) -> Weights:
        """The weights themselves."""
        weights: Weights = model.state_dict()
        return weights

    def bind(self, optimizer: torch.optim.Optimizer, model: Any) -> None:
        """Draw the weights back to the student's own, if the settings say so."""
        if strength := self._tuning.config.pull_back:
            pull_back(optimizer, model, load_weights(self._tuning.student), strength)
