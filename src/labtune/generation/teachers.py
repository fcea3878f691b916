"""The built-in teacher's languages: one set of rules per document, chosen by its language."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Protocol

from labtune.generation.rows import Ask, Fact, Passage


class Teacher(Protocol):
    """Rules of one language for one document."""

    def fact(self, passage: Passage) -> Fact:
        """What a passage states, and the ways to ask for it."""
        ...

    def phrasings(
        self, fact: Fact, passage: Passage, draw: random.Random, *, plain: bool = False
    ) -> Iterator[tuple[Ask, str]]:
        """Endless phrasings of the fact; with `plain`, only whole questions that a short answer fits."""
        ...

    def brief(self, question: str, draw: random.Random) -> str:
        """The question with a request for a short answer."""
        ...

    def both(self, first: str, second: str) -> str:
        """One question that asks two things."""
        ...


def teacher_for(passages: Sequence[Passage]) -> Teacher:
    """The rules for a document's language; English rules serve Latin scripts as far as they go."""
    if passages and passages[0].document.language.startswith("zh"):
        from labtune.generation.chinese.teacher import ChineseTeacher

        return ChineseTeacher(passages)
    from labtune.generation.english.teacher import EnglishTeacher

    return EnglishTeacher(passages)
