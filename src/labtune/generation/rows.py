"""What flows between the blocks of a knowledge pipeline: passages, facts, questions, answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from labtune.config.lab import GenerateConfig
from labtune.types import AnswerLength, Chunk, Document, Json, Leaf, Rejection, TableStatement


@dataclass(frozen=True, slots=True)
class Passage:
    """A sentence, list or table statement of a document: `text` is the document's text at `start:end`.

    `index` counts the passages of the document; `chunk` is the chunk that holds it.
    """

    document: Document
    chunk: Chunk
    index: int
    start: int
    end: int
    text: str
    statement: TableStatement | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer and the places that it quotes, in the order of the text."""

    text: str
    spans: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Ask:
    """One way to ask for a fact, still open to paraphrase.

    `text` is the direct question, `indirect` the same after `Can you tell me` (empty where there is none).
    Words that may be swapped carry a mark (see `english.marks`). `short` is the minimal answer's place in the
    document, `polarity` is "yes" or "no" for a yes/no question (the answer is the statement all the same),
    `weight` how often it is drawn.
    """

    text: str
    form: str
    indirect: str = ""
    short: tuple[int, int] | None = None
    polarity: str = ""
    weight: int = 2
    family: str = "sentence"


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a fact that people's own ways to ask are built around, with the texts for their slots.

    `kind` names the frames that fit it: something to do, something seen, something needed, two things ...
    """

    kind: str
    slots: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Fact:
    """What one passage (or two joined) states: its long answer and the ways to ask for it.

    `second` is the other fact of a joined one; `listed` the lead-in of a list that the passage is an item of;
    `spread` tells of each keyword how many passages of the document hold it (few: it points to this fact).
    """

    id: str
    answer: Answer
    asks: tuple[Ask, ...] = ()
    keywords: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    joined: bool = False
    second: Fact | None = None
    listed: str = ""
    pieces: tuple[Piece, ...] = ()
    spread: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """A row between two blocks: filled from left to right."""

    passage: Passage
    fact: Fact | None = None
    question: str = ""
    form: str = ""
    length: AnswerLength = "long"
    ask: Ask | None = None
    answer: Answer | None = None
    fact_id: str = ""


@dataclass(slots=True)
class BlockContext:
    """What blocks of one leaf share: its input, the settings, and where dropped rows go.

    `teachers` holds the language rules of each document (by id), `used` the fact of each question so far.
    """

    leaf: Leaf
    documents: Mapping[str, Document]
    chunks: tuple[Chunk, ...]
    config: GenerateConfig
    seed: int
    rejections: list[Rejection] = field(default_factory=list)
    covered: dict[str, set[tuple[int, int]]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    teachers: dict[str, Any] = field(default_factory=dict)
    used: dict[str, str] = field(default_factory=dict)

    def count(self, name: str, amount: int = 1) -> None:
        """Add to a counter of the leaf's funnel."""
        self.counts[name] = self.counts.get(name, 0) + amount

    def reject(self, step: str, reason: str, row: dict[str, Json]) -> None:
        """Drop a row with its reason."""
        self.count(f"rejected:{reason}")
        self.rejections.append(Rejection(self.leaf.path, step, reason, row))


class RowBlock(Protocol):
    """A block of a knowledge pipeline."""

    def __call__(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Yield rows in a deterministic order."""
        ...
