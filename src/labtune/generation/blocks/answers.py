"""Answers: the whole statement for a long answer, the minimal span for a short one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from labtune.config.section import Section
from labtune.generation.rows import Answer, BlockContext, Row


class Answers:
    """Composes each row's answer from quotes of the document."""

    class Config(Section):
        """No settings."""

    name = "answers"

    def __init__(self, _config: Config, context: BlockContext) -> None:
        self._context = context

    def __call__(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Rows with an answer."""
        for row in rows:
            fact, ask = row.fact, row.ask
            if fact is None or ask is None:
                continue
            self._context.count("produced")
            if row.length == "short" and ask.short is not None:
                start, end = ask.short
                yield replace(row, answer=Answer(row.passage.document.text[start:end], (ask.short,)))
            else:
                # The statement, whatever the form. A student that sees "Yes, ..." after yes/no questions
                # chooses the first word by the form and goes astray from there (docs/log.md).
                yield replace(row, answer=fact.answer)
