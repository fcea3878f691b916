"""The rule by which an answer is right (the same as in `labtune`'s evaluation)."""

from __future__ import annotations

import re
from collections.abc import Sequence

_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")
_WORD = re.compile(r"[^\W_]+")
_STOP = frozenset(
    [
        "a",
        "an",
        "the",
        "is",
        "are",
        "was",
        "were",
        "be",
        "been",
        "of",
        "in",
        "on",
        "at",
        "to",
        "for",
        "from",
        "by",
        "with",
        "and",
        "or",
        "it",
        "its",
        "this",
        "that",
        "as",
        "do",
        "does",
        "did",
        "has",
        "have",
        "had",
        "will",
        "would",
        "can",
        "could",
        "there",
        "their",
        "they",
        "he",
        "she",
        "his",
        "her",
        "you",
        "your",
        "i",
        "my",
        "we",
        "our",
        "not",
        "no",
        "yes",
    ]
)


def contains(output: str, word: str) -> bool:
    """Whether `word` stands in `output`: whole words for Latin script, plain substring for CJK."""
    text, wanted = output.casefold(), word.casefold()
    if _CJK.search(wanted):
        return wanted in text
    before = r"(?<![^\W_])" if wanted[:1].isalnum() else ""
    after = r"(?![^\W_])" if wanted[-1:].isalnum() else ""
    if _CJK.search(text):
        before = before and r"(?<![a-z0-9])"
        after = after and r"(?![a-z0-9])"
    return re.search(before + re.escape(wanted) + after, text) is not None


def words(text: str) -> list[str]:
    """Content words; every Chinese character counts as one."""
    found: list[str] = []
    for word in _WORD.findall(text.casefold()):
        if _CJK.search(word):
            found += re.findall(r"[0-9a-z]+|.", word)
        elif word not in _STOP:
            found.append(word)
    return found


def right(output: str, answer: str, must: Sequence[str]) -> bool:
    """All `must` words, or without them 0.6 of the answer's content words and all its numbers."""
    if must:
        return all(contains(output, word) for word in must)
    wanted = words(answer)
    have = set(words(output))
    numbers = [word for word in wanted if word.isdigit()]
    if any(number not in have for number in numbers):
        return False
    return bool(wanted) and sum(word in have for word in wanted) >= 0.6 * len(wanted)
