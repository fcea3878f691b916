"""The share of every task in the training text, and the endless seeded stream of rows."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace

from . import events, facts, talk, tasks, wordings, worlds
from .exam import questions
from .rows import Row

Maker = Callable[[random.Random, str], Row]
# shares of rows; a reading row is five to ten times as long as a closed-book row
SHARES: tuple[tuple[Maker, float], ...] = (
    (worlds.reading, 0.19),
    (events.event_row, 0.08),
    (worlds.document, 0.005),
    (worlds.recall, 0.06),
    (worlds.untaught, 0.04),
    (facts.world_row, 0.28),
    (facts.pair_row, 0.06),
    (facts.synonym_row, 0.03),
    (wordings.wording_row, 0.25),
    (tasks.arithmetic, 0.06),
    (tasks.instruction, 0.1),
    (talk.small_talk, 0.03),
    (talk.cannot_know, 0.02),
)
CHINESE_SHARE = 0.32
_CLOSED_BOOK = frozenset(("world", "words", "arithmetic", "canon", "unknown", "chat", "instruction"))
_REWORDED = frozenset(("reading", "event", "canon"))
_SYSTEM = {
    "en": (
        "You are a helpful assistant.",
        "You are labtune's nano model.",
        "Answer the question.",
        "Be short and exact.",
    ),
    "zh": ("你是一个有用的助手。", "你是labtune的nano模型。", "请回答问题。", "请简短准确地回答。"),
}


def stream(seed: int) -> Iterator[Row]:
    """Rows of the whole mixture without the exam's questions, the same for the same seed."""
    rng = random.Random(f"nano-{seed}")
    makers = [maker for maker, _ in SHARES]
    weights = [share for _, share in SHARES]
    held_out = questions()
    while True:
        language = "zh" if rng.random() < CHINESE_SHARE else "en"
        row = rng.choices(makers, weights)[0](rng, language)
        if row.category in _REWORDED and rng.random() < 0.5:
            row = wordings.reworded(rng, row)
        if row.category in _CLOSED_BOOK and rng.random() < 0.07:
            row = _conversation(row, rng.choices(makers, weights)[0](rng, language))
        if row.messages[0][0] == "user" and rng.random() < 0.04:
            row = replace(row, messages=(("system", rng.choice(_SYSTEM[language])), *row.messages))
        if not any(role == "user" and content.casefold() in held_out for role, content in row.messages):
            yield row


def _conversation(first: Row, second: Row) -> Row:
    """Two closed-book rows as one conversation of two turns."""
    if (
        second.category not in _CLOSED_BOOK
        or second.messages[0][0] != "user"
        or first.messages[0][0] != "user"
    ):
        return first
    return Row(first.messages + second.messages, "conversation", first.language)
