"""Which rows share a packed row, in which order: best-fit decreasing, anew for every pass.

TRL packs a data set once, so that the same rows stay neighbours in all passes. Here a pass is shuffled, cut
into windows, and each window is packed; the plan holds row numbers only, tokens are gathered by the collator.
Rows in a pack do not see each other: positions restart, and transformers builds the mask from them.
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

_WINDOW = 1024


def plan_passes(rows: TokenRows, *, tokens: int, max_length: int, seed: int, name: str) -> list[Pack]:
    """Packs of as many shuffled passes as `tokens` allow, the last possibly in part; at least one row."""
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
            window = pack(chosen[start : start + _WINDOW], lengths, max_length)
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
