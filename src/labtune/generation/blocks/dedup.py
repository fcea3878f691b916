"""Duplicates: one question has one answer in a leaf, and no two rows are the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from labtune.config.section import Section
from labtune.generation.blocks.phrasing import question_key
from labtune.generation.rows import BlockContext, Row


class Dedup:
    """Drops exact repetitions, reorderings of the same words for one fact, and ambiguous questions."""

    class Config(Section):
        """No settings."""

    name = "dedup"

    def __init__(self, _config: Config, context: BlockContext) -> None:
        self._context = context

    def __call__(self, rows: Iterable[Row]) -> Iterator[Row]:
        """The first row of each question."""
        exact: dict[str, str] = {}
        near: set[tuple[str, str, str]] = set()
        for row in rows:
            key = question_key(row.question)
            if key in exact:
                reason = "duplicate" if exact[key] == row.fact_id else "ambiguous"
                self._context.reject("dedup", reason, {"question": row.question, "form": row.form})
                continue
            exact[key] = row.fact_id
            words = (row.fact_id, row.length, " ".join(sorted(set(key.split()))))
            if row.form != "keyword" and words in near:
                self._context.reject("dedup", "near_duplicate", {"question": row.question, "form": row.form})
                continue
            near.add(words)
            yield row
