"""Coverage: which passages some kept row states."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from labtune.config.section import Section
from labtune.generation.rows import BlockContext, Row


class Coverage:
    """Notes the quoted places of every row that passes."""

    class Config(Section):
        """No settings."""

    name = "coverage"

    def __init__(self, _config: Config, context: BlockContext) -> None:
        self._context = context

    def __call__(self, rows: Iterable[Row]) -> Iterator[Row]:
        """All rows, unchanged."""
        for row in rows:
            covered = self._context.covered.setdefault(row.passage.document.id, set())
            if row.answer is not None and row.length == "long":
                covered.update(row.answer.spans)
            yield row
