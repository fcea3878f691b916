"""Builders of questions, and a real in-memory model: it knows what it was given and scores answers by it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from labtune.errors import ModelError
from labtune.protocols import Reply, Sampling
from labtune.types import ExamQuestion, Message, Source, Split


def question(
    name: str,
    answer: str = "The dock is white.",
    *,
    text: str | None = None,
    leaf: str = "knowledge/a",
    must: tuple[str, ...] = (),
    split: Split = "test",
    context: str | None = None,
    line: int = 1,
) -> ExamQuestion:
    return ExamQuestion(
        id=name,
        leaf=leaf,
        question=text or f"What about {name}?",
        answer=answer,
        split=split,
        source=Source(f"{leaf}/exam.yaml", line),
        origin="exam",
        must=must,
        context=context,
    )


class Recall:
    """A model that answers from a table, and finds the answer that stands there likelier than others."""

    def __init__(self, table: Mapping[str, str], *, name: str = "recall", longest: int = 10_000) -> None:
        self.table = dict(table)
        self.longest = longest
        self.asked: list[str] = []
        self.scored: list[tuple[str, str]] = []
        self._name = name

    @property
    def name(self) -> str:
        return self._name

    def complete(self, chats: Sequence[Sequence[Message]], sampling: Sampling) -> list[Reply]:
        prompts = [chat[-1].content for chat in chats]
        self._check(prompts)
        self.asked += prompts
        texts = [self.table.get(prompt, "I do not know.") for prompt in prompts]
        return [
            Reply(text[: sampling.max_tokens], len(text) <= sampling.max_tokens, len(prompt), len(text))
            for prompt, text in zip(prompts, texts, strict=True)
        ]

    def loglikelihoods(self, chats: Sequence[Sequence[Message]], answers: Sequence[str]) -> list[float]:
        prompts = [chat[-1].content for chat in chats]
        self._check(prompts)
        self.scored += list(zip(prompts, answers, strict=True))
        return [
            -1.0 + 0.5 * (self.table.get(prompt) == answer)
            for prompt, answer in zip(prompts, answers, strict=True)
        ]

    def _check(self, prompts: Sequence[str]) -> None:
        if any(len(prompt) > self.longest for prompt in prompts):
            raise ModelError("a chat does not fit the model's context")
