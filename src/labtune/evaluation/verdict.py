"""What a leaf's test questions say: learned, not learned, or forgotten. Decided on the test split only.

1. `forgotten`: tuned is significantly worse than base (exact McNemar, p < 0.05). Checked first, so that a
   leaf that fell from 100 % to 85 % is not called learned.
2. `learned`: tuned answers at least `KNOWN` of the questions (it knows the leaf, whether or not the base
   did), or at least `HALF` and significantly more than the base. Significance alone is not enough: 6 of 60
   against none is significant, and no user would call it learned.
3. `not_learned`: everything else.

With fewer than `FEWEST` questions no split of them can reach p < 0.05, so plain counts decide: forgotten when
at least half of what the base had right is gone on balance; learned as above with "more than the base" for
"significantly more".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from labtune.evaluation.intervals import Paired

Verdict = Literal["learned", "not_learned", "forgotten"]
SIGNIFICANCE = 0.05
KNOWN = 0.8
HALF = 0.5
FEWEST = 6


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict and its reason in one clause. None when there is no test question to judge by."""

    verdict: Verdict | None
    reason: str


def judge(paired: Paired) -> Judgement:
    """Judge a leaf (or all leaves together) by its test questions."""
    if paired.n == 0:
        return Judgement(None, "no test question")
    share = paired.tuned_right / paired.n
    counts = f"{paired.base_right} -> {paired.tuned_right} of {paired.n}"
    small = paired.n < FEWEST
    decided = small or paired.p_value < SIGNIFICANCE
    balance = paired.gained - paired.lost
    how = "too few questions for a test" if small else f"p = {paired.p_value:.2g}"
    if decided and balance < 0 and (not small or -2 * balance >= paired.base_right):
        return Judgement("forgotten", f"{counts} right, {how}")
    if share >= KNOWN:
        return Judgement("learned", f"{counts} right, at least {KNOWN:.0%}")
    if share >= HALF and decided and balance > 0:
        return Judgement("learned", f"{counts} right, {how}")
    return Judgement("not_learned", f"{counts} right, {how}")
