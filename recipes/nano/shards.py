"""Rows written once as token arrays, read back as batches of equal length."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from .mixture import stream
from .rows import TEXT, Row

MAX_TOKENS = 384
_SHARD_ROWS = 25_000


def render(row: Row) -> list[tuple[str, bool]]:
    """Pieces of the chat template with whether their tokens are trained."""
    pieces: list[tuple[str, bool]] = []
    for role, content in row.messages:
        if role == TEXT:
            pieces.append((f"{content}<|end|>", True))
        elif role == "system":
            pieces.append((f"<|system|>{content}<|end|>", False))
        elif role == "user":
            pieces.append((f"<|user|>{content}<|end|><|assistant|>", row.train_user))
        else:
            pieces.append((f"{content}<|end|>", True))
    return pieces


def build(tokenizer: Tokenizer, seed: int, tokens: int, folder: Path) -> int:
    """Write shards with at least `tokens` tokens; finished shards are kept. Returns the tokens written."""
    folder.mkdir(parents=True, exist_ok=True)
    total = 0
    for number in itertools.count():
        if total >= tokens:
            return total
        path = folder / f"{number:04d}.npz"
        if path.exists():
            with np.load(path) as shard:
                total += len(shard["ids"])
            continue
        ids, mask, ends = _encode(
            tokenizer, list(itertools.islice(stream(seed * 100_000 + number), _SHARD_ROWS))
        )
        part = path.with_suffix(".part.npz")
        np.savez(part, ids=ids, mask=mask, ends=ends)
        part.replace(path)
        total += len(ids)
    return total


def _encode(
    tokenizer: Tokenizer, rows: list[Row]
) -> tuple[NDArray[np.uint16], NDArray[np.bool_], NDArray[np.int64]]:
    pieces = [piece for row in rows for piece in render(row)]
    encoded = iter(tokenizer.encode_batch_fast([text for text, _ in pieces], add_special_tokens=False))
    ids: list[int] = []
    mask: list[bool] = []
    ends: list[int] = []
    for row in rows:
        row_ids: list[int] = []
        row_mask: list[bool] = []
        for _, trained in render(row):
            piece = next(encoded).ids
            row_ids += piece
            row_mask += [trained] * len(piece)
        if len(row_ids) <= MAX_TOKENS:
            ids += row_ids
            mask += row_mask
            ends.append(len(ids))
    return np.array(ids, np.uint16), np.array(mask, np.bool_), np.array(ends, np.int64)


def batches(
    folder: Path, seed: int, batch_tokens: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.bool_]]]:
    """Endless batches of rows of nearly equal length: ids and mask, padded on the right with zeros."""
    for epoch in itertools.count():
        for index in itertools.count():
            path = folder / f"{index:04d}.npz"
            if not path.exists():
                break
            rng = np.random.default_rng([seed, epoch, index])
            with np.load(path) as shard:
                ids, mask, ends = shard["ids"], shard["mask"], shard["ends"]
            starts = np.concatenate([[0], ends[:-1]])
            lengths = ends - starts
            order = np.argsort(lengths + rng.uniform(0, 3, len(lengths)), kind="stable")
            groups: list[list[int]] = [[]]
            for row in order:
                if (len(groups[-1]) + 1) * int(lengths[row]) > batch_tokens:
                    groups.append([])
                groups[-1].append(int(row))
            for group in rng.permutation(len(groups)):
                rows = groups[group]
                width = int(lengths[rows].max())
                batch = np.zeros((len(rows), width), np.int64)
                trained = np.zeros((len(rows), width), np.bool_)
                for line, row in enumerate(rows):
                    batch[line, : lengths[row]] = ids[starts[row] : ends[row]]
                    trained[line, : lengths[row]] = mask[starts[row] : ends[row]]
                yield batch, trained
