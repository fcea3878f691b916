"""The score by which training chooses checkpoints: the development split of the exam, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Sequence

from labtune.config.lab import EvaluateConfig
from labtune.evaluation.answers import AnswerCache, ask, likelihoods
from labtune.evaluation.exam import sampling_of
from labtune.evaluation.scorers import right
from labtune.protocols import ChatModel, LikelihoodModel
from labtune.types import ExamQuestion


def development_score(model: ChatModel, questions: Sequence[ExamQuestion], config: EvaluateConfig) -> float:
    """Share of development questions answered right, ties broken by the likelihood of the right answers.

    The tie-break (geometric mean probability per token, over n + 1) is always smaller than one question, so
    it never outweighs one; it tells checkpoints apart before the first answer is right. Test questions among
    `questions` are left out. Nothing is cached: the weights change between calls.

    Returns:
        0 .. below 1 + 1/n; 0.0 when there is no development question.

    Raises:
        ModelError: the model failed.
    """
    dev = sorted((q for q in questions if q.split == "dev"), key=lambda q: q.id)
    if not dev:
        return 0.0
    nothing = AnswerCache(None, "")
    size = config.batch_size
    answers = ask(model, dev, sampling=sampling_of(config), batch_size=size, cache=nothing)
    n_right = sum(bool(right(a.text, q).value) for a, q in zip(answers, dev, strict=True))
    score = n_right / len(dev)
    if isinstance(model, LikelihoodModel):
        values = likelihoods(model, [(q, q.answer) for q in dev], batch_size=size, cache=nothing)
        values = [value for value in values if math.isfinite(value)] or [-math.inf]
        score += math.exp(min(0.0, math.fsum(values) / len(values))) / (len(dev) + 1)
    return score
