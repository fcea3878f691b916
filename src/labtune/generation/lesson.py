"""One leaf as a teacher model gets it: what it holds, how much is wanted, and its source rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from labtune.config.lab import GenerateConfig
from labtune.generation.draws import Covered, Draw, Places, open_places
from labtune.generation.flow.rows import FlowRow, source_row
from labtune.types import Chunk, Document, ExamQuestion, Json, Leaf, SeedExample

LEAST_TARGET = 60
PER_SENTENCE = 3
SOURCE_ROW = "source_row"
"""Field that tells from which source row a finished row came."""
_FEWEST, _MOST = 3, 8


@dataclass(frozen=True, slots=True)
class Lesson:
    """One leaf with all it needs. `exam` are the exam's questions about this leaf."""

    leaf: Leaf
    chunks: tuple[Chunk, ...]
    documents: Mapping[str, Document]
    exam: tuple[ExamQuestion, ...]

    @property
    def only_exam(self) -> bool:
        """True for a skill whose seeds all belong to the exam: that is what the lab asked for."""
        leaf = self.leaf
        return leaf.kind != "knowledge" and bool(leaf.seeds) and all(seed.held_out for seed in leaf.seeds)

    @property
    def can_be_taught(self) -> bool:
        """Whether there is anything to ask a teacher about."""
        if self.leaf.kind == "knowledge":
            return bool(self.chunks)
        return any(not seed.held_out for seed in self.leaf.seeds)

    def target(self, config: GenerateConfig) -> int:
        """Samples aimed at."""
        if config.target is not None:
            return config.target
        sentences = sum(len(chunk.sentences) for chunk in self.chunks)
        return max(LEAST_TARGET, PER_SENTENCE * sentences)

    def stated(self, covered: Covered) -> float:
        """Share of the documents' sentences that samples state; 1 for a skill."""
        total = sum(len(chunk.sentences) for chunk in self.chunks)
        places = [
            open_places(chunk.sentences, covered.get(chunk.document_id, set())) for chunk in self.chunks
        ]
        return 1 - sum(map(len, places)) / total if total else 1.0

    def source(self, draw: Draw, index: int) -> FlowRow:
        """The row that enters the flow for a draw; `index` counts the rows of its stream."""
        leaf, chunk = self.leaf, draw.chunk
        fields: dict[str, Json] = {
            "leaf_path": leaf.path,
            "language": leaf.language,
            "task_description": leaf.task_description,
            "domain": leaf.domain,
            "outline": leaf.document_outline,
            "examples": [_shown(seed) for seed in draw.examples],
            "number": _MOST,
            SOURCE_ROW: index,
        }
        if chunk is not None:
            document = self.documents[chunk.document_id]
            half = max(_FEWEST, (len(chunk.sentences) + 1) // 2)
            start, end = _with_neighbours(chunk, draw.focus)
            fields |= {
                "language": document.language or leaf.language,
                "passage": document.text[start:end],
                "document": chunk.text,
                "heading": " > ".join(chunk.heading),
                "title": document.title,
                "number": min(_MOST, len(draw.focus) + 1 if draw.focus else half),
            }
        return source_row(leaf.path, draw.key, fields, draw=draw.number)


def _with_neighbours(chunk: Chunk, focus: Places) -> tuple[int, int]:
    """The sentences in focus and one on either side, without which "it" would mean nothing; or the chunk."""
    if not focus:
        return chunk.start, chunk.end
    places = list(chunk.sentences)
    first, last = places.index(focus[0]), places.index(focus[-1])
    return places[max(0, first - 1)][0], places[min(len(places) - 1, last + 1)][1]


def _shown(seed: SeedExample) -> dict[str, Json]:
    return {"question": seed.question, "answer": seed.answer, "context": seed.context or ""}
