"""Uncertainty of shares and of paired comparisons, in plain Python."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

Z_95 = 1.959963984540054


def wilson(n_right: int, n: int) -> tuple[float, float] | None:
    """95 % interval of a share; None without trials.

    Wilson's, because it stays inside 0..1 and is honest at 0 and 1 and for small n, where exams live.

    Source: Wilson (1927), score interval without continuity correction.
    """
    if n == 0:
        return None
    share, z2 = n_right / n, Z_95 * Z_95
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z_95 * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    # At the ends the formula gives 0 and 1 but for rounding.
    low = 0.0 if n_right == 0 else centre - half
    high = 1.0 if n_right == n else centre + half
    return low, high


@dataclass(frozen=True, slots=True)
class Paired:
    """The same questions asked of base and tuned.

    Attributes:
        gained: right when tuned, wrong before.
        lost: wrong when tuned, right before.
        p_value: two-sided exact McNemar: how likely a split of `gained + lost` at least this uneven is when
            tuning changes nothing.
    """

    n: int
    base_right: int
    tuned_right: int
    gained: int
    lost: int
    p_value: float


def compare(base: Sequence[bool], tuned: Sequence[bool]) -> Paired:
    """Compare two runs over the same questions in the same order."""
    pairs = list(zip(base, tuned, strict=True))
    gained = sum(after and not before for before, after in pairs)
    lost = sum(before and not after for before, after in pairs)
    return Paired(len(pairs), sum(base), sum(tuned), gained, lost, mcnemar_exact(gained, lost))


def mcnemar_exact(gained: int, lost: int) -> float:
    """Two-sided exact p-value of the binomial test of `gained` against `lost` at one half.

    Source: McNemar (1947), exact form.
    """
    n, fewer = gained + lost, min(gained, lost)
    tail = sum(math.comb(n, k) for k in range(fewer + 1))
    # Integers until the end: 2**n overflows a float beyond a thousand discordant pairs.
    return min(1.0, 2 * tail / 2**n) if n else 1.0
