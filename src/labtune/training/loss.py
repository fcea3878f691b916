"""The loss of packed rows: attention row by row, projection only where a token is trained, no logits kept.

Legend: T tokens, N trained tokens, V vocabulary.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from labtune.models.head import can_project_later, chunked_loss, forward_of, project_later, project_only
from labtune.training import attention, llama
from labtune.training.rows import IGNORED


class PackedLoss:
    """Forward pass and cross entropy (nats, summed over the trained tokens) of one line of rows.

    Args:
        model: will attend row by row from now on.
        within: project inside the model's own forward, as weights that processes share out require.
    """

    def __init__(self, model: Any, *, within: bool = False) -> None:
        self._later = not within and can_project_later(model)
        self._llama = self._later and llama.fits(model)
        model.set_attn_implementation(attention.register())

    def __call__(self, model: Any, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, int, Any]:
        """The loss, the number of trained tokens N, and what the model gave.

        Args:
            model: the model or a copy of it, wrapped or not.
            inputs: `input_ids`, `labels` and `position_ids`, each (1, T); a row begins at each position 0.
        """
        labels_1T = inputs["labels"]
        predicts_1T = torch.zeros_like(labels_1T, dtype=torch.bool)
        predicts_1T[:, :-1] = labels_1T[:, 1:] != IGNORED
        targets_N = labels_1T[:, 1:][predicts_1T[:, :-1]]
        inner = getattr(model, "module", model)
        with self._projecting(inner, predicts_1T):
            out = model(
                input_ids=inputs["input_ids"],
                position_ids=inputs["position_ids"],
                use_cache=False,
                rows=attention.RowLayout.of(inputs["position_ids"][0]),
            )
        if self._later:
            total = chunked_loss(out.logits, inner.get_output_embeddings(), targets_N)
        else:
            total = cross_entropy(out.logits.float(), targets_N, reduction="sum")
        return total, targets_N.numel(), out

    def _projecting(self, model: Any, predicts_1T: torch.Tensor) -> AbstractContextManager[None]:
        if self._llama and not model.is_activation_checkpointing:
            return forward_of(model, llama.Forward(model, predicts_1T))
        return project_later(model, predicts_1T) if self._later else project_only(model, predicts_1T)
