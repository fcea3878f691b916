"""Facts: what each passage states, by the rules of its document's language."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import groupby

from labtune.config.section import Section
from labtune.generation.rows import Ask, BlockContext, Piece, Row


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
            self._context.count("passages", len(items))
            yield from _pointed([replace(row, fact=teacher.fact(row.passage)) for row in items])


def _pointed(rows: list[Row]) -> Iterator[Row]:
    """Drop the questions that other passages answer as well: `How do I return it?` beside two rules.

    A fact that would be left without a question of a whole sentence keeps all of its own.
    """
    owners: dict[object, set[object]] = {}
    for row in rows:
        assert row.fact is not None
        items: list[Ask | Piece] = [*row.fact.asks, *row.fact.pieces]
        for item in items:
            owners.setdefault(_asked(item), set()).add(_place(row))
    for row in rows:
        fact = row.fact
        assert fact is not None
        asks = tuple(ask for ask in fact.asks if len(owners[_asked(ask)]) == 1)
        whole = any(ask.family == "sentence" for ask in asks)
        pieces = tuple(
            piece for piece in fact.pieces if piece.kind == "thing" or len(owners[_asked(piece)]) == 1
        )
        yield replace(row, fact=replace(fact, asks=asks if whole else fact.asks, pieces=pieces))


def _asked(item: Ask | Piece) -> object:
    return item.text if isinstance(item, Ask) else item


def _place(row: Row) -> object:
    """What answers: the passage, or the row of a table, whose cells answer together."""
    statement = row.passage.statement
    return row.passage.start if statement is None else ("row", statement.row)
