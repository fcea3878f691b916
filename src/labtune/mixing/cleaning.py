"""One pass over a pool of rows: incomplete ones, leaks and duplicates go, and say why."""

from __future__ import annotations

from collections.abc import Sequence

from labtune.mixing.removal import LeakFilter, Removed, split_duplicates
from labtune.mixing.rows import Candidate
from labtune.types import Emit

_EVERY = 250
"""Rows between two events of progress."""


class Cleaner:
    """Cleans pools with one set of rules.

    Args:
        leaks: knows the exams.
        near_duplicate: estimated similarity of questions from which rows with one answer are the same.
        emit: is told the progress.
    """

    def __init__(self, leaks: LeakFilter, near_duplicate: float, emit: Emit) -> None:
        self._leaks = leaks
        self._near_duplicate = near_duplicate
        self._emit = emit

    def clean(
        self, rows: Sequence[Candidate], pool: str, subject: str
    ) -> tuple[list[Candidate], list[Removed]]:
        """What may be trained on, by id, and what may not."""
        removed: list[Removed] = []
        passed: dict[str, Candidate] = {}
        for number, row in enumerate(sorted(rows, key=lambda row: row.id)):
            if number % _EVERY == 0:
                self._tell(subject, number, len(rows))
            if not row.trainable:
                removed.append(Removed(row, pool, "incomplete", "", 0.0, ""))
            elif row.id in passed:
                removed.append(Removed(row, pool, "same_id", row.id, 1.0, passed[row.id].questions[-1]))
            elif (leak := self._leaks.check(row, pool)) is not None:
                removed.append(leak)
            else:
                passed[row.id] = row
        kept, duplicates = split_duplicates(list(passed.values()), self._near_duplicate, pool)
        self._tell(subject, len(rows), len(rows))
        return sorted(kept, key=lambda row: row.id), removed + duplicates

    def _tell(self, subject: str, done: int, total: int) -> None:
        self._emit("progress", {"subject": subject, "done": done, "total": total, "unit": "rows"})
