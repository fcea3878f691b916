"""Candidate rows: what a sample, a general chat or a line of a source becomes on its way into a data file.

Every row has the same metadata keys and every key one type, because `datasets` infers one Arrow schema for
a file: absent text is "", an absent page 0 (pages count from 1), an absent offset -1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from labtune.mixing.general import GeneralRow
from labtune.mixing.messages import ChatRow
from labtune.types import Chunk, Json, Message, Sample, Source

Origin = Literal["sample", "source", "phase_replay", "general_replay"]
GENERAL_LEAF = "general"
SOURCE_LEAF = "source"
BUILTIN_TEACHER = "builtin"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A chat (or a plain text) that may be trained on.

    Attributes:
        stratum: the group that draws are balanced over.
        part: what kind of row it is, or the file it comes from; the manifest counts by it.
        goes_to: the phase it belongs to in recipe lab; "" = by its kind and length.
        taught: whether a teacher model wrote it.
        columns: the line of a source as it can be written again.
    """

    id: str
    leaf: str
    messages: tuple[Message, ...]
    stratum: str
    metadata: dict[str, Json]
    seed: Source | None = None
    grounded: bool = False
    knowledge: bool = False
    text: str = ""
    unmask: bool = False
    part: str = "samples"
    goes_to: str = ""
    taught: bool = False
    columns: str = ""
    questions: tuple[str, ...] = field(init=False)
    answer: str = field(init=False)

    def __post_init__(self) -> None:
        questions = tuple(turn.content for turn in self.messages if turn.role == "user")
        answers = [turn.content for turn in self.messages if turn.role == "assistant"]
        # A plain text is compared with exams and with others as a whole.
        object.__setattr__(self, "questions", (self.text,) if self.text else questions)
        object.__setattr__(self, "answer", self.text or (answers[-1] if answers else ""))

    @property
    def trainable(self) -> bool:
        """True when it asks something, ends with an answer, and no turn is blank."""
        if self.text:
            return bool(self.text.strip())
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
        taught=sample.teacher != BUILTIN_TEACHER,
    )


def from_general(row: GeneralRow) -> Candidate:
    """A chat of the general set."""
    metadata = {**_blank(), "sample": row.id, "category": row.category, "language": row.language}
    return Candidate(
        row.id, GENERAL_LEAF, row.messages, f"{row.language}/{row.category}", metadata, part="general"
    )


def from_source(row: ChatRow, name: str, *, goes_to: str, system_prompt: str | None) -> Candidate:
    """A line of the source `name`. A system prompt takes the place of the line's own."""
    messages, columns = row.messages, row.columns
    if system_prompt and messages and messages[0] != Message("system", system_prompt):
        turns = [turn for turn in messages if turn.role != "system"]
        messages, columns = (Message("system", system_prompt), *turns), ""
    metadata = {**_blank(), "sample": row.id, "seed": row.place, "document": name}
    return Candidate(
        row.content,
        SOURCE_LEAF,
        messages,
        f"{SOURCE_LEAF}/{name}",
        metadata,
        text=row.text,
        unmask=row.unmask and not row.text,
        part=name,
        goes_to=goes_to,
        columns=columns,
    )


def from_chunk(chunk: Chunk, text: str, language: str) -> Candidate:
    """A piece of a document as plain text."""
    metadata: dict[str, Json] = {
        **_blank(),
        "kind": "knowledge",
        "category": "document_text",
        "language": language,
        "chunk": chunk.id,
        "document": chunk.uri,
        "document_id": chunk.document_id,
        "page": chunk.page or 0,
        "start": chunk.start,
        "end": chunk.end,
    }
    return Candidate(
        f"text-{chunk.id}",
        chunk.leaf,
        (),
        chunk.leaf,
        metadata,
        grounded=True,
        knowledge=True,
        text=text,
        part="document_text",
    )


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

    def as_json(self, fields: Fields) -> dict[str, Json]:
        """The row as it stands in the file: the fields of `types.TrainingRow`."""
        row = self.candidate
        metadata: dict[str, Json] = {**row.metadata, "phase": self.from_phase, "repeat": self.repeat}
        if fields.columns:
            metadata["columns"] = row.columns
        if fields.noise:
            metadata.setdefault("noise", False)
        value: dict[str, Json] = {
            "id": self.id,
            "leaf": row.leaf,
            "origin": self.origin,
            "n_tokens": self.n_tokens,
            "metadata": metadata,
        }
        if row.text:
            # Without messages: TRL then reads the row as plain text.
            return {**value, "text": row.text}
        value["messages"] = [{"role": turn.role, "content": turn.content} for turn in row.messages]
        if fields.unmask:
            value["unmask"] = row.unmask
        return value


@dataclass(frozen=True, slots=True)
class Fields:
    """Which fields that not every data set has stand in all rows of this one: its files must agree."""

    unmask: bool = False
    columns: bool = False
    noise: bool = False
