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


@dataclass(frozen=True, slots=True)
class PackCollator:
    """Gathers the tokens of packs: (B, T) of ids, labels and positions, padded to the longest pack.

    Padding gets position 0 everywhere: each padding token is a sequence of its own and disturbs nobody.
    """

    rows: TokenRows
    pad_token: int

    def __call__(self, examples: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Collate examples `{"rows": [...]}`."""
        starts = self.rows.starts
        packs = [example["rows"] for example in examples]
        width = max(sum(int(starts[row + 1] - starts[row]) for row in rows) for rows in packs)
        ids_BT = torch.full((len(packs), width), self.pad_token)
        labels_BT = torch.full((len(packs), width), IGNORED)
        positions_BT = torch.zeros((len(packs), width), dtype=torch.long)
        for place, rows in enumerate(packs):
            at = 0
            for row in rows:
                begin, end = int(starts[row]), int(starts[row + 1])
                to = at + end - begin
                ids_BT[place, at:to] = torch.from_numpy(self.rows.ids[begin:end])
                labels_BT[place, at:to] = torch.from_numpy(self.rows.labels[begin:end])
                positions_BT[place, at:to] = torch.arange(end - begin)
                at = to
        return {"input_ids": ids_BT, "labels": labels_BT, "position_ids": positions_BT}
