"""What binds each stage's work to a lab: its inputs' identities, its slice of the settings, its roles."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labtune.artifact import Checkpoint, Curated, Dataset, SampleSet, file_hash
from labtune.config.endpoint import ModelConfig
from labtune.types import Json, Message, RunContext, StageOutcome
from labtune.workflow.lab import Lab
from labtune.workflow.outlook import informed
from labtune.workflow.prospects import telling_time
from labtune.workflow.student import locate_student

if TYPE_CHECKING:
    from labtune.models.hf import HfChatModel


_FLOORS = ("min_samples", "coverage_floor")


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
    from labtune.generation.generate import RULE_SETTINGS
    from labtune.generation.generate import generate as work
    from labtune.workflow.faculty import pipeline_path
    from labtune.workflow.workers import executor_of

    config, curated = lab.config.lab, folders["curate"]
    if config.teacher != "builtin":
        return _generate_with_models(lab, curated, config.teacher)
    teacher = config.teacher
    pipeline = pipeline_path(lab.root, config.generate.pipeline)
    settings = config.generate.model_copy(update={"pipeline": pipeline})
    inputs = _hashes(curated, "leaves.jsonl", "documents.jsonl", "chunks.jsonl")
    if Path(pipeline).is_file():
        inputs["pipeline"] = file_hash(Path(pipeline))
    return Step(
        inputs=inputs,
        config={
            "teacher": teacher,
            "generate": config.generate.model_dump(include={*RULE_SETTINGS, *_FLOORS}),
        },
        work=lambda run: work(
            Curated(curated),
            config=settings,
            run=run,
            teacher=teacher,
            open_executor=executor_of(lab, run.emit),
        ),
    )


def _generate_with_models(lab: Lab, curated: Path, teacher: ModelConfig) -> Step:
    from labtune.generation.school import TEACHER_SETTINGS, generate_with_models
    from labtune.workflow.faculty import identity_of, open_faculty, pipeline_of
    from labtune.workflow.workers import away_of

    config = lab.config.lab
    pipeline = pipeline_of(lab, config.generate)
    versions: dict[str, Json] = {kind: section.version for kind, section in pipeline.sections.items()}
    return Step(
        inputs=_hashes(curated, "leaves.jsonl", "documents.jsonl", "chunks.jsonl", "exam.jsonl"),
        config={
            "teacher": identity_of(lab, teacher),
            "judge": identity_of(lab, config.judge or teacher),
            "pipeline": {"name": pipeline.name, "sections": versions},
            "generate": config.generate.model_dump(include={*TEACHER_SETTINGS, *_FLOORS}),
        },
        work=lambda run: generate_with_models(
            Curated(curated),
            config=config.generate,
            run=run,
            pipeline=pipeline,
            open_faculty=lambda: open_faculty(lab, teacher, run.emit),
            away=away_of(lab, teacher, run.emit),
        ),
    )


def mix(lab: Lab, folders: Mapping[str, Path]) -> Step:
    """Samples -> the training rows of each phase."""
    from labtune.builtin import GENERAL_EXAM, REPLAY
    from labtune.mixing.general import load_general, load_questions
    from labtune.mixing.mix import MixInputs
    from labtune.mixing.mix import mix as work
    from labtune.mixing.sources import locate_sources

    student = locate_student(lab)
    config = informed(lab, student=student).lab
    curated, samples = folders["curate"], folders["generate"]
    sources = locate_sources(config.mix.sources, lab.root)
    # Only rows with passages keep to the longest row, so only they depend on it.
    shows_passages = config.teacher != "builtin" or config.mix.document_share or config.mix.raft_share

    @cache
    def tokenizer() -> Any:
        from labtune.models.hf import load_tokenizer

        return load_tokenizer(student)

    def count_tokens(rows: Sequence[Sequence[Message] | str]) -> list[int]:
        from labtune.models.template import render_batch
        from labtune.models.whole import render_texts

        chats = render_batch(tokenizer(), [row for row in rows if not isinstance(row, str)])
        texts = render_texts(tokenizer(), [row for row in rows if isinstance(row, str)])
        rendered = {False: iter(chats), True: iter(texts)}
        return [len(next(rendered[isinstance(row, str)])[0]) for row in rows]

    inputs = {
        **_hashes(curated, "leaves.jsonl", "exam.jsonl", "chunks.jsonl"),
        **_hashes(samples, "samples.jsonl"),
        "general replay": file_hash(REPLAY),
        "general exam": file_hash(GENERAL_EXAM),
        "tokenizer": file_hash(student / "tokenizer.json"),
        **{f"source {source.name}": file_hash(source.path) for source in sources},
    }
    return Step(
        inputs=inputs,
        config={
            "recipe": config.recipe,
            "mix": config.mix.model_dump(),
            "sources": [[source.name, source.size, source.system_prompt] for source in sources],
            "max_length": config.train.max_length if shows_passages else 0,
        },
        work=lambda run: work(
            SampleSet(samples),
            Curated(curated),
            config=config.mix,
            run=run,
            inputs=MixInputs(
                config.recipe,
                count_tokens,
                load_general(REPLAY),
                load_questions(GENERAL_EXAM),
                sources,
                config.train.max_length,
                inputs,
            ),
        ),
    )


def train(lab: Lab, folders: Mapping[str, Path]) -> Step:
    """Training rows -> a tuned student; checkpoints are chosen on the development split of the exam."""
    from labtune.evaluation.select import development_score
    from labtune.models.student import origin_of
    from labtune.training.train import train as work
    from labtune.workflow.gang import Tuning, tune_in_gang
    from labtune.workflow.workers import executor_of

    student = locate_student(lab)
    curated, dataset = folders["curate"], folders["mix"]
    config = informed(lab, student=student, dataset=dataset).lab

    def select(model: HfChatModel) -> float:
        return development_score(model, Curated(curated).exam(), config.evaluate)

    def do(run: RunContext) -> StageOutcome:
        run = telling_time(run, lab.runs_dir, config.train, student)
        run.emit("train.student", origin_of(config.student, student).event())
        if config.engine.kind != "local":
            tuning = Tuning(dataset, curated, student, config.train, config.evaluate, config.engine.sharding)
            return tune_in_gang(tuning, run, executor_of(lab, run.emit))
        return work(Dataset(dataset), config=config.train, run=run, student=student, select=select)

    names = sorted(
        path.name for path in dataset.glob("*.json*") if path.name not in ("manifest.json", "mix.json")
    )
    return Step(
        inputs={
            **_hashes(dataset, *(name for name in names if name != "removed.jsonl")),
            **_hashes(curated, "exam.jsonl"),
            **_model_hashes(student),
        },
        config={"student": config.student.name, "train": config.train.model_dump(exclude={"memory_gib"})},
        work=do,
    )


def evaluate(lab: Lab, folders: Mapping[str, Path]) -> Step:
    """Tuned student -> what it learned and what it kept, beside the base."""
    from labtune.builtin import GENERAL_EXAM
    from labtune.evaluation.answers import model_identity
    from labtune.evaluation.evaluate import Contestants
    from labtune.evaluation.evaluate import evaluate as work
    from labtune.evaluation.general import load_general_exam
    from labtune.workflow.workers import exam_models

    config, student = lab.config.lab, locate_student(lab)
    curated, checkpoint = folders["curate"], Checkpoint(folders["train"])

    def do(run: RunContext) -> StageOutcome:
        with exam_models(lab, run.emit) as open_model:
            return work(
                checkpoint,
                Curated(curated),
                config=config.evaluate,
                run=run,
                contestants=Contestants(
                    open_model(student, config.student.name),
                    open_model(checkpoint.model_dir, "tuned"),
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
