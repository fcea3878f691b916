"""Multiple choice by likelihood: does the model prefer the answer to other answers of the same leaf?

No letters are shown (small models cannot use them): every option is scored as the whole reply to the
question, by mean log-probability per token, and the right one has to be ahead of all others.
"""

from __future__ import annotations

from collections.abc import Sequence

from labtune.artifact import content_hash
from labtune.evaluation.content import compact
from labtune.evaluation.scorers import right
from labtune.types import ExamQuestion


def options(question: ExamQuestion, leaf_exam: Sequence[ExamQuestion], n: int) -> list[str]:
    """The right answer first, then up to `n - 1` answers to other questions of the leaf.

    Distractors are distinct from each other and from the right answer (layout and case aside), would not
    count as right themselves, and are chosen by hash of question and answer, so that the choice is the same
    in every run. Fewer where the leaf has fewer; a list of one cannot be asked as a choice.
    """
    distinct: dict[str, str] = {}
    for other in sorted(leaf_exam, key=lambda q: q.id):
        shape = compact(other.answer)
        if shape and shape != compact(question.answer) and not right(other.answer, question).value:
            distinct.setdefault(shape, other.answer)
    ranked = sorted(distinct.items(), key=lambda item: content_hash(question.id, item[0]))
    return [question.answer, *(answer for _, answer in ranked[: n - 1])]


def is_right(scores: Sequence[float]) -> bool:
    """Whether the first option (the right one) is ahead of all others; a tie is not."""
    return all(scores[0] > other for other in scores[1:])
