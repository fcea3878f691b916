"""Texts as words that can be put together again: for scripts with blanks and for those without."""

from __future__ import annotations

import re
from collections.abc import Iterable

# Scripts written without blanks: Thai, Lao, Khmer, kana, Han with its extensions.
_UNSPACED = (
    "\u0e00-\u0eff\u1780-\u17ff\u2e80-\u2fdf\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U0003ffff"
)
_MARKS = r"[^\s\w]*"
_WORD = re.compile(rf"[{_UNSPACED}]{_MARKS}|[^\s{_UNSPACED}]+")
_STARTS_UNSPACED = re.compile(rf"[{_UNSPACED}]")


def split_words(text: str) -> list[str]:
    """The words of a text in order, each with the marks that touch it.

    In a script without blanks every character is a word.
    """
    return _WORD.findall(text)


def join_words(words: Iterable[str]) -> str:
    """One text of words: a blank between two of them, none where one is of a script without blanks."""
    text = ""
    unspaced = True
    for word in words:
        is_unspaced = _STARTS_UNSPACED.match(word) is not None
        text += word if not text or unspaced or is_unspaced else f" {word}"
        unspaced = is_unspaced
    return text
