"""What a teacher is asked next: which passage, which of its sentences, with which seeds as examples.

The k-th request about a passage is the same whatever happened before (generators that content seeds draw its
examples), so that another judge or a larger target asks again for as little as possible. What happened before
decides only which of these requests are made, and in which order.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest

from labtune.artifact import content_hash
from labtune.types import Chunk, Leaf, SeedExample

FOCUS = 3
"""Sentences that the second requests about a passage look at; later ones look at one each."""
_TRIES = 20
_OVERLAP = 0.5
Places = tuple[tuple[int, int], ...]
Covered = Mapping[str, set[tuple[int, int]]]
"""Document id -> the places that kept samples state."""


@dataclass(frozen=True, slots=True)
class Draw:
    """One source row.

    `chunk` is None for a skill. `number` counts the requests about the passage (or the skill) from 0, `round`
    the leaf's rounds. `focus` are the sentences that the teacher shall ask about; empty: any.
    """

    chunk: Chunk | None
    number: int
    round: int
    examples: tuple[SeedExample, ...]
    focus: Places = ()

    @property
    def key(self) -> tuple[str, str]:
        """Tells this draw apart in its leaf."""
        return (self.chunk.id if self.chunk else "", str(self.number))


class Draws:
    """Draws a leaf's source rows, round after round.

    Args:
        leaf: whose seeds may be shown (those held out never are).
        chunks: its passages, in the order of the documents; empty for a skill.
        examples: seeds that one prompt shows.
        seed: of the run.
    """

    def __init__(self, leaf: Leaf, chunks: Sequence[Chunk], *, examples: int, seed: int) -> None:
        self._path = leaf.path
        self._chunks: tuple[Chunk | None, ...] = tuple(chunks) or (None,)
        self._seeds = tuple(example for example in leaf.seeds if not example.held_out)
        self._size = min(examples, len(self._seeds))
        self._seed = seed
        self._asked: set[tuple[str, int]] = set()

    def first_round(self, rows: int) -> list[Draw]:
        """Every passage once; then, up to `rows`, more about each in turn."""
        draws = [self._draw(chunk, 0, 0) for chunk in self._chunks]
        return draws + list(islice(self._others(0, {}), max(0, rows - len(draws))))

    def next_round(self, round_number: int, rows: int, covered: Covered) -> list[Draw]:
        """At most `rows` more rows: sentences that nothing states yet first, then any passage anew."""
        return list(islice(self._others(round_number, covered), rows))

    def open_round(self, round_number: int, covered: Covered) -> list[Draw]:
        """Only what no request looked at yet and nothing states."""
        return list(self._open(round_number, self._ranked(covered), covered))

    def _others(self, round_number: int, covered: Covered) -> Iterator[Draw]:
        chunks = self._ranked(covered)
        yield from self._open(round_number, chunks, covered)
        while True:
            for chunk in chunks:
                yield self._draw(chunk, self._fresh_number(chunk), round_number)

    def _ranked(self, covered: Covered) -> list[Chunk | None]:
        """The passages of which least is stated first."""
        shares = [_open_share(chunk, covered) for chunk in self._chunks]
        return [self._chunks[i] for i in sorted(range(len(shares)), key=lambda i: (-shares[i], i))]

    def _open(self, round_number: int, chunks: list[Chunk | None], covered: Covered) -> Iterator[Draw]:
        # One window of each passage in turn; `zip` would stop at the shortest.
        for windows in zip_longest(*(self._open_windows(chunk, covered) for chunk in chunks)):
            for chunk, window in zip(chunks, windows, strict=True):
                if window is not None:
                    yield self._draw(chunk, window, round_number)

    def _open_windows(self, chunk: Chunk | None, covered: Covered) -> list[int]:
        """Requests not made yet whose sentences nothing states."""
        return [
            number
            for number, focus in self._windows(chunk)
            if (_name(chunk), number) not in self._asked and _is_open(chunk, focus, covered)
        ]

    def _windows(self, chunk: Chunk | None) -> Iterator[tuple[int, Places]]:
        """The requests 1, 2 ... that look at a few sentences each, then at single ones."""
        sentences = chunk.sentences if chunk else ()
        number = 0
        for size in (FOCUS, 1):
            if len(sentences) > size:
                for start in range(0, len(sentences), size):
                    number += 1
                    yield number, sentences[start : start + size]

    def _fresh_number(self, chunk: Chunk | None) -> int:
        number = 1 + sum(1 for _ in self._windows(chunk))
        while (_name(chunk), number) in self._asked:
            number += 1
        return number

    def _draw(self, chunk: Chunk | None, number: int, round_number: int) -> Draw:
        self._asked.add((_name(chunk), number))
        focus = dict(self._windows(chunk)).get(number, ())
        return Draw(chunk, number, round_number, self._examples(_name(chunk), number), focus)

    def _examples(self, name: str, number: int) -> tuple[SeedExample, ...]:
        """Seeds for the number-th request, other ones than for those before while there are others."""
        if not self._size:
            return ()
        shown: set[frozenset[str]] = set()
        chosen: list[SeedExample] = []
        for earlier in range(max(0, number - _TRIES), number + 1):
            draw = random.Random(content_hash(self._seed, self._path, name, earlier))
            for _ in range(_TRIES):
                chosen = draw.sample(self._seeds, self._size)
                if frozenset(seed.id for seed in chosen) not in shown:
                    break
            shown.add(frozenset(seed.id for seed in chosen))
        return tuple(chosen)


def _name(chunk: Chunk | None) -> str:
    return chunk.id if chunk else ""


def _is_open(chunk: Chunk | None, focus: Places, covered: Covered) -> bool:
    spans = covered.get(chunk.document_id, set()) if chunk else set()
    return bool(open_places(focus, spans))


def _open_share(chunk: Chunk | None, covered: Covered) -> float:
    if chunk is None or not chunk.sentences:
        return 0.0
    return len(open_places(chunk.sentences, covered.get(chunk.document_id, set()))) / len(chunk.sentences)


def open_places(places: Places, spans: set[tuple[int, int]]) -> Places:
    """Those of some places that no span states by at least half."""
    return tuple(
        (start, end)
        for start, end in places
        if not any(min(end, right) - max(start, left) >= _OVERLAP * (end - start) for left, right in spans)
    )
