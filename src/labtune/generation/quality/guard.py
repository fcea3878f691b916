"""Keeps the exam out: what it asks or holds out is neither shown to a teacher nor trained on."""

from __future__ import annotations

from collections.abc import Sequence

from labtune.documents.similarity import SimilarSets, frequencies, numbers, plain, tokens
from labtune.types import ExamQuestion, Leaf, SeedExample

OVERLAP = 0.8
"""Similarity of the words from which two questions are the same; the mix stage uses the same."""


class ExamGuard:
    """Knows what the exam asks about a leaf."""

    def __init__(self, leaf: Leaf, exam: Sequence[ExamQuestion] = ()) -> None:
        asked = [(seed.context, seed.question, seed.id) for seed in leaf.seeds if seed.held_out]
        asked += [(item.context, item.question, item.id) for item in exam if item.leaf == leaf.path]
        shown = leaf.kind != "knowledge"
        texts = [
            (f"{context}\n\n{question}" if shown and context else question) for context, question, _ in asked
        ]
        self._names = [name for _, _, name in asked]
        self._numbers = [numbers(text) for text in texts]
        self._equal = {plain(text): self._names[index] for index, text in enumerate(texts)}
        bags = [tokens(text) for text in texts]
        self._alike: SimilarSets[int, str] = SimilarSets(OVERLAP, frequencies(bags))
        for index, bag in enumerate(bags):
            self._alike.add(index, bag)

    def asks(self, text: str) -> str | None:
        """Id of the exam question or held-out seed that `text` (context and question) repeats, or None."""
        for part in dict.fromkeys((text, text.rsplit("\n\n", 1)[-1])):
            if plain(part) in self._equal:
                return self._equal[plain(part)]
            own = numbers(part)
            for index, _ in self._alike.find(tokens(part)):
                if self._numbers[index] == own:
                    return self._names[index]
        return None


def open_seeds(leaf: Leaf) -> tuple[SeedExample, ...]:
    """The seeds that a teacher may be shown and a student may be trained on."""
    return tuple(seed for seed in leaf.seeds if not seed.held_out)
