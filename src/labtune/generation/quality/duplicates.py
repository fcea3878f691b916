"""Near duplicates across a whole leaf, whatever round, passage or view a sample came from.

MinHash with banding: a text's shingle hashes fall into buckets, the smallest of each bucket is kept, and
pairs that agree in all buckets of some band are compared. Two pairs with a similarity of 0.8 meet with a
probability of 99 %, two with 0.3 in 3 % of the cases, so not every pair has to be compared with every other.

Source: one permutation hashing (Li, Owen, Zhang 2012) with the empty buckets filled from the next full one
(Shrivastava, Li 2014); banding as in Leskovec, Rajaraman, Ullman, Mining of Massive Datasets, 3.4.
"""

from __future__ import annotations

from dataclasses import dataclass

from labtune.documents.similarity import Sketcher, jaccard, numbers, plain, sketch_similarity

BANDS = 12
ROWS = 5
_BUCKETS = BANDS * ROWS
_SURELY_LESS = 0.15
"""By how much the cheap estimate may be wrong."""

Band = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Pair:
    text: str
    question: str
    sketch: frozenset[int]
    bands: tuple[Band, ...]
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
        self._bands: dict[Band, list[str]] = {}
        self._newest: _Pair | None = None

    def partner(self, question: str, answer: str) -> str | None:
        """Id of the kept sample that asks the same or says all but the same, or None."""
        pair = self._pair(question, answer)
        same = self._questions.get(pair.question)
        if same is not None:
            return same
        compared: set[str] = set()
        for band in pair.bands:
            for key in self._bands.get(band, ()):
                if key not in compared:
                    compared.add(key)
                    if self._alike(self._kept[key], pair):
                        return key
        return None

    def add(self, identity: str, question: str, answer: str) -> None:
        """Keep a pair."""
        pair = self._pair(question, answer)
        self._kept[identity] = pair
        self._questions[pair.question] = identity
        for band in pair.bands:
            self._bands.setdefault(band, []).append(identity)

    def _alike(self, left: _Pair, right: _Pair) -> bool:
        if left.numbers != right.numbers:
            return False
        if jaccard(left.sketch, right.sketch) < self._threshold - _SURELY_LESS:
            return False
        return sketch_similarity(left.sketch, right.sketch) >= self._threshold

    def _pair(self, question: str, answer: str) -> _Pair:
        text = f"{question}\n{answer}"
        # What is added was just asked for.
        if self._newest is None or self._newest.text != text:
            sketch = self._sketcher.sketch(text)
            name = plain(question) or question.strip()
            self._newest = _Pair(text, name, sketch, _bands(sketch), numbers(text))
        return self._newest


def _bands(sketch: frozenset[int]) -> tuple[Band, ...]:
    """The bands of a sketch, each with its number first."""
    smallest: list[int | None] = [None] * _BUCKETS
    for value in sketch:
        bucket, rest = value % _BUCKETS, value // _BUCKETS
        found = smallest[bucket]
        if found is None or rest < found:
            smallest[bucket] = rest
    filled: list[int] = []
    following = next((value for value in smallest if value is not None), 0)
    for least in reversed(smallest):
        if least is not None:
            following = least
        filled.append(following)
    return tuple((band, *filled[band * ROWS : (band + 1) * ROWS]) for band in range(BANDS))
