"""Training rows as tokens: one flat array of ids and one of labels, rows addressed by number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from labtune.artifact import Dataset
from labtune.errors import DataError, TrainingError
from labtune.models.template import render_batch
from labtune.types import Message

IGNORED = -100
"""Label of a token that the loss does not count."""

_BATCH = 4096


@dataclass(frozen=True, slots=True)
class TokenRows:
    """Rows `i` = `ids[starts[i]:starts[i + 1]]`; `too_long` rows were left out (an answer is never cut)."""

    ids: np.ndarray[Any, np.dtype[np.int32]]
    labels: np.ndarray[Any, np.dtype[np.int32]]
    starts: np.ndarray[Any, np.dtype[np.int64]]
    too_long: int
    first: tuple[Message, ...]

    @property
    def lengths(self) -> list[int]:
        """Tokens of each row."""
        lengths: list[int] = np.diff(self.starts).tolist()
        return lengths

    @property
    def trained(self) -> list[int]:
        """Tokens of each row that the loss counts."""
        counts: list[int] = np.add.reduceat(self.labels != IGNORED, self.starts[:-1]).tolist()
        return counts


def read_rows(dataset: Dataset, phase: str, tokenizer: Any, *, max_length: int) -> TokenRows:
    """Render and tokenise the rows of a phase.

    Raises:
        DataError: the phase has no rows, or a row has no answer.
        TrainingError: no row fits `max_length`.
    """
    rows = iter(dataset.rows(phase))
    ids: list[np.ndarray[Any, Any]] = []
    labels: list[np.ndarray[Any, Any]] = []
    too_long = 0
    first: tuple[Message, ...] = ()
    while batch := list(islice(rows, _BATCH)):
        first = first or batch[0].messages
        rendered = render_batch(tokenizer, [row.messages for row in batch])
        for row, (row_ids, mask) in zip(batch, rendered, strict=True):
            if not any(mask):
                raise DataError(f"{phase}.jsonl: row {row.id} has no assistant's answer to learn")
            if len(row_ids) > max_length:
                too_long += 1
                continue
            ids.append(np.array(row_ids, dtype=np.int32))
            labels.append(_labels(row_ids, mask))
    if not first:
        raise DataError(f"phase {phase} has no rows", hint="labtune mix")
    if not ids:
        raise TrainingError(
            f"no row of phase {phase} fits {max_length} tokens",
            hint="raise train.max_length or lower documents.chunk_tokens",
        )
    starts = np.cumsum([0, *(len(row) for row in ids)])
    return TokenRows(np.concatenate(ids), np.concatenate(labels), starts, too_long, first)


def _labels(ids: Sequence[int], mask: Sequence[int]) -> np.ndarray[Any, Any]:
    labels = np.where(np.array(mask, dtype=bool), np.array(ids, dtype=np.int32), IGNORED)
    # Nothing stands before the first token of a row, so nothing can predict it.
    labels[0] = IGNORED
    return labels.astype(np.int32)
