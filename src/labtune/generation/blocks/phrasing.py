"""Phrasings: many distinct questions for each fact, drawn by a generator that the fact's content seeds."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice

from pydantic import Field

from labtune.artifact import content_hash
from labtune.config.section import Section
from labtune.generation.rows import Ask, BlockContext, Fact, Row
from labtune.generation.teachers import Teacher

LEAST = 12
# Asked for at least, so that LEAST are left when checks drop some.
_ASKED = 18
_LONGEST_SEARCH = 80
# Most words of each half of such a search.
_HALF = 5
# Share of search words among the questions for a joined pair.
_SEARCHES = 0.3
_NOISE = re.compile(r"[\W_]+")


def question_key(question: str) -> str:
    """What makes two questions the same: letters and digits in lower case."""
    return _NOISE.sub(" ", question.casefold()).strip()


class Phrasing:
    """Fans a fact out into rows with a long and rows with a short answer."""

    class Config(Section):
        """Shares of the leaf's `phrasings`."""

        joined_share: float = Field(
            0.25, ge=0, le=4, description="Questions for a joined pair, per question for one sentence."
        )

    name = "phrasing"

    def __init__(self, config: Config, context: BlockContext) -> None:
        self._config = config
        self._context = context

    def __call__(self, rows: Iterable[Row]) -> Iterator[Row]:
        """For each fact `phrasings` rows (at least `LEAST`) with a long answer, then so for short ones."""
        wanted = self._context.config.phrasings
        for row in rows:
            fact = row.fact
            if fact is None:
                continue
            self._context.count("facts")
            teacher: Teacher = self._context.teachers[row.passage.document.id]
            draw = random.Random(content_hash(self._context.seed, fact.id, row.passage.start))
            if fact.joined:
                number = max(_ASKED, int(wanted * self._config.joined_share))
                yield from self._long(row, fact, _joined(fact, row, teacher, draw), number)
                continue
            yield from self._long(row, fact, teacher.phrasings(fact, row.passage, draw), max(_ASKED, wanted))
            if brief := int(wanted * self._context.config.short_share):
                yield from self._short(row, fact, teacher, draw, brief)

    def _long(self, row: Row, fact: Fact, phrasings: Iterator[tuple[Ask, str]], number: int) -> Iterator[Row]:
        self._context.count("asked", number)
        for ask, question in self._fresh(phrasings, number, fact.id):
            yield replace(row, question=question, form=ask.form, ask=ask, length="long", fact_id=fact.id)

    def _fresh(
        self, phrasings: Iterator[tuple[Ask, str]], number: int, fact_id: str
    ) -> Iterator[tuple[Ask, str]]:
        """Distinct questions that no other fact of the leaf has taken."""
        found = 0
        for ask, question in islice(phrasings, number * 14 + 60):
            key = question_key(question)
            if not key or key in self._context.used:
                continue
            self._context.used[key] = fact_id
            yield ask, question
            found += 1
            if found >= number:
                return

    def _short(
        self, row: Row, fact: Fact, teacher: Teacher, draw: random.Random, number: int
    ) -> Iterator[Row]:
        spans = list(
            dict.fromkeys(ask.short for ask in fact.asks if ask.short is not None and ask.family != "cloze")
        )[:3]
        for span in spans:
            mine = replace(
                fact, asks=tuple(ask for ask in fact.asks if ask.short == span and ask.family != "cloze")
            )
            share = max(_ASKED, number // len(spans))
            brief = (
                (ask, teacher.brief(question, draw))
                for ask, question in teacher.phrasings(mine, row.passage, draw, plain=True)
                if ask.family in ("sentence", "statement")
            )
            self._context.count("asked", share)
            for ask, question in self._fresh(brief, share, f"{fact.id}:{span[0]}"):
                yield replace(
                    row,
                    question=question,
                    form=ask.form,
                    ask=ask,
                    length="short",
                    fact_id=content_hash(fact.id, span[0], span[1])[:16],
                )


def _joined(fact: Fact, row: Row, teacher: Teacher, draw: random.Random) -> Iterator[tuple[Ask, str]]:
    """Questions that ask both halves of a joined fact at once."""
    second = fact.second
    if second is None:
        return
    halves = (replace(fact, joined=False), second)
    plain = [teacher.phrasings(half, row.passage, draw, plain=True) for half in halves]
    searches = [teacher.phrasings(replace(half, asks=(), pieces=()), row.passage, draw) for half in halves]
    while True:
        # What does not fit together yields nothing, so that the tries of the caller come to an end.
        if draw.random() < _SEARCHES:
            first, other = (" ".join(next(search)[1].split()[:_HALF]) for search in searches)
            text = (
                " ".join(dict.fromkeys(f"{first} {other}".split()))
                if len(first) + len(other) <= _LONGEST_SEARCH
                else ""
            )
            yield Ask("", "keyword", family="keyword"), text
            continue
        (first_ask, first), (second_ask, other) = (next(half) for half in plain)
        whole = first_ask.family == second_ask.family == "sentence"
        fits = whole and not (first_ask.polarity or second_ask.polarity)
        yield Ask("", "joined", family="sentence"), teacher.both(first, other) if fits else ""
