"""Intervals and the paired test, against published or hand-computed values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labtune.evaluation.intervals import compare, mcnemar_exact, wilson


@pytest.mark.parametrize(
    ("n_right", "n", "low", "high"),
    [
        # Newcombe (1998), Statistics in Medicine 17, table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (20, 20, 0.8389, 1.0000),
    ],
)
def test_wilson_matches_published_values(n_right: int, n: int, low: float, high: float) -> None:
    interval = wilson(n_right, n)
    assert interval == pytest.approx((low, high), abs=5e-5)


def test_no_trials_have_no_interval() -> None:
    assert wilson(0, 0) is None


@given(st.integers(1, 500), st.data())
def test_interval_holds_the_share(n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, n))
    interval = wilson(k, n)
    assert interval is not None
    assert 0 <= interval[0] <= k / n <= interval[1] <= 1


@pytest.mark.parametrize(
    ("gained", "lost", "p"),
    [
        (0, 0, 1.0),
        (5, 0, 0.0625),
        (6, 0, 0.03125),
        (3, 3, 1.0),
        (8, 1, 20 / 512),
        (1, 8, 20 / 512),
        (10, 2, 2 * (1 + 12 + 66) / 4096),
    ],
)
def test_mcnemar_exact(gained: int, lost: int, p: float) -> None:
    assert mcnemar_exact(gained, lost) == pytest.approx(p)


def test_thousands_of_discordant_pairs_do_not_overflow() -> None:
    assert 0 <= mcnemar_exact(3000, 1000) < 1e-100


def test_compare_counts_changes() -> None:
    paired = compare([True, True, False, False], [True, False, True, True])
    assert (paired.n, paired.base_right, paired.tuned_right) == (4, 2, 3)
    assert (paired.gained, paired.lost) == (2, 1)
