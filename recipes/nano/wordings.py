"""What people say instead of a text's own words: an everyday thesaurus, as rows and in other questions."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from functools import lru_cache

import yaml

from .lexicon import DATA
from .rows import Row, qa

_REWORDED = 0.35
_WORD = re.compile(r"[A-Za-z][\w'-]*")


@lru_cache
def groups(language: str) -> list[tuple[str, ...]]:
    """Words and phrases of nearly one meaning."""
    text = (DATA / f"associates_{language}.yaml").read_text("utf-8")
    return [tuple(str(word) for word in group) for group in yaml.safe_load(text)]


@lru_cache
def _others(language: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for group in groups(language):
        for word in group:
            if language == "en" or len(word) > 1:
                found.setdefault(word, []).extend(other for other in group if other != word)
    return found


@lru_cache
def _pattern_zh() -> re.Pattern[str]:
    return re.compile("|".join(sorted(map(re.escape, _others("zh")), key=len, reverse=True)))


_ASKED = {
    "en": (
        "What do people also say for {a}?",
        "{a} in other words?",
        "What else is {a} called?",
        "{a}, you know, how else do you say that?",
    ),
    "zh": ("{a}换个说法？", "{a}，别人还会怎么说？", "{a}也叫什么？", "{a}就是什么意思？"),
}
_COMPARED = {"en": "Do {a} and {b} mean about the same?", "zh": "{a}和{b}是一回事吗？"}
_SAYS = {
    "en": ("{a}: {b}, {c}.", "Yes, {a} and {b} go together.", "No, {a} and {b} do not."),
    "zh": ("{a}也可以说{b}，{c}。", "是的，{a}和{b}说的是一回事。", "不，{a}和{b}不是一回事。"),
}


def wording_row(rng: random.Random, language: str) -> Row:
    """A question about what else people say for a thing."""
    group = rng.choice(groups(language))
    asked, first, second = rng.sample(group, 3)
    stranger = rng.choice(rng.choice(groups(language)))
    listed, same, other = _SAYS[language]
    draw = rng.random()
    if draw < 0.6:
        question = rng.choice(_ASKED[language]).format(a=asked)
        return qa(question, listed.format(a=asked, b=first, c=second), "wording", language)
    mate = first if draw < 0.8 else stranger
    answer = same if mate in group else other
    question = _COMPARED[language].format(a=asked, b=mate)
    return qa(question, answer.format(a=asked, b=mate), "wording", language)


def reworded(rng: random.Random, row: Row) -> Row:
    """The row with some words of its last question in other words; passages stay as they are."""
    messages = list(row.messages)
    place = next((i for i in range(len(messages) - 1, -1, -1) if messages[i][0] == "user"), None)
    if place is None:
        return row
    role, content = messages[place]
    parts = content.split("\n\n")
    # The passage stands before or after the question, and holds what the answer quotes.
    open_parts = [place for place, part in enumerate(parts) if not any(word in part for word in row.must)]
    if not open_parts:
        return row
    asked = min(open_parts, key=lambda number: len(parts[number]))
    parts[asked] = _swapped(rng, parts[asked], row.language)
    messages[place] = (role, "\n\n".join(parts))
    return replace(row, messages=tuple(messages))


def _swapped(rng: random.Random, text: str, language: str) -> str:
    others = _others(language)

    def other(match: re.Match[str]) -> str:
        found = others.get(match.group())
        return rng.choice(found) if found and rng.random() < _REWORDED else match.group()

    return (_pattern_zh() if language == "zh" else _WORD).sub(other, text)
