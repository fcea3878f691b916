"""What binds each stage's work to a lab: its inputs' identities, its slice of the settings, its roles."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from labtune.artifact import Checkpoint, Curated, Dataset, SampleSet, file_hash
from labtune.errors import ConfigError
from labtune.types import Json, Message, RunContext, StageOutcome
from labtune.workflow.lab import Lab

if TYPE_CHECKING:
    from labtune.models.hf import HfChatModel


@dataclass(frozen=True, slots=True)
class Step:
    """A stage bound to a lab.

    Attributes:
        inputs: name -> content hash of everything it reads; equal hashes = equal result.
        config: the settings it depends on.
        work: does it.
    """

    inputs: Mapping[str, str]
    config: Mapping[str, Json]
    work: Callable[[RunContext], StageOutcome]


def curate(lab: Lab, _folders: Mapping[str, Path]) -> Step:
    """Taxonomy -> leaves, documents, chunks, exam."""
    from labtune.taxonomy.curate import curate as work
    from labtune.taxonomy.curate import curate_key

    root, config = lab.taxonomy_root, lab.config.lab
    return Step(
        inputs={"taxonomy": curate_key(root)},
        config={"exam": config.exam.model_dump(), "documents": config.documents.model_dump()},
        work=lambda run: work(root, exam=config.exam, documents=config.documents, run=run),
    )


def generate(lab: Lab, folders: Mapping[str, Path]) -> Step:
    """Leaves and chunks -> samples."""
    from labtune.generation.generate import generate as work

    config, curated = lab.config.lab, folders["curate"]
    if config.teacher != "builtin":
        raise ConfigError("teacher: endpoints are not supported yet by this version", hint="teacher: builtin")
    teacher = config.teacher
    return Step(
        inputs=_hashes(curated, "leaves.jsonl", "documents.jsonl", "chunks.jsonl"),
        config={"teacher": teacher, "generate": config.generate.model_dump()},
        work=lambda run: work(Curated(curated), config=config.generate, run=run, teacher=teacher),
    )


def mix(lab: Lab, folders: Mapping[str, Path]) -> Step:
    """Samples -> the training rows of each phase."""
    from labtune.builtin import GENERAL_EXAM, REPLAY
    from labtune.mixing.general import load_general, load_questions
    from labtune.mixing.mix import MixInputs
    from labtune.mixing.mix import mix as work
    from labtune.models.student import resolve_student

    config, student = lab.config.lab, resolve_student(lab.config.lab.student)
    curated, samples = folders["curate"], folders["generate"]

    def count_tokens(chats: Sequence[Sequence[Message]]) -> list[int]:
        from labtune.models.hf import load_tokenizer
        from labtune.models.template import render_batch

        return [len(ids) for ids, _ in render_batch(load_tokenizer(student), chats)]

    return Step(
        inputs={
            **_hashes(curated, "leaves.jsonl", "exam.jsonl"),
            **_hashes(samples, "samples.jsonl"),
            "general replay": file_hash(REPLAY),
            "general exam": file_hash(GENERAL_EXAM),
            "tokenizer": file_hash(student / "tokenizer.json"),
        },
        config={"recipe": config.recipe, "mix": config.mix.model_dump()},
        work=lambda run: work(
            SampleSet(samples),
            Curated(curated),
            config=config.mix,
            run=run,
            inputs=MixInputs(config.recipe, count_tokens, load_general(REPLAY), load_questions(GENERAL_EXAM)),
        ),
    )


def train(lab: Lab, folders: Mapping[str, Path]) -> Step:
    """Training rows -> a tuned student; checkpoints are chosen on the development split of the exam."""
    from labtune.evaluation.select import development_score
    from labtune.models.student import resolve_student
    from labtune.training.train import train as work

    config, student = lab.config.lab, resolve_student(lab.config.lab.student)
    curated, dataset = folders["curate"], folders["mix"]

    def select(model: HfChatModel) -> float:
        return development_score(model, Curated(curated).exam(), config.evaluate)

    names = sorted(
        path.name for path in dataset.glob("*.json*") if path.name not in ("manifest.json", "mix.json")
    )
    return Step(
        inputs={
            **_hashes(dataset, *(name for name in names if name != "removed.jsonl")),
            **_hashes(curated, "exam.jsonl"),
            **_model_hashes(student),
        },
        config={"student": config.student, "train": config.train.model_dump()},
        work=lambda run: work(Dataset(dataset), config=config.train, run=run, student=student, select=select),
    )


def evaluate(lab: Lab, folders: Mapping[str, Path]) -> Step:
    """Tuned student -> what it learned and what it kept, beside the base."""
    from labtune.builtin import GENERAL_EXAM
    from labtune.evaluation.answers import model_identity
    from labtune.evaluation.evaluate import Contestants
    from labtune.evaluation.evaluate import evaluate as work
    from labtune.evaluation.general import load_general_exam
    from labtune.models.student import resolve_student

    config, student = lab.config.lab, resolve_student(lab.config.lab.student)
    curated, checkpoint = folders["curate"], Checkpoint(folders["train"])

    def do(run: RunContext) -> StageOutcome:
        from labtune.models.hf import HfChatModel

        return work(
            checkpoint,
            Curated(curated),
            config=config.evaluate,
            run=run,
            contestants=Contestants(
                HfChatModel.load(student, name=config.student),
                HfChatModel.load(checkpoint.model_dir, name="tuned"),
                model_identity(student),
            ),
            general=load_general_exam(GENERAL_EXAM),
        )

    return Step(
        inputs={
            **_hashes(curated, "exam.jsonl", "leaves.jsonl"),
            **_model_hashes(student),
            **{f"tuned {name}": value for name, value in _model_hashes(checkpoint.model_dir).items()},
            "general exam": file_hash(GENERAL_EXAM),
        },
        config={"evaluate": config.evaluate.model_dump()},
        work=do,
    )


def _hashes(folder: Path, *names: str) -> dict[str, str]:
    return {f"{folder.name}/{name}": file_hash(folder / name) for name in names}


def _model_hashes(folder: Path) -> dict[str, str]:
    """The identity of a model: weights, configuration, tokenizer, chat template."""
    kinds = (".safetensors", ".json", ".jinja")
    return {
        f"student/{path.name}": file_hash(path) for path in sorted(folder.iterdir()) if path.suffix in kinds
    }
