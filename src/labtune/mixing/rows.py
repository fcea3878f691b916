"""Candidate rows: what a sample or a general chat becomes on its way into a phase's data file.

Every row has the same metadata keys and every key one type, because `datasets` infers one Arrow schema for
a file: absent text is "", an absent page 0 (pages count from 1), an absent offset -1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from labtune.mixing.general import GeneralRow
from labtune.types import Json, Message, Sample, Source

Origin = Literal["sample", "phase_replay", "general_replay"]
GENERAL_LEAF = "general"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A chat that may be trained on. `stratum` is the group that draws are balanced over."""

    id: str
    leaf: str
    messages: tuple[Message, ...]
    stratum: str
    metadata: dict[str, Json]
    seed: Source | None = None
    grounded: bool = False
    knowledge: bool = False
    questions: tuple[str, ...] = field(init=False)
    answer: str = field(init=False)

    def __post_init__(self) -> None:
        questions = tuple(turn.content for turn in self.messages if turn.role == "user")
        answers = [turn.content for turn in self.messages if turn.role == "assistant"]
        object.__setattr__(self, "questions", questions)
        object.__setattr__(self, "answer", answers[-1] if answers else "")

    @property
    def trainable(self) -> bool:
        """True when it asks something, ends with an answer, and no turn is blank."""
        return (
            bool(self.questions)
            and self.messages[-1].role == "assistant"
            and all(turn.content.strip() for turn in self.messages)
        )


def from_sample(sample: Sample) -> Candidate:
    """A generated sample with its lineage."""
    place = sample.grounding[0] if sample.grounding else None
    seed = f"{sample.seed.file}:{sample.seed.line}" if sample.seed else ""
    metadata: dict[str, Json] = {
        **_blank(),
        "sample": sample.id,
        "kind": sample.kind,
        "language": sample.language,
        "form": sample.form,
        "length": sample.length,
        "fact": sample.fact,
        "chunk": sample.chunk_id or "",
        "seed": seed,
        "contributor": sample.contributor,
        "license": sample.license,
        "pipeline": sample.pipeline,
        "teacher": sample.teacher,
    }
    if place is not None:
        metadata |= {
            "document": place.uri,
            "document_id": place.document_id,
            "page": place.page or 0,
            "start": place.start,
            "end": place.end,
        }
    return Candidate(
        sample.id,
        sample.leaf,
        sample.messages,
        sample.leaf,
        metadata,
        sample.seed,
        grounded=bool(sample.grounding),
        knowledge=sample.kind == "knowledge",
    )


def from_general(row: GeneralRow) -> Candidate:
    """A chat of the general set."""
    metadata = {**_blank(), "sample": row.id, "category": row.category, "language": row.language}
    return Candidate(row.id, GENERAL_LEAF, row.messages, f"{row.language}/{row.category}", metadata)


def _blank() -> dict[str, Json]:
    texts = (
        "sample kind language form length fact chunk document document_id seed contributor license pipeline "
        "teacher category phase"
    )
    return {**dict.fromkeys(texts.split(), ""), "page": 0, "start": -1, "end": -1, "repeat": 0}


@dataclass(frozen=True, slots=True)
class Placed:
    """A candidate in a phase's file. `repeat` counts from 0 where a small pool is drawn more than once."""

    candidate: Candidate
    origin: Origin
    n_tokens: int
    from_phase: str
    repeat: int = 0

    @property
    def id(self) -> str:
        """Unique in its phase."""
        suffix = f"#{self.repeat + 1}" if self.repeat else ""
        return f"{self.candidate.id}{suffix}"

    def as_json(self) -> dict[str, Json]:
        """The row as it stands in the file: the fields of `types.TrainingRow`."""
        return {
            "messages": [{"role": turn.role, "content": turn.content} for turn in self.candidate.messages],
            "id": self.id,
            "leaf": self.candidate.leaf,
            "origin": self.origin,
            "n_tokens": self.n_tokens,
            "metadata": {**self.candidate.metadata, "phase": self.from_phase, "repeat": self.repeat},
        }
