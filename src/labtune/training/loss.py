"""The loss of packed rows: attention row by row, projection only where a token is trained, no logits kept.

A batch is one line of rows (1, T). Models whose layers look back through attention alone take it as it is.
Models that carry a state from token to token (Mamba and other linear attention) would carry it over from row
to row; for them the line is cut, and rows of like length are put one below the other.

Legend: T tokens, R rows, L longest row, N trained tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence

from labtune.models.head import can_project_later, chunked_loss, forward_of, project_later, project_only
from labtune.training import attention, llama
from labtune.training.packing import cut_alike
from labtune.training.rows import IGNORED

_STATEFUL = ("mamba", "linear", "conv", "recurrent", "rwkv", "ssm", "retention", "hybrid")
"""What configurations call layers that carry a state."""


def carries_state(config: Mapping[str, Any]) -> bool:
    """Whether a model of this config.json carries a state from token to token."""
    inner = config.get("text_config")
    text: Mapping[str, Any] = inner if isinstance(inner, Mapping) else config
    kinds = [*(text.get("layer_types") or ()), *(text.get("layers_block_type") or ())]
    named = [str(kind) for kind in kinds] or [str(text.get("model_type"))]
    return any(part in kind for kind in named for part in _STATEFUL)


def layers_of(model: Any) -> list[torch.nn.Module]:
    """The blocks that a model repeats; compiled one by one they share what is compiled."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    kinds = set(getattr(inner, "_no_split_modules", None) or ())
    return [module for module in inner.modules() if type(module).__name__ in kinds]


class PackedLoss:
    """Forward pass and cross entropy (nats, summed over the trained tokens) of one line of rows.

    Args:
        model: will attend row by row from now on, unless it carries a state.
        within: project inside the model's own forward, as weights that processes share out require.
        compiled: compile each layer at its first use.
    """

    def __init__(self, model: Any, *, within: bool = False, compiled: bool = False) -> None:
        self._within = within
        self._later = not within and can_project_later(model)
        self._apart = carries_state(model.config.to_dict())
        self._llama = self._later and llama.fits(model)
        if not self._apart:
            model.set_attn_implementation(attention.register())
        if compiled:
            for layer in layers_of(model):
                layer.compile()

    def __call__(self, model: Any, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, int, Any]:
        """The loss, the number of trained tokens N, and what the model gave last.

        Args:
            model: the model or a copy of it, wrapped or not.
            inputs: `input_ids`, `labels` and `position_ids`, each (1, T); a row begins at each position 0.
        """
        if not self._apart:
            rows = attention.RowLayout.of(inputs["position_ids"][0])
            return self._loss(model, inputs["labels"], inputs, {"rows": rows})
        total, trained, out = inputs["labels"].new_zeros((), dtype=torch.float32), 0, None
        for labels_RL, part in self._cut(inputs):
            loss, count, out = self._loss(model, labels_RL, part, {"attention_mask": part["attention_mask"]})
            total, trained = total + loss, trained + count
        return total, trained, out

    def _loss(
        self, model: Any, labels: torch.Tensor, inputs: dict[str, torch.Tensor], extra: dict[str, Any]
    ) -> tuple[torch.Tensor, int, Any]:
        predicts = torch.zeros_like(labels, dtype=torch.bool)
        predicts[:, :-1] = labels[:, 1:] != IGNORED
        targets_N = labels[:, 1:][predicts[:, :-1]]
        inner = getattr(model, "module", model)
        with self._projecting(inner, predicts):
            out = model(
                input_ids=inputs["input_ids"], position_ids=inputs["position_ids"], use_cache=False, **extra
            )
        if self._later:
            total = chunked_loss(out.logits, inner.get_output_embeddings(), targets_N)
        else:
            total = cross_entropy(out.logits.float(), targets_N, reduction="sum")
        return total, targets_N.numel(), out

    def _projecting(self, model: Any, predicts: torch.Tensor) -> AbstractContextManager[None]:
        if self._llama and not model.is_activation_checkpointing:
            return forward_of(model, llama.Forward(model, predicts))
        return project_later(model, predicts) if self._later else project_only(model, predicts)

    def _cut(self, inputs: dict[str, torch.Tensor]) -> Iterator[tuple[torch.Tensor, dict[str, torch.Tensor]]]:
        """Labels (R, L) and the model's inputs for rows of like length.

        Processes that share weights out have to make equally many calls, so there all rows go together.
        """
        positions_T = inputs["position_ids"][0]
        begins = (positions_T == 0).nonzero().flatten().tolist()
        lengths = [end - begin for begin, end in zip(begins, [*begins[1:], len(positions_T)], strict=True)]
        rows = {name: torch.split(values[0], lengths) for name, values in inputs.items()}
        for places in [list(range(len(lengths)))] if self._within else cut_alike(lengths):
            padded = {
                name: pad_sequence(
                    [rows[name][place] for place in places],
                    batch_first=True,
                    padding_value=IGNORED if name == "labels" else 0,
                )
                for name in ("input_ids", "labels", "position_ids")
            }
            sizes = torch.tensor([lengths[place] for place in places], device=positions_T.device)
            span = torch.arange(padded["labels"].shape[1], device=positions_T.device)
            padded["attention_mask"] = (span < sizes[:, None]).long()
            yield padded.pop("labels"), padded
