"""Start of a knowledge pipeline: the sentences and table statements of the leaf's documents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from labtune.config.section import Section
from labtune.generation.rows import BlockContext, Passage, Row


class Passages:
    """Yields each sentence of each chunk once, in the order of the documents."""

    class Config(Section):
        """No settings."""

    name = "passages"

    def __init__(self, _config: Config, context: BlockContext) -> None:
        self._context = context

    def __call__(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Rows that come in pass first (a pipeline may put a source before)."""
        yield from rows
        for passage in list_passages(self._context):
            yield Row(passage)


def list_passages(context: BlockContext) -> Iterator[Passage]:
    """All passages of a leaf; `index` restarts with each document."""
    counts: dict[str, int] = {}
    seen: set[tuple[str, int]] = set()
    for chunk in context.chunks:
        document = context.documents[chunk.document_id]
        statements = {statement.start: statement for statement in chunk.statements}
        for start, end in chunk.sentences:
            if (document.id, start) in seen or not document.text[start:end].strip():
                continue
            seen.add((document.id, start))
            index = counts.get(document.id, 0)
            counts[document.id] = index + 1
            yield Passage(document, chunk, index, start, end, document.text[start:end], statements.get(start))
