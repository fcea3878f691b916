"""The share of every task in the training text, and the endless seeded stream of rows."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from . import events, facts, tasks, worlds
from .exam import questions
from .rows import Row

Maker = Callable[[random.Random, str], Row]
# shares of rows; a reading row is five to ten times as long as a closed-book row
SHARES: tuple[tuple[Maker, float], ...] = (
    (worlds.reading, 0.17),
    (events.event_row, 0.08),
    (worlds.document, 0.03),
    (worlds.recall, 0.15),
    (worlds.untaught, 0.05),
    (facts.world_row, 0.25),
    (facts.pair_row, 0.04),
    (facts.synonym_row, 0.05),
    (tasks.arithmetic, 0.07),
    (tasks.instruction, 0.09),
    (tasks.small_talk, 0.02),
    (tasks.cannot_know, 0.02),
)
CHINESE_SHARE = 0.32


def stream(seed: int) -> Iterator[Row]:
    """Rows of the whole mixture without the exam's questions, the same for the same seed."""
    rng = random.Random(f"nano-{seed}")
    makers = [maker for maker, _ in SHARES]
    weights = [share for _, share in SHARES]
    held_out = questions()
    while True:
        language = "zh" if rng.random() < CHINESE_SHARE else "en"
        row = rng.choices(makers, weights)[0](rng, language)
        if not any(role == "user" and content.casefold() in held_out for role, content in row.messages):
            yield row
