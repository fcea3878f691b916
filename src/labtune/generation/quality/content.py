"""What a text is about, as comparable parts: content words (pairs of characters in unspaced scripts)."""

from __future__ import annotations

import re
import unicodedata

from labtune.documents.lexicon import FUNCTION_WORDS, STOP_WORDS

UNSPACED = (
    "\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_PART = re.compile(rf"[{UNSPACED}]+|\d+(?:[.,:]\d+)*|[^\W\d_{UNSPACED}]+")
_UNSPACED_RUN = re.compile(rf"[{UNSPACED}]")
_MORE_SMALL = """
yes no does do did has have had can could will would should may might must there they them you your it its
he she we our i me my what when where why how if so then than such more most also very about because while
during after before both each other some any these those
"""
_SMALL = frozenset.union(FUNCTION_WORDS, *STOP_WORDS.values(), _MORE_SMALL.split())
_PARTICLE = re.compile("[的了吗呢吧啊呀是在和与及或也都就而有为以于之这那其它他她们个把被让给对从到]")
_STEM = 4


def normalise(text: str) -> str:
    """Compatibility characters unified, case folded, curly apostrophes straightened."""
    return unicodedata.normalize("NFKC", text).casefold().replace("’", "'")


def content(text: str) -> list[str]:
    """Content words, numbers and character pairs of a text in their order."""
    parts: list[str] = []
    for part in _PART.findall(normalise(text)):
        if _UNSPACED_RUN.match(part):
            parts += _pairs(part)
        elif part[0].isdigit():
            parts.append(plain_number(part))
        elif len(part) > 1 and part not in _SMALL:
            parts.append(part)
    return parts


def _pairs(run: str) -> list[str]:
    """Neighbouring characters between particles; single characters only where there is nothing else."""
    pieces = [piece for piece in _PARTICLE.split(run) if piece]
    pairs = [piece[i : i + 2] for piece in pieces for i in range(len(piece) - 1)]
    return pairs or pieces


def plain_number(text: str) -> str:
    """One spelling for a number: `1,000` and `1000`, `3.0` and `3` are the same."""
    if re.fullmatch(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?", text):
        text = text.replace(",", "")
    if re.fullmatch(r"\d+[.,]\d+", text):
        text = text.replace(",", ".").rstrip("0").rstrip(".")
    return text.lstrip("0") or "0" if text.isdigit() else text


class Vocabulary:
    """The content of a text, to be asked what it holds; other endings of a word count as the word.

    Args:
        text: what is known.
        numbers: numbers that the text says in other ways (in words).
    """

    def __init__(self, text: str, numbers: frozenset[str] = frozenset()) -> None:
        self._parts = frozenset(content(text)) | numbers
        self._text = normalise(text)
        self._stems = frozenset(_stem(part) for part in self._parts)

    def holds(self, part: str) -> bool:
        """Whether a part of `content()` stands in the text, perhaps inflected."""
        if part in self._parts:
            return True
        if len(part) == 1 and _UNSPACED_RUN.match(part):
            return part in self._text
        return part[0].isalpha() and len(part) > _STEM and _stem(part) in self._stems

    def share(self, parts: list[str]) -> float:
        """The share of `parts` that the text holds; 0 for no parts."""
        return sum(map(self.holds, parts)) / len(parts) if parts else 0.0


def _stem(word: str) -> str:
    """A word without what inflection changes, roughly; digits and character pairs stay as they are."""
    if len(word) <= _STEM or not word.isalpha() or _UNSPACED_RUN.match(word):
        return word
    return word[: max(_STEM, len(word) - 3)]
