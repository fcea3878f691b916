"""Answers of more than one passage: lists with their lead-in, table rows, neighbouring sentences."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from pydantic import Field

from labtune.artifact import content_hash
from labtune.config.section import Section
from labtune.generation.rows import Answer, BlockContext, Fact, Row

_POINTS_BACK = re.compile(
    r"(?:It|They|He|She|This|These|Those|Such|Its|Their|His|Her)\b|它|他|她|该|此|这|其(?!他|余|中|实)"
)
_ENDS = (".", "!", "?", "。", "！", "？", "；")


class Joins:
    """Gives list items and table rows a whole answer, and adds facts of two neighbouring sentences."""

    class Config(Section):
        """Bounds of a joined answer."""

        longest: int = Field(360, ge=1, description="Longest joined answer, in characters.")

    name = "joins"

    def __init__(self, config: Config, context: BlockContext) -> None:
        self._longest = config.longest
        self._context = context

    def __call__(self, rows: Iterable[Row]) -> Iterator[Row]:
        """All rows that came in, lists and table rows with joined answers, then the joined facts."""
        for _, group in groupby(rows, key=lambda row: row.passage.chunk.id):
            items = list(group)
            items = _join_lists(items, self._longest)
            items = _join_table_rows(items)
            items = self._lead_in(items)
            yield from items
            yield from self._neighbours(items)

    def _lead_in(self, items: list[Row]) -> list[Row]:
        """A sentence that points back (`This ...`, `它 ...`) answers together with the one before it."""
        result = list(items)
        for index in range(1, len(items)):
            first, second = items[index - 1], items[index]
            assert first.fact is not None and second.fact is not None
            answer = second.fact.answer
            if not (_POINTS_BACK.match(answer.text) and _whole(first) and _whole(second)):
                continue
            space = "" if first.passage.text.endswith(("。", "！", "？")) else " "
            text = first.fact.answer.text + space + answer.text
            if len(text) <= self._longest:
                joined = Answer(text, (*first.fact.answer.spans, *answer.spans))
                result[index] = replace(second, fact=replace(second.fact, answer=joined))
        return result

    def _neighbours(self, items: Sequence[Row]) -> Iterator[Row]:
        taken = -1
        for index in range(len(items) - 1):
            first, second = items[index], items[index + 1]
            assert first.fact is not None and second.fact is not None
            if not (_whole(first) and _whole(second)) or index <= taken:
                continue
            if (first.passage.start, first.passage.end) in second.fact.answer.spans:
                continue
            left, right = first.fact.answer, second.fact.answer
            space = "" if left.text.endswith(("。", "！", "？")) else " "
            text = first.passage.text + space + second.passage.text
            if len(text) > self._longest:
                continue
            taken = index + (0 if right.text != second.passage.text else 1)
            text = left.text + space + second.passage.text
            spans = (*left.spans, (second.passage.start, second.passage.end))
            yield replace(first, fact=_joined_fact(first.fact, second.fact, Answer(text, spans)))


def _whole(row: Row) -> bool:
    """True for a plain sentence with its end."""
    assert row.fact is not None
    return (
        row.passage.statement is None and row.passage.text.endswith(_ENDS) and len(row.fact.answer.spans) <= 2
    )


def _joined_fact(left: Fact, right: Fact, answer: Answer) -> Fact:
    return Fact(
        id=content_hash("join", left.id, right.id)[:16],
        answer=answer,
        asks=left.asks,
        keywords=left.keywords,
        spread=left.spread,
        joined=True,
        second=right,
    )


def _join_lists(items: list[Row], longest: int) -> list[Row]:
    """A sentence that ends with a colon takes the fragments after it, and they answer with it."""
    result = list(items)
    index = 0
    while index < len(result):
        intro = result[index].passage
        stop = index + 1
        if intro.statement is None and intro.text.rstrip().endswith((":", "：")):
            while (
                stop < len(result)
                and result[stop].passage.statement is None
                and not intro_like(result[stop].passage.text)
            ):
                if sum(len(row.passage.text) for row in result[index : stop + 1]) > longest * 2:
                    break
                stop += 1
            if stop > index + 1:
                answer = _list_answer(result[index:stop])
                identity = content_hash("list", intro.document.id, intro.start)[:16]
                for place in range(index, stop):
                    row = result[place]
                    assert row.fact is not None
                    # One answer, one fact: the items share the identity of their lead-in.
                    fact = replace(row.fact, id=identity, answer=answer, listed=intro.text)
                    result[place] = replace(row, fact=fact)
            else:
                _join_announced(result, index, longest)
        index = max(stop, index + 1)
    return result


def _join_announced(rows: list[Row], index: int, longest: int) -> None:
    """`It follows this pattern:` answers with the sentences that it announces."""
    first = rows[index]
    assert first.fact is not None
    text, spans = first.fact.answer.text, list(first.fact.answer.spans)
    for row in rows[index + 1 :]:
        passage = row.passage
        if passage.statement is not None or len(text) + len(passage.text) > longest:
            break
        text += ("" if text.endswith("：") else " ") + passage.text
        spans.append((passage.start, passage.end))
    rows[index] = replace(first, fact=replace(first.fact, answer=Answer(text, tuple(spans))))


def intro_like(text: str) -> bool:
    """True for what cannot be a list item: a sentence of its own."""
    return text.rstrip().endswith((*_ENDS, ":", "："))


def _list_answer(rows: Sequence[Row]) -> Answer:
    intro = rows[0].passage
    comma = "、" if intro.document.language.startswith("zh") else ", "
    space = "" if comma == "、" else " "
    text = intro.text.rstrip() + space + comma.join(row.passage.text.strip(" ,;，；、") for row in rows[1:])
    text += "。" if comma == "、" else "."
    spans = [(intro.start, intro.end)]
    for row in rows[1:]:
        stripped = row.passage.text.strip(" ,;，；、")
        start = row.passage.start + row.passage.text.index(stripped)
        spans.append((start, start + len(stripped)))
    return Answer(text, tuple(spans))


def _join_table_rows(items: list[Row]) -> list[Row]:
    """Cells that are sentences answer with the whole row: `Flashing blue: No connection. Restart.`."""
    result = list(items)
    places: dict[tuple[str, int], list[int]] = {}
    run = 0
    for index, row in enumerate(items):
        statement = row.passage.statement
        if statement is None:
            run += 1
            continue
        places.setdefault((statement.row, run), []).append(index)
    for (name, _), indexes in places.items():
        if len(indexes) < 2 or not _wordy([result[index] for index in indexes]):
            continue
        answer = _row_answer(name, [result[index] for index in indexes])
        if answer is None:
            continue
        for index in indexes:
            fact = result[index].fact
            assert fact is not None
            result[index] = replace(result[index], fact=replace(fact, answer=answer))
    return result


def _wordy(rows: Sequence[Row]) -> bool:
    for row in rows:
        statement = row.passage.statement
        if statement is None or (len(statement.value.split()) < 3 and len(statement.value) < 12):
            return False
    return True


def _row_answer(name: str, rows: Sequence[Row]) -> Answer | None:
    """`NAME: VALUE. VALUE.`, each piece quoted from the statements of the row."""
    first = rows[0].passage
    place = first.text.find(name)
    if place < 0:
        return None
    parts = []
    spans = [(first.start + place, first.start + place + len(name))]
    for row in rows:
        statement = row.passage.statement
        place = row.passage.text.rfind(statement.value) if statement is not None else -1
        if place < 0:
            return None
        parts.append(row.passage.text[place:])
        spans.append((row.passage.start + place, row.passage.end))
    chinese = first.document.language.startswith("zh")
    return Answer(f"{name}：{''.join(parts)}" if chinese else f"{name}: {' '.join(parts)}", tuple(spans))
