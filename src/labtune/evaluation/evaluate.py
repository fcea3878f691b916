"""The evaluate stage: base and tuned sit the exams, and the report says what changed.

Writes `scores.json` and `answers.jsonl` (every question with both answers). Only test questions are asked:
checkpoints were chosen on the development split.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from labtune.artifact import Checkpoint, Curated, write_json, write_jsonl
from labtune.config.lab import EvaluateConfig
from labtune.evaluation.answers import AnswerCache, model_identity, prompt_of
from labtune.evaluation.before import reported_questions
from labtune.evaluation.exam import Desk, Mark, answer_choices, answer_exam
from labtune.evaluation.general import GeneralExam, retention
from labtune.evaluation.report import Sitting, build_scores
from labtune.protocols import LikelihoodModel
from labtune.types import ExamQuestion, Json, RunContext, StageOutcome


@dataclass(frozen=True, slots=True)
class Contestants:
    """Who is compared. `base_id` is the base's content hash (`model_identity`): the key of its answers."""

    base: LikelihoodModel
    tuned: LikelihoodModel
    base_id: str = ""


def evaluate(
    checkpoint: Checkpoint,
    curated: Curated,
    *,
    config: EvaluateConfig,
    run: RunContext,
    contestants: Contestants,
    general: GeneralExam,
) -> StageOutcome:
    """Ask, judge, report.

    Returns:
        An outcome whose `failed_gate` is set when less is retained than `config.retention_floor`.

    Raises:
        ModelError: a model failed.
    """
    exam = curated.exam()
    questions = reported_questions(exam)
    leaf_exams: dict[str, list[ExamQuestion]] = {}
    for question in exam:
        leaf_exams.setdefault(question.leaf, []).append(question)
    marks: dict[str, list[Mark]] = {}
    general_marks: dict[str, list[Mark]] = {}
    for who, model, model_id in (
        ("base", contestants.base, contestants.base_id),
        ("tuned", contestants.tuned, model_identity(checkpoint.model_dir)),
    ):
        desk = Desk(who, AnswerCache(run.cache_dir, model_id), config, run.emit)
        free = answer_exam(model, questions, desk, "exam")
        choices = answer_choices(model, questions, leaf_exams, desk)
        marks[who] = [replace(m, mc=mc, n_options=n) for m, (mc, n) in zip(free, choices, strict=True)]
        general_marks[who] = answer_exam(model, general.questions(), desk, "general")
    kept = retention(
        general,
        [m.right for m in general_marks["base"]],
        [m.right for m in general_marks["tuned"]],
        config.retention_floor,
    )
    sitting = Sitting(tuple(questions), tuple(marks["base"]), tuple(marks["tuned"]))
    scores = build_scores(sitting, [leaf.path for leaf in curated.leaves()], kept)
    rows = [_row(q, "test", b, t) for q, b, t in sitting.rows()]
    rows += [
        {**_row(q, "general", b, t), "category": category, "language": language}
        for q, b, t, category, language in zip(
            general.questions(),
            general_marks["base"],
            general_marks["tuned"],
            general.categories,
            general.languages,
            strict=True,
        )
    ]
    write_jsonl(run.out_dir / "answers.jsonl", rows)
    write_json(run.out_dir / "scores.json", scores)
    run.emit("exam.scores", {"total": scores["total"], "retention": kept})
    return _outcome(sitting, kept)


def _row(question: ExamQuestion, split: str, base: Mark, tuned: Mark) -> dict[str, Json]:
    return {
        "id": question.id,
        "leaf": question.leaf,
        "split": split,
        "origin": question.origin,
        "source": f"{question.source.file}:{question.source.line}",
        "category": "",
        "language": "",
        "context": question.context or "",
        "question": question.question,
        "prompt": prompt_of(question),
        "gold": question.answer,
        "must": list(question.must),
        "base": _mark(base),
        "tuned": _mark(tuned),
    }


def _mark(mark: Mark) -> dict[str, Json]:
    return {
        "answer": mark.answer.text,
        "right": mark.right,
        "reason": mark.reason,
        "mc": mark.mc,
        "n_options": mark.n_options,
        "f1": round(mark.f1, 4),
        "stopped": mark.answer.stopped,
    }


def _outcome(sitting: Sitting, kept: dict[str, Json]) -> StageOutcome:
    n = len(sitting.questions)
    base, tuned = sum(m.right for m in sitting.base), sum(m.right for m in sitting.tuned)
    counts: dict[str, Json] = {
        "questions": n,
        "base_right": base,
        "tuned_right": tuned,
        "general_questions": kept["n"],
    }
    summary = f"right: base {base}, tuned {tuned} of {n}" if n else "no test question in the exam"
    ratio, floor = kept["ratio"], kept["floor"]
    if isinstance(ratio, float):
        summary += f"; retention {ratio:.1%}"
    failed = None if kept["passed"] else f"retention {ratio:.1%} is below the lab's floor of {floor:.1%}"
    return StageOutcome(counts, summary, failed)
