"""Sitting an exam: one contestant, all questions, every rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from labtune.config.lab import EvaluateConfig
from labtune.evaluation.answers import Answer, AnswerCache, Progress, ask, likelihoods
from labtune.evaluation.choice import is_right, options
from labtune.evaluation.scorers import right, token_f1
from labtune.protocols import ChatModel, LikelihoodModel, Sampling
from labtune.types import Emit, ExamQuestion


@dataclass(frozen=True, slots=True)
class Mark:
    """One contestant's answer to one question, judged.

    `mc` is None where the question was not asked as a choice: the leaf has no other answer, or only free
    answers were asked for. `n_options` counts the options, the right one included.
    """

    answer: Answer
    right: bool
    reason: str
    f1: float
    mc: bool | None = None
    n_options: int = 0


@dataclass(frozen=True, slots=True)
class Desk:
    """Who sits the exam (`base`, `tuned`), what is remembered of its answers, and who listens."""

    who: str
    cache: AnswerCache
    config: EvaluateConfig
    emit: Emit


def sampling_of(config: EvaluateConfig) -> Sampling:
    """Greedy decoding up to the longest answer: exams do not roll dice."""
    return Sampling(max_tokens=config.max_new_tokens)


def answer_exam(model: ChatModel, questions: Sequence[ExamQuestion], desk: Desk, part: str) -> list[Mark]:
    """Ask all questions and judge the free answers.

    Emits `exam.progress` {model, part, done, total} per batch and `exam.answer` per question.

    Raises:
        ModelError: the model failed.
    """
    config = desk.config
    answers = ask(
        model,
        questions,
        sampling=sampling_of(config),
        batch_size=config.batch_size,
        cache=desk.cache,
        progress=_progress(desk, part),
    )
    marks: list[Mark] = []
    for question, answer in zip(questions, answers, strict=True):
        verdict = right(answer.text, question)
        f1 = token_f1(answer.text, question).value
        reason = f"unanswered: {answer.error}" if answer.error else verdict.reason
        marks.append(Mark(answer, bool(verdict.value), reason, f1))
        desk.emit(
            "exam.answer",
            {
                "model": desk.who,
                "part": part,
                "leaf": question.leaf,
                "id": question.id,
                "question": question.question,
                "gold": question.answer,
                "answer": answer.text,
                "right": bool(verdict.value),
            },
        )
    return marks


def answer_choices(
    model: LikelihoodModel,
    questions: Sequence[ExamQuestion],
    leaf_exams: Mapping[str, Sequence[ExamQuestion]],
    desk: Desk,
) -> list[tuple[bool | None, int]]:
    """Put the questions as multiple choice.

    Args:
        model: scores the options.
        questions: what to ask.
        leaf_exams: all exam questions of each leaf, whose answers are the distractors.
        desk: who sits, and its cache.

    Returns:
        (right or None, number of options) for each question.
    """
    config = desk.config
    choices = [options(q, leaf_exams.get(q.leaf, ()), config.choices) for q in questions]
    pairs = [
        (q, option)
        for q, listed in zip(questions, choices, strict=True)
        if len(listed) > 1
        for option in listed
    ]
    scores = iter(
        likelihoods(
            model,
            pairs,
            batch_size=config.batch_size,
            cache=desk.cache,
            progress=_progress(desk, "choices"),
        )
    )
    return [
        (is_right([next(scores) for _ in listed]), len(listed)) if len(listed) > 1 else (None, len(listed))
        for listed in choices
    ]


def _progress(desk: Desk, part: str) -> Progress:
    def report(done: int, total: int) -> None:
        desk.emit("exam.progress", {"model": desk.who, "part": part, "done": done, "total": total})

    return report
