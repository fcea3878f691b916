"""Builders of samples, exams and general chats, and a stage run on real files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from labtune.artifact import Curated, Dataset, SampleSet, read_json, read_jsonl, write_jsonl
from labtune.config.lab import MixConfig
from labtune.mixing.general import GeneralRow
from labtune.mixing.mix import MixInputs, mix
from labtune.mixing.phases import Recipe
from labtune.mixing.sources import SourceFile
from labtune.types import (
    AnswerLength,
    Chunk,
    ExamQuestion,
    Leaf,
    LeafKind,
    Message,
    RunContext,
    Sample,
    Source,
    Span,
    StageOutcome,
)

_THINGS = (
    "lamp river pump valve bridge forest engine window ladder garden harbour meadow mirror carpet basket "
    "hammer kettle bottle pillow saddle tunnel castle island desert glacier volcano canyon prairie lagoon "
    "orchard"
)
_ASPECTS = (
    "colour weight height owner origin price shape age name purpose depth width sound smell texture builder "
    "keeper neighbour material history"
)
THINGS, ASPECTS = _THINGS.split(), _ASPECTS.split()


def sample(
    name: str,
    question: str,
    answer: str,
    *,
    leaf: str = "knowledge/a",
    kind: LeafKind = "knowledge",
    length: AnswerLength = "short",
    seed: Source | None = None,
    grounded: bool = True,
) -> Sample:
    return Sample(
        id=name,
        leaf=leaf,
        kind=kind,
        language="en",
        messages=(Message("user", question), Message("assistant", answer)),
        form="definition",
        length=length,
        pipeline="builtin",
        teacher="builtin",
        fact=f"fact-{answer}",
        grounding=(Span("doc1", "manual.md", 3, 9, 2),) if grounded else (),
        chunk_id="chunk1" if grounded else None,
        seed=seed,
        contributor="anna",
        license="CC-BY-4.0",
    )


def knowledge(n: int, length: AnswerLength, prefix: str = "") -> list[Sample]:
    """Distinct facts, at most 600."""
    return [
        sample(
            f"{length}-{prefix}{i:03}",
            f"What is the {ASPECTS[i % 20]} of the {prefix}{THINGS[i // 20]}?",
            f"It is {THINGS[i % 30]} {i}." + (" And more is said of it at some length." * (length == "long")),
            length=length,
        )
        for i in range(n)
    ]


def skills(n: int, leaf: str = "skills/b") -> list[Sample]:
    return [
        sample(
            f"skill-{i:03}",
            f"Write a {ASPECTS[i % 20]} about a {THINGS[i // 20]}.",
            f"Here: {ASPECTS[i % 20]} {THINGS[i // 20]}.",
            leaf=leaf,
            kind="compositional_skill",
            grounded=False,
        )
        for i in range(n)
    ]


def general(n: int) -> list[GeneralRow]:
    """A quarter Chinese, three categories."""
    return [
        GeneralRow(
            f"general-{i:06d}",
            (
                Message("user", f"第{i}个国家的{THINGS[i % 30]}?" if i % 4 == 0 else f"World fact {i}?"),
                Message("assistant", f"It is number {i}."),
            ),
            ("geo", "math", "chat")[i % 3],
            "zh" if i % 4 == 0 else "en",
        )
        for i in range(n)
    ]


def question(name: str, text: str, answer: str = "An answer.", **fields: Any) -> ExamQuestion:
    values: dict[str, Any] = {
        "leaf": "knowledge/a",
        "split": "test",
        "source": Source("knowledge/a/exam.yaml", 3),
        "origin": "exam",
        **fields,
    }
    return ExamQuestion(id=name, question=text, answer=answer, **values)


def count_words(rows: Sequence[Sequence[Message] | str]) -> list[int]:
    return [
        len(row.split()) + 1 if isinstance(row, str) else sum(len(turn.content.split()) + 3 for turn in row)
        for row in rows
    ]


class Mixed:
    """What a run of the stage left on disk."""

    def __init__(self, folder: Path, outcome: StageOutcome) -> None:
        self.folder = folder
        self.outcome = outcome
        self.dataset = Dataset(folder)
        self.report: dict[str, Any] = read_json(folder / "mix.json")
        self.removed: list[dict[str, Any]] = list(read_jsonl(folder / "removed.jsonl"))

    def rows(self, phase: str) -> list[dict[str, Any]]:
        return list(read_jsonl(self.folder / f"{phase}.jsonl"))

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted(self.folder.iterdir())}

    def questions(self) -> set[str]:
        return {row["messages"][-2]["content"] for phase in self.dataset.phases() for row in self.rows(phase)}


def run_mix(
    root: Path,
    samples: Sequence[Sample],
    *,
    exam: Sequence[ExamQuestion] = (),
    leaves: Sequence[Leaf] = (),
    general_rows: Sequence[GeneralRow] = (),
    general_exam: Sequence[str] = (),
    recipe: Recipe = "lab",
    seed: int = 1,
    chunks: Sequence[Chunk] | None = None,
    sources: Sequence[SourceFile] = (),
    max_tokens: int = 0,
    **config: Any,
) -> Mixed:
    """Write the inputs, run the stage, read what it wrote."""
    write_jsonl(root / "curate" / "exam.jsonl", exam)
    write_jsonl(root / "curate" / "leaves.jsonl", leaves)
    if chunks is not None:
        write_jsonl(root / "curate" / "chunks.jsonl", chunks)
    write_jsonl(root / "generate" / "samples.jsonl", samples)
    out = root / "mix"
    out.mkdir(parents=True, exist_ok=True)
    outcome = mix(
        SampleSet(root / "generate"),
        Curated(root / "curate"),
        config=MixConfig(**config),
        run=RunContext(out, root / "cache", seed),
        inputs=MixInputs(recipe, count_words, general_rows, general_exam, sources, max_tokens),
    )
    return Mixed(out, outcome)


def as_line(row: object) -> str:
    return json.dumps(row, ensure_ascii=False)
