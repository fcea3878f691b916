"""Facts: what each passage states, by the rules of its document's language."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import groupby

from labtune.config.section import Section
from labtune.generation.rows import BlockContext, Row


class Facts:
    """Reads a document's passages together (names and pronouns need their surroundings)."""

    class Config(Section):
        """No settings."""

    name = "facts"

    def __init__(self, _config: Config, context: BlockContext) -> None:
        self._context = context

    def __call__(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Rows with a fact, document by document."""
        from labtune.generation.teachers import teacher_for

        for document_id, group in groupby(rows, key=lambda row: row.passage.document.id):
            items = list(group)
            teacher = teacher_for([row.passage for row in items])
            self._context.teachers[document_id] = teacher
            for row in items:
                self._context.count("passages")
                yield replace(row, fact=teacher.fact(row.passage))
