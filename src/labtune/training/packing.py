"""Which rows share a pack, in which order: best-fit decreasing, anew for every pass.

TRL packs a data set once, so that the same rows stay neighbours in all passes. Here a pass is shuffled, cut
into windows, and each window is packed; the plan holds row numbers only, tokens are gathered by the collator.
Rows in a pack do not see each other (attention.py). A model that carries a state from token to token has to
take rows one below the other instead; for it packs hold rows of like length.
"""

from __future__ import annotations

import bisect
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from labtune.artifact import content_hash
from labtune.training.rows import IGNORED, TokenRows

Pack = list[int]
"""Numbers of the rows that share one packed row."""

PADDING = 0.02
"""Largest share of padding where rows have to be padded."""

_WINDOW = 1024


def plan_passes(
    rows: TokenRows, *, tokens: int, max_length: int, seed: int, name: str, alike: bool = False
) -> list[Pack]:
    """Packs of as many shuffled passes as `tokens` allow, the last possibly in part; at least one row.

    Args:
        rows: the phase's rows.
        tokens: to train over all passes.
        max_length: tokens of a pack.
        seed: of the order.
        name: of the phase.
        alike: put rows of like length together, for a model that takes them one below the other.
    """
    lengths = rows.lengths
    packs: list[Pack] = []
    taken, number = 0, 0
    while taken < tokens or not packs:
        draw = random.Random(int(content_hash(seed, name, number)[:16], 16))
        order = list(range(len(lengths)))
        draw.shuffle(order)
        chosen: list[int] = []
        for row in order:
            if taken + lengths[row] > tokens and (chosen or packs):
                taken = tokens
                break
            taken += lengths[row]
            chosen.append(row)
        for start in range(0, len(chosen), _WINDOW):
            window = (group if alike else pack)(chosen[start : start + _WINDOW], lengths, max_length)
            draw.shuffle(window)
            packs += window
        number += 1
    return packs


def pack(rows: Sequence[int], lengths: Sequence[int], max_length: int) -> list[Pack]:
    """Put rows into as few packs of at most `max_length` tokens as best-fit decreasing finds.

    Every row lands in exactly one pack; rows of equal length keep their order. Source: best-fit decreasing
    bin packing (Johnson 1973).
    """
    packs: list[Pack] = []
    # (room left, number of the pack), sorted: the tightest pack with enough room is found by bisection.
    open_packs: list[tuple[int, int]] = []
    for row in sorted(rows, key=lambda row: -lengths[row]):
        place = bisect.bisect_left(open_packs, (lengths[row], -1))
        if place < len(open_packs):
            room, number = open_packs.pop(place)
        else:
            room, number = max_length, len(packs)
            packs.append([])
        packs[number].append(row)
        if room > lengths[row]:
            bisect.insort(open_packs, (room - lengths[row], number))
    return packs


_NOTHING = {
    "input_ids": torch.zeros((1, 1), dtype=torch.long),
    "labels": torch.full((1, 1), IGNORED),
    "position_ids": torch.zeros((1, 1), dtype=torch.long),
}
"""One token from which nothing is learnt: where a process has no packs left, but the others wait for it."""


def group(rows: Sequence[int], lengths: Sequence[int], max_length: int) -> list[Pack]:
    """Put rows of like length together, as many as have at most `max_length` tokens when padded alike.

    Every row lands in exactly one group; longest first, rows of equal length keep their order.
    """
    groups: list[Pack] = []
    for row in sorted(rows, key=lambda row: -lengths[row]):
        if not groups or lengths[groups[-1][0]] * (len(groups[-1]) + 1) > max_length:
            groups.append([])
        groups[-1].append(row)
    return groups


def cut_alike(lengths: Sequence[int]) -> list[list[int]]:
    """Places of rows that go below each other, so that at most `PADDING` of the tokens are padding."""
    found: list[list[int]] = []
    tokens = 0
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        padded = lengths[found[-1][0]] * (len(found[-1]) + 1) if found else 0
        if not found or tokens + lengths[row] < (1 - PADDING) * padded:
            found.append([])
            tokens = 0
        found[-1].append(row)
        tokens += lengths[row]
    return found


@dataclass(frozen=True, slots=True)
class PackCollator:
    """Gathers the tokens of packs into one line (1, T): ids, labels, positions that restart with each row."""

    rows: TokenRows

    def __call__(self, examples: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Collate examples `{"rows": [...]}`."""
        starts = self.rows.starts
        spans = [(int(starts[row]), int(starts[row + 1])) for example in examples for row in example["rows"]]
        if not spans:
            return _NOTHING
        tokens = np.concatenate([np.arange(begin, end) for begin, end in spans])
        positions = np.concatenate([np.arange(end - begin) for begin, end in spans])
        return {
            "input_ids": torch.from_numpy(self.rows.ids[tokens].astype(np.int64))[None],
            "labels": torch.from_numpy(self.rows.labels[tokens].astype(np.int64))[None],
            "position_ids": torch.from_numpy(positions)[None],
        }
