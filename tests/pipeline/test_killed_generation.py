"""The benchmark of kills, small: `labtune generate` against a real server."""

from __future__ import annotations

import pytest
from benchmarks.teacher_faults import Setting, with_kills


@pytest.mark.slow
def test_killed_runs_end_with_the_same_samples_and_ask_nothing_twice() -> None:
    found = with_kills(Setting("customer-service", "simple", 10), 3, seed=2)
    assert found["kills"] == 3
    assert all(found["checks"].values()), found
