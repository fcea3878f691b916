"""Does an answer come from its document? What it claims in numbers and names must stand there.

Not a proof of faithfulness (judges ask for that): it catches, without asking any model, the answers that a
teacher made up or took from its own memory.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

from labtune.generation.quality.content import Vocabulary, content, normalise, plain_number

_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_LIST_MARK = re.compile(r"(?m)^\s*(?:\(?\d{1,2}[.)、]\)?|[-*•])\s+")
_NAME = re.compile(r"(?<![^\s(\"'“‘/-])[A-Z\u00c0-\u00de\u0410-\u042f][\w'’-]*")
_SENTENCE_START = re.compile(r"(?:^|[.!?:;\n\"“(*•–-]\s*)$")
_LEAST_SHARED = 0.25
_SHOWN = 5
_WORDS = {
    "en": "zero one two three four five six seven eight nine ten eleven twelve",
    "de": "null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf",
    "fr": "zéro un deux trois quatre cinq six sept huit neuf dix onze douze",
    "es": "cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce",
}
_NUMBER_WORDS = {
    word: str(value) for words in _WORDS.values() for value, word in enumerate(words.split())
} | {"half": "0.5", "once": "1", "twice": "2"}
_HAN_DIGITS = {character: value for value, character in enumerate("零一二三四五六七八九")} | {
    "两": 2,
    "〇": 0,
}
_HAN_NUMBER = re.compile("[零〇一二两三四五六七八九十百千]+")


@dataclass(frozen=True, slots=True)
class Fault:
    """Why an answer is not grounded: a code for the funnel, and what exactly is missing."""

    reason: str
    detail: str = ""


def grounding_fault(
    question: str, answer: str, passage: str, *, context: str = "", language: str = "en"
) -> Fault | None:
    """Why an answer does not come from its passage; None when nothing speaks against it.

    Args:
        question: what was asked; repeating it is no answer.
        answer: what the teacher says.
        passage: the document's text that the teacher was shown.
        context: title and headings, which an answer may name as well.
        language: ISO 639-1 code of the document; German capitals are no sign of a name.
    """
    shown = f"{context}\n{passage}"
    numbers = known_numbers(shown)
    missing = [number for number in _numbers(_LIST_MARK.sub("", answer)) if number not in numbers]
    if missing:
        return Fault("number_not_in_document", ", ".join(dict.fromkeys(missing[:_SHOWN])))
    vocabulary = Vocabulary(shown, numbers)
    names = [] if language.startswith("de") else _names(answer)
    strange = [name for name in names if not _holds(vocabulary, name, shown)]
    if strange:
        return Fault("name_not_in_document", ", ".join(dict.fromkeys(strange[:_SHOWN])))
    parts = content(answer)
    own = [part for part in parts if part not in frozenset(content(question))] or parts
    if not parts:
        # A bare yes or no: then at least the question must be about the passage.
        return None if vocabulary.share(content(question)) >= _LEAST_SHARED else Fault("nothing_quoted")
    if vocabulary.share(own) < _LEAST_SHARED or not _shares_sequence(own, vocabulary):
        return Fault("nothing_quoted", " ".join(own[:_SHOWN]))
    return None


def known_numbers(text: str) -> frozenset[str]:
    """The numbers of a text, small ones in words included (en, de, fr, es, zh)."""
    normal = normalise(text)
    found = set(_numbers(text))
    found.update(_NUMBER_WORDS[word] for word in re.findall(r"[^\W\d_]+", normal) if word in _NUMBER_WORDS)
    found.update(str(_han_value(match)) for match in _HAN_NUMBER.findall(normal))
    # A range, a time or a version is often quoted in parts.
    for number in tuple(found):
        found.update(plain_number(part) for part in re.split("[.,:]", number) if part)
    return frozenset(found)


def _numbers(text: str) -> list[str]:
    return [plain_number(match) for match in _NUMBER.findall(normalise(text))]


def _han_value(text: str) -> int:
    """The value of a Chinese numeral below ten thousand; digits in a row (二〇二四) are read one by one."""
    if not any(unit in text for unit in "十百千"):
        return int("".join(str(_HAN_DIGITS[character]) for character in text))
    total, digit = 0, 0
    for character in text:
        unit = {"十": 10, "百": 100, "千": 1000}.get(character)
        if unit is None:
            digit = _HAN_DIGITS[character]
        else:
            total += (digit or 1) * unit
            digit = 0
    return total + digit


def _names(text: str) -> list[str]:
    """Capitalised words inside of sentences, and words in capitals anywhere.

    A text that capitalises many of its words (a heading, a list of names) tells nothing by its capitals.
    """
    words = re.findall(r"[^\W\d_]{2,}", text)
    capitalised = sum(word[0].isupper() for word in words)
    if not words or (capitalised > 0.6 * len(words) and len(words) > 6):
        return [word for word in words if word.isupper() and len(word) > 2]
    found = []
    for match in _NAME.finditer(text):
        word = match.group().rstrip("'’-")
        word = re.sub(r"['’]s?$", "", word)
        inside = not _SENTENCE_START.search(text[: match.start()])
        if len(word) > 1 and (inside or (word.isupper() and len(word) > 2)) and word != "I":
            found.append(word)
    return found


def _holds(vocabulary: Vocabulary, name: str, text: str) -> bool:
    parts = content(name)
    return not parts or all(map(vocabulary.holds, parts)) or normalise(name) in normalise(text)


def _shares_sequence(parts: list[str], vocabulary: Vocabulary) -> bool:
    """Two neighbouring parts that both stand in the passage (one, for an answer of one or two parts)."""
    if len(parts) <= 2:
        return any(map(vocabulary.holds, parts))
    known = [vocabulary.holds(part) for part in parts]
    return any(left and right for left, right in pairwise(known))
