"""The nouns. Frozen values that stages exchange; what one stage writes, the next reads as these.

Positions are character offsets into `Document.text` (start inclusive, end exclusive) unless said otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from typing_extensions import TypeAliasType

LeafKind = Literal["knowledge", "compositional_skill", "foundational_skill"]
Role = Literal["system", "user", "assistant"]
Split = Literal["dev", "test"]
AnswerLength = Literal["short", "long"]
Severity = Literal["error", "warning", "note"]
# A named alias, since pydantic cannot read rows through a recursive anonymous one.
Json = TypeAliasType("Json", 'bool | int | float | str | list["Json"] | dict[str, "Json"] | None')


@dataclass(frozen=True, slots=True)
class Source:
    """A place in a file that a person wrote. `file` is relative to the taxonomy root, in POSIX form."""

    file: str
    line: int
    column: int = 1


@dataclass(frozen=True, slots=True)
class Finding:
    """One remark of the validator or linter about a place in a file."""

    source: Source
    severity: Severity
    code: str
    found: str
    expected: str
    mend: str
    fixable: bool = False


@dataclass(frozen=True, slots=True)
class SeedExample:
    """A human question and answer. `held_out` seeds belong to the exam and enter no training row."""

    id: str
    question: str
    answer: str
    context: str | None
    source: Source
    held_out: bool = False


@dataclass(frozen=True, slots=True)
class DocumentSource:
    """Where a knowledge leaf's documents lie: local globs (`repo` None) or a git repository at a commit."""

    patterns: tuple[str, ...]
    repo: str | None = None
    commit: str | None = None


@dataclass(frozen=True, slots=True)
class Attribution:
    """What `attribution.txt` says. Empty strings where it is silent."""

    title: str = ""
    link: str = ""
    revision: str = ""
    license: str = ""
    creators: str = ""


@dataclass(frozen=True, slots=True)
class Leaf:
    """One task of the taxonomy. `path` is its folder (`knowledge/science/birds`), unique in a taxonomy."""

    path: str
    kind: LeafKind
    language: str
    seeds: tuple[SeedExample, ...]
    source: Source
    created_by: str = ""
    task_description: str = ""
    domain: str = ""
    document_outline: str = ""
    documents: DocumentSource | None = None
    attribution: Attribution = Attribution()

    @property
    def grounded(self) -> bool:
        """True for a skill whose seeds carry contexts."""
        return self.kind != "knowledge" and any(seed.context for seed in self.seeds)


@dataclass(frozen=True, slots=True)
class ExamQuestion:
    """One question that training never sees. Right = all `must` words, or enough of `answer`.

    `context` is set for grounded skills: it is shown before the question. `origin` says where it comes from.
    """

    id: str
    leaf: str
    question: str
    answer: str
    split: Split
    source: Source
    origin: Literal["seed", "exam"]
    must: tuple[str, ...] = ()
    context: str | None = None


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading of a document: where it begins in the text, its depth (1 = top) and its words."""

    start: int
    level: int
    title: str


@dataclass(frozen=True, slots=True)
class TableStatement:
    """One table cell as a sentence that stands at `start:end` of the document's text."""

    start: int
    end: int
    row: str
    column: str
    value: str


@dataclass(frozen=True, slots=True)
class Document:
    """Clean text of one file. `id` is the hash of the file's bytes; `uri` is what a citation shows.

    `text` holds paragraphs, list items and table statements without markup; blocks are separated by a blank
    line. `page_starts` are the offsets at which pages begin (empty where the format has no pages).
    `losses` names what could not be carried over (images, footnotes, unreadable parts), one sentence each.
    """

    id: str
    uri: str
    media_type: str
    title: str
    text: str
    language: str
    headings: tuple[Heading, ...] = ()
    page_starts: tuple[int, ...] = ()
    statements: tuple[TableStatement, ...] = ()
    losses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a document that fits a token budget and never cuts a sentence.

    `sentences` are (start, end) offsets into `Document.text`; `text` is `Document.text[start:end]`.
    `heading` is the path of headings above it, top first. `page` counts from 1.
    """

    id: str
    document_id: str
    uri: str
    leaf: str
    text: str
    start: int
    end: int
    n_tokens: int
    sentences: tuple[tuple[int, int], ...]
    heading: tuple[str, ...] = ()
    page: int | None = None
    statements: tuple[TableStatement, ...] = ()


@dataclass(frozen=True, slots=True)
class Span:
    """A quoted place: which document, where (offsets into its text), which page."""

    document_id: str
    uri: str
    start: int
    end: int
    page: int | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a judge said about a sample: in which step, its verdict as text, and its reason."""

    step: str
    verdict: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Lineage:
    """How a teacher model came to write a sample.

    `examples` are the seeds that its prompt showed; `prompts` gives the version (hash of the text) of each
    prompt it passed; `calls` are the keys of its replies in the journal, in the order of the steps. `view` is
    the rendering of the passage that was shown (empty: the passage itself), `round` counts from 0.
    """

    pipeline_version: str
    examples: tuple[Source, ...] = ()
    prompts: Mapping[str, str] = field(default_factory=dict)
    sampling: Mapping[str, Json] = field(default_factory=dict)
    judge: str = ""
    verdicts: tuple[Verdict, ...] = ()
    calls: tuple[str, ...] = ()
    view: str = ""
    round: int = 0


@dataclass(frozen=True, slots=True)
class Sample:
    """One synthetic training record with its lineage.

    `form` names the kind of question (definition, who, table_cell, keyword, seed, instruction_variant ...).
    `fact` groups the samples that state the same thing (same answer span); `grounding` cites the answer.
    `lineage` is there when a model wrote it.
    """

    id: str
    leaf: str
    kind: LeafKind
    language: str
    messages: tuple[Message, ...]
    form: str
    length: AnswerLength
    pipeline: str
    teacher: str
    fact: str = ""
    grounding: tuple[Span, ...] = ()
    chunk_id: str | None = None
    seed: Source | None = None
    contributor: str = ""
    license: str = ""
    lineage: Lineage | None = None


@dataclass(frozen=True, slots=True)
class Rejection:
    """A row that was dropped: at which step, why, and what it was."""

    leaf: str
    step: str
    reason: str
    row: dict[str, Json]


@dataclass(frozen=True, slots=True)
class TrainingRow:
    """One row of a phase's data file: `messages` (or `text`) as TRL reads them, and where it comes from.

    `origin`: "sample" (this phase's own data), "source" (a file of `mix.sources`), "phase_replay" (an earlier
    phase's), "general_replay". `n_tokens` counts the rendered row with the student's tokenizer. A row has
    `messages`, of which the answers are trained (with `unmask` the user's turns too), or plain `text`, which
    is trained whole.
    """

    id: str
    leaf: str
    origin: Literal["sample", "source", "phase_replay", "general_replay"]
    n_tokens: int
    messages: tuple[Message, ...] = ()
    text: str = ""
    unmask: bool = False
    metadata: dict[str, Json] = field(default_factory=dict)


Emit = Callable[[str, Mapping[str, Json]], None]
"""Event sink: `emit("progress", {...})`. Events are also the JSONL log of a run."""


def no_events(_event: str, _fields: Mapping[str, Json]) -> None:
    """An event sink that keeps nothing."""


@dataclass(frozen=True, slots=True)
class RunContext:
    """What a stage gets besides its input and its slice of the config.

    `out_dir` is the stage's own folder: empty, or holding what an interrupted attempt left. `cache_dir` is
    the lab's `.labtune`. The workflow writes the manifest after the stage returned; a stage never does.
    """

    out_dir: Path
    cache_dir: Path
    seed: int = 1
    emit: Emit = no_events


@dataclass(frozen=True, slots=True)
class StageOutcome:
    """What a stage hands back for its manifest: counts (rows, tokens, ...) and one line for people."""

    counts: Mapping[str, Json]
    summary: str
    failed_gate: str | None = None
