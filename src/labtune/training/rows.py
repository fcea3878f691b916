"""Training rows as tokens: one flat array of ids and one of labels, rows addressed by number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from labtune.artifact import Dataset
from labtune.errors import DataError, TrainingError
from labtune.models.masks import Tokens
from labtune.models.template import render_batch
from labtune.models.whole import render_texts, render_unmasked
from labtune.types import Message, TrainingRow

IGNORED = -100
"""Label of a token that the loss does not count."""

_BATCH = 4096


@dataclass(frozen=True, slots=True)
class TokenRows:
    """Rows `i` = `ids[starts[i]:starts[i + 1]]`; `too_long` rows were left out (an answer is never cut).

    `first` is the first chat of which only the answers are trained, of the lab's own if there is one; empty
    when there is none.
    """

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
    """Render and tokenise the rows of a phase; plain text that is too long is cut into several rows.

    Raises:
        DataError: the phase has no rows, or a row has no answer.
        TrainingError: no row fits `max_length`.
    """
    rows = iter(dataset.rows(phase))
    ids: list[np.ndarray[Any, Any]] = []
    labels: list[np.ndarray[Any, Any]] = []
    too_long = n_read = 0
    first: tuple[Message, ...] = ()
    own: tuple[Message, ...] = ()
    while batch := list(islice(rows, _BATCH)):
        n_read += len(batch)
        first = first or next((row.messages for row in batch if _is_example(row)), ())
        own = own or next((row.messages for row in batch if _is_example(row) and row.origin == "sample"), ())
        for row, (row_ids, mask) in zip(batch, _render(tokenizer, batch), strict=True):
            if not any(mask):
                raise DataError(f"{phase}.jsonl: row {row.id} has no assistant's answer to learn")
            if len(row_ids) > max_length and not row.text:
                too_long += 1
                continue
            # Even pieces: the rest of a cut at every max_length could be a single token.
            size = math.ceil(len(row_ids) / math.ceil(len(row_ids) / max_length))
            for start in range(0, len(row_ids), size):
                piece = slice(start, start + size)
                ids.append(np.array(row_ids[piece], dtype=np.int32))
                labels.append(_labels(row_ids[piece], mask[piece]))
    if not n_read:
        raise DataError(f"phase {phase} has no rows", hint="labtune mix")
    if not ids:
        raise TrainingError(
            f"no row of phase {phase} fits {max_length} tokens",
            hint="raise train.max_length or lower documents.chunk_tokens",
        )
    starts = np.cumsum([0, *(len(row) for row in ids)])
    return TokenRows(np.concatenate(ids), np.concatenate(labels), starts, too_long, own or first)


def _is_example(row: TrainingRow) -> bool:
    """Whether a row is a chat that reads as one: no noise in its question, only its answers trained."""
    return bool(row.messages) and not row.unmask and not row.metadata.get("noise")


def _render(tokenizer: Any, rows: Sequence[TrainingRow]) -> list[Tokens]:
    """Each row in its own way; the kinds are rendered in batches of their own."""
    texts = [row for row in rows if row.text]
    whole = [row for row in rows if row.unmask and not row.text]
    usual = [row for row in rows if not row.unmask and not row.text]
    rendered = {
        "text": iter(render_texts(tokenizer, [row.text for row in texts])),
        "unmask": iter(render_unmasked(tokenizer, [row.messages for row in whole])),
        "": iter(render_batch(tokenizer, [row.messages for row in usual])),
    }
    return [next(rendered["text" if row.text else "unmask" if row.unmask else ""]) for row in rows]


def _labels(ids: Sequence[int], mask: Sequence[int]) -> np.ndarray[Any, Any]:
    labels = np.where(np.array(mask, dtype=bool), np.array(ids, dtype=np.int32), IGNORED)
    # Nothing stands before the first token of a row, so nothing can predict it.
    labels[0] = IGNORED
    return labels.astype(np.int32)
