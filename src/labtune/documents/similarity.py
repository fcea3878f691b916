"""How alike two short texts are: tokens, shingles, MinHash sketches, and a join that finds alike sets fast.

Not a search engine: it answers "which of these sets have a Jaccard similarity of at least t", without
comparing every pair. Sets with J >= t must share one of their first |A| - ceil(t |A|) + 1 items in any
common order; with the rarest items first, few sets do.

Source: prefix filtering (Chaudhuri et al. 2006, Bayardo et al. 2007); bottom-k MinHash (Broder 1997).
"""

from __future__ import annotations

import hashlib
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Generic, TypeVar

Item = TypeVar("Item", str, int)
Key = TypeVar("Key", bound=Hashable)

SKETCH_SIZE = 128
SHINGLE = 4

# Scripts written without spaces: kana, Han (with extensions), Thai, Lao, Myanmar, Khmer.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U0003ffff"
)
_TOKEN = re.compile(
    rf"[{_UNSPACED}]+"
    rf"|\d+(?:[.,:]\d+)*"
    rf"|[^\W\d_{_UNSPACED}]+(?:'[^\W\d_]+)?"
    r"|(?<=[\d\s])[-+*/=×÷](?=[\d\s])"
)
_UNSPACED_RUN = re.compile(rf"[{_UNSPACED}]")

# Words that make no other question of a question: articles, politeness, Chinese particles.
_FILLER = frozenset(("a", "an", "the", "please", "kindly", "so", "hi", "hello", "hey", "sorry"))
_FILLER_CHARACTERS = frozenset("的了吗呢吧啊呀请问是")


def normalise(text: str) -> str:
    """Compatibility characters unified (NFKC), case folded, curly apostrophes straightened."""
    return unicodedata.normalize("NFKC", text).casefold().replace("’", "'")


def plain(text: str) -> str:
    """`normalise`d words and characters, single spaces, no punctuation: equal texts read the same."""
    return " ".join(_TOKEN.findall(normalise(text)))


def numbers(text: str) -> tuple[str, ...]:
    """The numbers of a text in their order; they tell templates apart that differ in nothing else."""
    return tuple(token for token in _TOKEN.findall(normalise(text)) if token[0].isdigit())


def tokens(text: str) -> frozenset[str]:
    """Words (fillers left out) and, in scripts without spaces, character pairs; repetitions count.

    The second "the same" becomes a token of its own (`word#2`), so that a set behaves as a bag.
    """
    found: list[str] = []
    for token in _TOKEN.findall(normalise(text)):
        if _UNSPACED_RUN.match(token):
            characters = "".join(c for c in token if c not in _FILLER_CHARACTERS)
            pairs = [characters[i : i + 2] for i in range(len(characters) - 1)]
            found.extend(pairs or ([characters] if characters else []))
        elif token not in _FILLER:
            found.append(token)
    seen: Counter[str] = Counter()
    bag: list[str] = []
    for token in found:
        seen[token] += 1
        bag.append(token if seen[token] == 1 else f"{token}#{seen[token]}")
    return frozenset(bag)


def jaccard(left: frozenset[Item], right: frozenset[Item]) -> float:
    """Shared items over all items; 1 for two empty sets."""
    if not left and not right:
        return 1.0
    shared = len(left & right)
    return shared / (len(left) + len(right) - shared)


class Sketcher:
    """Bottom-k MinHash sketches over character shingles; remembers the hashes of shingles it has seen."""

    def __init__(self) -> None:
        self._hashes: dict[str, int] = {}

    def sketch(self, text: str) -> frozenset[int]:
        """The `SKETCH_SIZE` smallest hashes of a text's shingles (all of them for a short text)."""
        body = plain(text)
        shingles = {body[i : i + SHINGLE] for i in range(max(1, len(body) - SHINGLE + 1))}
        hashes = [self._hash(shingle) for shingle in shingles]
        return frozenset(hashes if len(hashes) <= SKETCH_SIZE else sorted(hashes)[:SKETCH_SIZE])

    def _hash(self, shingle: str) -> int:
        value = self._hashes.get(shingle)
        if value is None:
            value = int.from_bytes(hashlib.blake2b(shingle.encode(), digest_size=8).digest(), "big")
            self._hashes[shingle] = value
        return value


def sketch_similarity(left: frozenset[int], right: frozenset[int]) -> float:
    """Estimated Jaccard similarity of two sketched sets; exact when both fit their sketch."""
    if len(left) < SKETCH_SIZE and len(right) < SKETCH_SIZE:
        return jaccard(left, right)
    union = sorted(left | right)[:SKETCH_SIZE]
    return sum(value in left and value in right for value in union) / len(union)


class SimilarSets(Generic[Key, Item]):
    """Sets that can be asked for those at least `threshold` alike.

    Args:
        threshold: least similarity, in (0, 1].
        frequency: how many sets an item stands in; rare items are looked at first. Items that are not in
            it count as rarest. It only has to be the same for all calls, not exact.
        similarity: of two sets; `jaccard` or `sketch_similarity`.
    """

    def __init__(
        self,
        threshold: float,
        frequency: Mapping[Item, int],
        similarity: Callable[[frozenset[Item], frozenset[Item]], float] = jaccard,
    ) -> None:
        self._threshold = threshold
        self._frequency: Mapping[Item, int] = frequency
        self._similarity: Callable[[frozenset[Item], frozenset[Item]], float] = similarity
        self._sets: dict[Key, frozenset[Item]] = {}
        self._by_item: dict[Item, list[Key]] = {}

    def add(self, key: Key, items: frozenset[Item]) -> None:
        """Make a set findable."""
        self._sets[key] = items
        for item in self._prefix(items):
            self._by_item.setdefault(item, []).append(key)

    def find(self, items: frozenset[Item]) -> list[tuple[Key, float]]:
        """All sets that are alike enough with their similarity, in the order in which they were added."""
        found: dict[Key, float] = {}
        checked: set[Key] = set()
        for item in self._prefix(items):
            for key in self._by_item.get(item, ()):
                if key not in checked:
                    checked.add(key)
                    value = self._similarity(items, self._sets[key])
                    if value >= self._threshold:
                        found[key] = value
        return [(key, found[key]) for key in self._sets if key in found] if found else []

    def _prefix(self, items: frozenset[Item]) -> list[Item]:
        frequency = self._frequency
        ordered = sorted(items, key=lambda item: (frequency.get(item, 0), item))
        # The small subtraction keeps 0.95 * 20 = 19.000000000000004 from rounding up to 20.
        return ordered[: len(items) - math.ceil(self._threshold * len(items) - 1e-9) + 1]


def frequencies(sets: Iterable[frozenset[Item]]) -> Counter[Item]:
    """In how many of the sets each item stands."""
    counts: Counter[Item] = Counter()
    for items in sets:
        counts.update(items)
    return counts
