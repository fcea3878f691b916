"""Teachers that are too weak, through the whole command: what is missing has a name."""

from __future__ import annotations

from benchmarks.weak_teacher import Lesson, with_simulated


def test_a_teacher_that_breaks_half_of_its_replies_gives_samples_or_a_cause_for_each_leaf() -> None:
    found = with_simulated(Lesson(target=8), 0.5)
    assert found["exit_code"] == 0
    assert len(found["leaves"]) == 3
    assert all(leaf["generated"] > 0 for leaf in found["leaves"].values())
    assert all(found["checks"].values()), found
    assert found["teacher"]["faults"]["malformed"] > 5
