"""Near duplicates across a whole leaf, whatever round, passage or view a sample came from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from labtune.documents.similarity import (
    SimilarSets,
    Sketcher,
    frequencies,
    numbers,
    plain,
    sketch_similarity,
)


@dataclass(frozen=True, slots=True)
class _Pair:
    question: str
    sketch: frozenset[int]
    numbers: tuple[str, ...]


class SeenPairs:
    """The kept question-answer pairs of a leaf; a new one that says the same is told apart.

    Args:
        threshold: estimated Jaccard similarity of the shingles of question and answer together from which a
            pair is a near duplicate. Pairs whose numbers differ never are: templates differ in nothing else.
    """

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._sketcher = Sketcher()
        self._kept: dict[str, _Pair] = {}
        self._questions: dict[str, str] = {}
        self._index: SimilarSets[str, int] = SimilarSets(threshold, {}, sketch_similarity)

    def expect(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Say what is about to come: the search is fast only when it knows which shingles are rare."""
        coming = [self._pair(question, answer).sketch for question, answer in pairs]
        frequency = frequencies([*(pair.sketch for pair in self._kept.values()), *coming])
        self._index = SimilarSets(self._threshold, frequency, sketch_similarity)
        for identity, pair in self._kept.items():
            self._index.add(identity, pair.sketch)

    def partner(self, question: str, answer: str) -> str | None:
        """Id of the kept sample that asks the same or says all but the same, or None."""
        pair = self._pair(question, answer)
        same = self._questions.get(pair.question)
        if same is not None:
            return same
        found = (key for key, _ in self._index.find(pair.sketch) if self._kept[key].numbers == pair.numbers)
        return next(found, None)

    def add(self, identity: str, question: str, answer: str) -> None:
        """Keep a pair."""
        pair = self._pair(question, answer)
        self._kept[identity] = pair
        self._questions[pair.question] = identity
        self._index.add(identity, pair.sketch)

    def _pair(self, question: str, answer: str) -> _Pair:
        text = f"{question}\n{answer}"
        return _Pair(plain(question) or question.strip(), self._sketcher.sketch(text), numbers(text))
