"""Marks inside question texts: which words may be swapped, and where a name of the subject stands.

A mark is one control character before a word. They never leave the paraphraser.
"""

from __future__ import annotations

import re

from labtune.generation.english.tag import NAMING, Token

VERB, NOUN, ADJECTIVE, ADVERB = "\x01", "\x02", "\x03", "\x04"
NAME, NAMES = "\x05", "\x06"
PARTS = {VERB: "verb", NOUN: "noun", ADJECTIVE: "adjective", ADVERB: "adverb"}
_MARKS = re.compile("[\x01-\x04]")
# Addresses and other odd words are never swapped.
_ORDINARY = re.compile(r"[^\W\d_]+(?:[-'’][^\W\d_]+)*")
_PERSON = {"your": "my", "yours": "mine", "yourself": "myself", "you're": "I'm"}
_TAGS = {"VERB": VERB, "?": NOUN, "NOUN": NOUN, "ADJ": ADJECTIVE, "ADV": ADVERB}


def strip(text: str) -> str:
    """The text without word marks."""
    return _MARKS.sub("", text)


def render(tokens: list[Token] | tuple[Token, ...], *, lower: bool = True, mark: bool = True) -> str:
    """Words in the spacing of the sentence, marked for swapping, `you` turned into `I`.

    Args:
        tokens: words of one sentence, in order; gaps are closed with a blank.
        lower: write an ordinary sentence-initial word in lower case.
        mark: put marks.
    """
    parts: list[str] = []
    for index, token in enumerate(tokens):
        if index and not _glued(tokens[index - 1], token):
            parts.append(" ")
        parts.append(_word(token, tokens[index - 1] if index else None, lower=lower, mark=mark))
    return "".join(parts)


def _glued(left: Token, right: Token) -> bool:
    if left.end == right.start:
        return True
    return right.text in (",", ".", ")", ";", "?", "!", "%")


def _word(token: Token, previous: Token | None, *, lower: bool, mark: bool) -> str:
    low = token.low
    if low == "you":
        objective = (
            previous is not None and previous.tag in ("VERB", "PREP", "TO", "?") and previous.tag != "SUB"
        )
        return "me" if objective else "I"
    if low in _PERSON:
        return _PERSON[low]
    if low == "are" and previous is not None and previous.low == "you":
        return "am"
    text = token.text
    if lower and token.start == 0 and token.tag not in ("PROPN",) and low != "i" and not text[1:2].isupper():
        text = text[0].lower() + text[1:]
    if not mark or text[:1].isupper() or not _ORDINARY.fullmatch(text):
        return text
    return _TAGS.get(token.tag, "") + text


def has_name(tokens: list[Token]) -> bool:
    """True when a proper noun is among the tokens."""
    return any(token.tag == "PROPN" for token in tokens)


def content(token: Token) -> bool:
    """True for a word that carries meaning."""
    return token.tag in NAMING or (
        token.tag in ("VERB", "ADJ", "NUM", "?") and token.low not in ("one", "such", "other")
    )
