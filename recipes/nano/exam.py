"""The general exam: questions that training and replay never contain."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from . import events, facts, talk, tasks, worlds
from .lexicon import pairs
from .rows import UNKNOWN_MUST, UNSAID_MUST, Row, qa

_SEED = "general-exam-1"


def _world(rng: random.Random, language: str) -> Iterator[Row]:
    chosen = [fact for fact in facts.world(language) if fact.exam]
    rng.shuffle(chosen)
    for fact in chosen:
        yield qa(rng.choice(fact.exam), fact.say, "world", language, (fact.value,))


def _words(rng: random.Random, language: str) -> Iterator[Row]:
    while True:
        kind = rng.choice([kind for kind in pairs(language) if kind in facts.PAIR_EXAM])
        left, right = rng.choice(pairs(language)[kind])
        question = facts.PAIR_EXAM[kind].replace("{a}", left)
        yield qa(question, facts.pair_say(kind, left, right), "words", language, (right,))


def _chat(rng: random.Random, language: str) -> Iterator[Row]:
    for answer, _, question in talk.SMALL_TALK_ZH if language == "zh" else talk.SMALL_TALK:
        yield qa(question, answer, "chat", language)


def _from(make: Callable[[random.Random, str], Row]) -> Callable[[random.Random, str], Iterator[Row]]:
    def draw(rng: random.Random, language: str) -> Iterator[Row]:
        while True:
            row = make(rng, language)
            if len(row.messages) == 2 and row.must and len(row.question) < 600:
                yield row

    return draw


# The model reads short passages and has not learned to see that a passage lacks the answer, so the exam asks
# what a short passage tells (the model card gives both weaknesses).
_READING_CHARACTERS = {"en": 200, "zh": 60}


def _told(row: Row) -> bool:
    short = len(row.question) <= _READING_CHARACTERS[row.language]
    return short and row.must != UNSAID_MUST[row.language] and len(row.messages) == 2


def _reading(rng: random.Random, language: str) -> Row:
    while not _told(row := worlds.reading(rng, language, turns=1)):
        pass
    return row


def _event(rng: random.Random, language: str) -> Row:
    while not _told(row := events.event_row(rng, language)):
        pass
    return row


def _arithmetic(rng: random.Random, language: str) -> Row:
    """A sum in a wording that training does not use."""
    row = tasks.arithmetic(rng, language)
    if language == "zh":
        expression, sign, _ = row.answer.partition("等于")
        question = rng.choice((f"{expression}得多少？", f"请问{expression}的结果是多少？"))
    else:
        expression, sign, _ = row.answer.partition(" is ")
        question = rng.choice((f"Tell me what {expression} is.", f"{expression} is how much?"))
        sign = sign if " " in expression else ""
    return qa(question, row.answer, "arithmetic", language, row.must) if sign else _arithmetic(rng, language)


def _unknown(rng: random.Random, language: str) -> Row:
    if rng.random() < 0.65:
        row = worlds.untaught(rng, language, named=True)
    else:
        row = talk.cannot_know(rng, language)
        if row.question in talk.PRIVATE or row.question in talk.PRIVATE_ZH:
            return _unknown(rng, language)
    return qa(row.question, row.answer, "unknown", language, UNKNOWN_MUST[language])


_PLAN: tuple[tuple[Callable[[random.Random, str], Iterator[Row]], int, int], ...] = (
    (_world, 110, 60),
    (_words, 30, 16),
    (_from(_arithmetic), 26, 14),
    (_from(tasks.instruction), 40, 20),
    (_from(_reading), 44, 24),
    (_from(_event), 14, 8),
    (_chat, 12, 10),
    (_from(_unknown), 20, 10),
)


@lru_cache
def exam() -> tuple[Row, ...]:
    """All questions in a fixed order, each question once."""
    rows: list[Row] = []
    seen: set[str] = set()
    for index, (draw, english, chinese) in enumerate(_PLAN):
        for language, count in (("en", english), ("zh", chinese)):
            found = 0
            for row in draw(random.Random(f"{_SEED}-{index}-{language}"), language):
                if row.question not in seen:
                    seen.add(row.question)
                    rows.append(row)
                    found += 1
                if found == count:
                    break
    return tuple(rows)


@lru_cache
def questions() -> frozenset[str]:
    """The exam's questions, folded; the training stream drops rows that ask one of them."""
    return frozenset(row.question.casefold() for row in exam())


def as_json(row: Row, number: int) -> dict[str, Any]:
    """One line of `general_exam.jsonl`."""
    return {
        "id": f"general-{number:03d}",
        "question": row.question,
        "answer": row.answer,
        "must": list(row.must),
        "category": row.category,
        "language": row.language,
    }
