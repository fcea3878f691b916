"""Rows made of samples and the passages of their documents: one passage, several, a view, plain text.

Every draw hashes the seed with the row's own id, so that a row that comes or goes changes no other. Source:
InstructLab's knowledge phases; RAFT (arXiv 2403.10131) for questions behind several passages.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from labtune.config.lab import MixConfig
from labtune.documents.similarity import plain
from labtune.mixing.instructions import VIEW_FORMS, passage_header, wordings
from labtune.mixing.replay import TokenCounts, chance, shuffle_key
from labtune.mixing.rows import Candidate, from_chunk
from labtune.types import Chunk, Message

_POINTS = 16
"""Places of a passage on its leaf's ring; more make the draws more even."""


def passage(chunk: Chunk) -> str:
    """A chunk under its headings, as a row shows it."""
    return "\n".join((*chunk.heading, "")) + chunk.text


class Passages:
    """The chunks of all leaves, found by id, and other passages of a leaf by a seeded draw."""

    def __init__(self, chunks: Sequence[Chunk], seed: int) -> None:
        self._seed = seed
        self._chunks = {(chunk.leaf, chunk.id): chunk for chunk in chunks}
        self._rings: dict[str, list[tuple[bytes, str]]] = {}
        for chunk in chunks:
            ring = self._rings.setdefault(chunk.leaf, [])
            ring += [(shuffle_key(seed, "ring", chunk.id, str(point)), chunk.id) for point in range(_POINTS)]
        for ring in self._rings.values():
            ring.sort()

    def of(self, row: Candidate) -> Chunk | None:
        """The chunk that a row was made from."""
        return self._chunks.get((row.leaf, str(row.metadata["chunk"])))

    def others(self, row: Candidate, count: int) -> list[Chunk]:
        """Up to `count` other passages of the row's leaf, none of which says the same as another.

        Each passage has many places on a ring of hashes; a draw goes from a place that the row's id names to
        the next. A passage that is added takes draws over, but changes none that it does not take.
        """
        own, ring = self.of(row), self._rings.get(row.leaf, [])
        found: list[Chunk] = []
        taken = {own.text} if own else set()
        for number in range(count):
            at = bisect.bisect(ring, (shuffle_key(self._seed, "distractor", row.id, str(number)), ""))
            for step in range(len(ring)):
                chunk = self._chunks[row.leaf, ring[(at + step) % len(ring)][1]]
                if chunk.text not in taken:
                    taken.add(chunk.text)
                    found.append(chunk)
                    break
            else:
                break
        return found


@dataclass(frozen=True, slots=True)
class Made:
    """Rows made of passages. `too_long` were left out; `shortened` show fewer passages than was asked."""

    rows: Sequence[Candidate]
    too_long: int = 0
    shortened: int = 0


@dataclass(frozen=True, slots=True)
class Maker:
    """What making rows needs.

    Attributes:
        passages: the chunks.
        config: shares and numbers.
        seed: of all draws.
        counts: tokens of rows.
        taught_share: share of a teacher model's samples where the settings name none.
        max_tokens: longest row that training takes; 0 = no bound.
    """

    passages: Passages
    config: MixConfig
    seed: int
    counts: TokenCounts
    taught_share: float = 1.0
    max_tokens: int = 0

    def document_rows(self, samples: Iterable[Candidate]) -> Made:
        """Knowledge samples a second time, behind the passage that answers them."""
        return self._fitting(
            _behind(row, [chunk], "document_question", self.config.unmask)
            for row in samples
            if (chunk := self.passages.of(row)) is not None
            and _is_question(row)
            and self._drawn(row, self.config.document_share, "document")
        )

    def raft_rows(self, samples: Iterable[Candidate]) -> Made:
        """Knowledge samples again, behind several passages of their leaf, in the skills phase."""
        asked = [
            (row, self._raft_passages(row, chunk))
            for row in samples
            if (chunk := self.passages.of(row)) is not None
            and _is_question(row)
            and self._drawn(row, self.config.raft_share, "raft")
        ]
        rows: list[Candidate] = []
        shortened: set[str] = set()
        while asked:
            made = [_behind(row, self._shuffled(row, chunks), "raft", False) for row, chunks in asked]
            fits = self._fit(made)
            rows += [row for row, fit in zip(made, fits, strict=True) if fit]
            asked = [pair for pair, fit in zip(asked, fits, strict=True) if not fit]
            shortened.update(row.id for row, _ in asked)
            # The last passage goes first: the true one, where there is one, stands at the beginning.
            asked = [(row, chunks[:-1]) for row, chunks in asked if len(chunks) > 1]
        made_of = {str(row.metadata["sample"]) for row in rows}
        return Made(_by_id(rows), len(shortened - made_of), len(shortened & made_of))

    def views(self, samples: Iterable[Candidate]) -> Made:
        """Views of a passage, asked for behind it."""
        rows = []
        for row in samples:
            ways = wordings(str(row.metadata["form"]), str(row.metadata["language"]))
            way = ways[int(chance(self.seed, "view", row.id) * len(ways))]
            chunk = self.passages.of(row)
            request = f"{passage(chunk)}\n\n{way}" if chunk else row.questions[-1]
            rows.append(
                replace(
                    row,
                    messages=(Message("user", request), Message("assistant", row.answer)),
                    metadata={**row.metadata, "category": "view"},
                    unmask=self.config.unmask and chunk is not None,
                    goes_to="knowledge-long",
                )
            )
        return self._fitting(rows)

    def _raft_passages(self, row: Candidate, true: Chunk) -> list[Chunk]:
        wanted = self.config.raft_documents
        others = self.passages.others(row, wanted)
        if not others:
            return [true]
        if chance(self.seed, "raft-true", row.id) < self.config.raft_true:
            return [true, *others[: wanted - 1]]
        return others

    def _shuffled(self, row: Candidate, chunks: Sequence[Chunk]) -> list[Chunk]:
        return sorted(chunks, key=lambda chunk: shuffle_key(self.seed, "raft-order", row.id, chunk.id))

    def _drawn(self, row: Candidate, share: float | None, name: str) -> bool:
        wanted = self.taught_share * row.taught if share is None else share
        return chance(self.seed, name, row.id) < wanted

    def _fit(self, rows: Sequence[Candidate]) -> list[bool]:
        if not self.max_tokens:
            return [True] * len(rows)
        return [n_tokens <= self.max_tokens for n_tokens in self.counts.fresh(rows)]

    def _fitting(self, rows: Iterable[Candidate]) -> Made:
        made = _by_id(rows)
        fits = self._fit(made)
        return Made([row for row, fit in zip(made, fits, strict=True) if fit], fits.count(False))


def as_view(row: Candidate) -> Candidate:
    """A view before its passage is put in front: one wording for all, so that equal views are duplicates."""
    way = wordings(str(row.metadata["form"]), str(row.metadata["language"]))[0]
    return replace(row, messages=(Message("user", way), Message("assistant", row.answer)), part="view")


def is_view(row: Candidate) -> bool:
    """Whether a sample's answer is a view of its passage."""
    return row.knowledge and row.metadata["form"] in VIEW_FORMS


def document_texts(chunks: Iterable[Chunk], languages: Mapping[str, str]) -> list[Candidate]:
    """All passages as plain text, each wording once, whatever the number of leaves that use it."""
    rows: dict[str, Candidate] = {}
    for chunk in sorted(chunks, key=lambda chunk: (chunk.leaf, chunk.id)):
        text = passage(chunk)
        rows.setdefault(plain(text) or text, from_chunk(chunk, text, languages.get(chunk.leaf, "")))
    return _by_id({row.id: row for row in rows.values()}.values())


def view_texts(views: Iterable[Candidate]) -> list[Candidate]:
    """Views as plain text."""
    return [
        replace(
            row,
            messages=(),
            text=row.answer,
            metadata={**row.metadata, "category": "view_text"},
            part="view_text",
        )
        for row in views
    ]


def _is_question(row: Candidate) -> bool:
    return row.knowledge and row.part == "samples"


def _behind(row: Candidate, chunks: Sequence[Chunk], part: str, unmask: bool) -> Candidate:
    """The row with passages before its first question."""
    header = f"{passage_header(str(row.metadata['language']))}\n" if part == "raft" else ""
    shown = "".join(f"{header}{passage(chunk)}\n\n" for chunk in chunks)
    at = next(place for place, turn in enumerate(row.messages) if turn.role == "user")
    question = Message("user", shown + row.messages[at].content)
    return replace(
        row,
        id=f"{row.id}+{part}",
        messages=(*row.messages[:at], question, *row.messages[at + 1 :]),
        metadata={**row.metadata, "category": part},
        unmask=unmask,
        part=part,
        goes_to="skills" if part == "raft" else "knowledge-long",
    )


def _by_id(rows: Iterable[Candidate]) -> list[Candidate]:
    return sorted(rows, key=lambda row: row.id)
