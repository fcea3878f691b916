"""The exam before any training: what the student already knows, before money or time is spent."""

from __future__ import annotations

from labtune.artifact import Curated
from labtune.config.lab import EvaluateConfig
from labtune.evaluation.answers import AnswerCache
from labtune.evaluation.exam import Desk, answer_exam
from labtune.evaluation.intervals import wilson
from labtune.protocols import ChatModel
from labtune.types import ExamQuestion, Json, RunContext


def ask_before(
    base: ChatModel, curated: Curated, *, config: EvaluateConfig, run: RunContext, base_id: str = ""
) -> dict[str, Json]:
    """Ask the untuned student the test questions.

    Args:
        base: the untuned student.
        curated: whose exam.
        config: how answers are taken.
        run: for its cache and event sink; nothing is written to `out_dir`.
        base_id: content hash of the student (`answers.model_identity`); with it the evaluation after training
            finds these answers in the cache and does not ask again.

    Returns:
        {n, right (share), right_interval, answers: [{leaf, question, gold, answer, right}]}; share and
        interval None without questions.

    Raises:
        ModelError: the model failed.
    """
    questions = reported_questions(curated.exam())
    desk = Desk("base", AnswerCache(run.cache_dir, base_id), config, run.emit)
    marks = answer_exam(base, questions, desk, "exam")
    n_right = sum(mark.right for mark in marks)
    interval = wilson(n_right, len(marks))
    answers: list[Json] = [
        {
            "leaf": q.leaf,
            "question": q.question,
            "gold": q.answer,
            "answer": mark.answer.text,
            "right": mark.right,
        }
        for q, mark in zip(questions, marks, strict=True)
    ]
    return {
        "n": len(marks),
        "right": n_right / len(marks) if marks else None,
        "right_interval": list(interval) if interval else None,
        "answers": answers,
    }


def reported_questions(exam: list[ExamQuestion]) -> list[ExamQuestion]:
    """The questions that are reported, by leaf and id."""
    return sorted((q for q in exam if q.split == "test"), key=lambda q: (q.leaf, q.id))
