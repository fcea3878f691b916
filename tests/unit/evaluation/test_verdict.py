"""Learned, not learned, forgotten: the rules with their edges."""

from __future__ import annotations

import pytest

from labtune.evaluation.intervals import compare
from labtune.evaluation.verdict import Verdict, judge


@pytest.mark.parametrize(
    ("n", "both", "gained", "lost", "expected"),
    [
        (40, 0, 36, 0, "learned"),
        (40, 36, 0, 0, "learned"),  # The base knew it, and it still does.
        (40, 0, 20, 0, "learned"),  # Half of the questions, and significantly more.
        (40, 0, 19, 0, "not_learned"),  # Significant, but less than half.
        (40, 19, 4, 3, "not_learned"),  # More than half, but not significantly more.
        (40, 0, 0, 0, "not_learned"),
        (40, 30, 0, 6, "forgotten"),  # 36 -> 30: p = 0.031.
        (40, 30, 0, 5, "not_learned"),  # 35 -> 30 of 40: p = 0.0625, and under 0.8.
        (40, 34, 0, 6, "forgotten"),  # 40 -> 34, still 85 % right: forgotten is looked at first.
        (3, 0, 2, 0, "learned"),
        (3, 0, 1, 0, "not_learned"),
        (3, 2, 0, 0, "not_learned"),
        (5, 4, 0, 0, "learned"),
        (5, 2, 0, 2, "forgotten"),  # 4 -> 2.
        (5, 3, 0, 1, "not_learned"),  # 4 -> 3: less than half is gone.
        (1, 0, 0, 1, "forgotten"),
        (0, 0, 0, 0, None),
    ],
)
def test_verdicts(n: int, both: int, gained: int, lost: int, expected: Verdict | None) -> None:
    neither = n - both - gained - lost
    base = [True] * both + [False] * gained + [True] * lost + [False] * neither
    tuned = [True] * both + [True] * gained + [False] * lost + [False] * neither
    assert judge(compare(base, tuned)).verdict == expected


def test_reason_tells_the_counts() -> None:
    assert judge(compare([False] * 10, [True] * 9 + [False])).reason == "0 -> 9 of 10 right, at least 80%"
    assert judge(compare([True], [False])).reason == "1 -> 0 of 1 right, too few questions for a test"
