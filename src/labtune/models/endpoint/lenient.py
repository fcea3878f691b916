"""Read the JSON that models write: between prose, in fences, with the wrong quotes, cut off in the middle.

Valid JSON always reads as `json.loads` reads it. Time is linear in the text (a bounded number of linear
attempts), depth is bounded, and nothing but `ValueError` comes out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

MAX_CHARACTERS = 400_000
MAX_DEPTH = 64
MAX_ATTEMPTS = 16
"""Places of a text at which a JSON value is looked for."""
MAX_STEPS = 100_000
"""Quotes, names and values that are looked at in all attempts on one text."""

_THOUGHT = re.compile(r"<(/?)(?:think|thinking|reasoning)>")
_FENCE = re.compile(r"```[A-Za-z0-9]{0,12}\s*(?=[\[{])")
_START = re.compile(r"[\[{]")
_BLANK = re.compile(r"(?:\s+|//[^\n]*|/\*(?:[^*]|\*(?!/)){0,1000}\*/)*")
_BARE = re.compile(r"[^,:{}\[\]\"\n]+")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_CLOSERS = {
    '"': '"',
    "'": "'",
    "`": "`",
    "“": '”“"',
    "”": '”"',
    "„": '“”"',
    "‘": "’‘'",
    "«": "»",
    "「": "」",
}
_STOP = {opener: re.compile(rf"[\\{re.escape(closers)}]") for opener, closers in _CLOSERS.items()}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_WORDS: dict[str, Any] = {
    "true": True,
    "false": False,
    "null": None,
    "none": None,
    "nan": None,
    "undefined": None,
}
_NAME = re.compile(r"([\"'])\w{1,40}\1\s{0,9}:")
_HEX = re.compile(r"[0-9a-fA-F]{4}")


class Candidate(NamedTuple):
    """A value that stands in a text; `cut` when the text ended before the value did."""

    value: Any
    cut: bool


def without_reasoning(text: str) -> str:
    """The text less what a reasoning model thought aloud; empty when it never came to an answer.

    A text that begins as JSON is left alone: tags in it belong to its strings.
    """
    if "<" not in text or text.lstrip()[:1] in {"{", "["}:
        return text
    kept: list[str] = []
    begin, thinking = 0, False
    for tag in _THOUGHT.finditer(text):
        if tag.group(1):
            if not thinking:
                # Templates may open the block inside the prompt, so that the reply holds its end only.
                kept.clear()
            thinking, begin = False, tag.end()
        elif not thinking:
            kept.append(text[begin : tag.start()])
            thinking = True
    if not thinking:
        kept.append(text[begin:])
    return "".join(kept)


def candidates(text: str) -> Iterator[Candidate]:
    """Values that stand in the text, the likeliest first: the whole, then fences, then brackets in prose."""
    if len(text) > MAX_CHARACTERS:
        return
    whole = _strict(text)
    if whole is not None:
        yield whole
        return
    text = without_reasoning(text)
    attempts, position = 0, 0
    steps = iter(range(MAX_STEPS))
    for start in _starts(text):
        if attempts >= MAX_ATTEMPTS:
            return
        if start < position:
            continue
        attempts += 1
        found = _at(text, start, steps)
        if found is not None:
            candidate, position = found
            yield candidate


def loads(text: str) -> Any:
    """The first value that stands in the text.

    Raises:
        ValueError: there is none.
    """
    for candidate in candidates(text):
        return candidate.value
    raise ValueError("there is no JSON value in the text")


def _starts(text: str) -> Iterator[int]:
    for fence in _FENCE.finditer(text):
        start = _START.search(text, fence.end())
        if start is not None:
            yield start.start()
    for start in _START.finditer(text):
        yield start.start()


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(strict=False, parse_constant=_refuse_constant)


def _strict(text: str) -> Candidate | None:
    try:
        return Candidate(_DECODER.decode(text), False)
    except (ValueError, RecursionError):
        return None


def _at(text: str, start: int, steps: Iterator[int]) -> tuple[Candidate, int] | None:
    try:
        value, end = _DECODER.raw_decode(text, start)
        return Candidate(value, False), end
    except (ValueError, RecursionError):
        pass
    reader = _Reader(text, start, steps)
    try:
        value = reader.value(0)
    except ValueError:
        return None
    return (Candidate(value, reader.cut), reader.position) if value else None


class _Ended(Exception):
    """The text ended inside a value that is worth nothing without its end."""


class _Reader:
    """A forgiving reader of one value. `cut` tells that the text ended first."""

    def __init__(self, text: str, position: int, steps: Iterator[int]) -> None:
        self.text = text
        self.position = position
        self.steps = steps
        self.cut = False

    def value(self, depth: int) -> Any:
        """The value at the position. Raises ValueError for nonsense, _Ended when the text ended in a leaf."""
        if depth > MAX_DEPTH:
            raise ValueError("nested too deep")
        opener = self._peek()
        if opener == "{":
            return self._object(depth)
        if opener == "[":
            return self._array(depth)
        if opener in _CLOSERS:
            return self._string(",}]")
        return self._bare()

    def _step(self) -> None:
        if next(self.steps, None) is None:
            raise ValueError("too much to look at")

    def _peek(self) -> str:
        self._step()
        blank = _BLANK.match(self.text, self.position)
        if blank is not None:
            self.position = blank.end()
        if self.position >= len(self.text):
            self.cut = True
            raise _Ended
        return self.text[self.position]

    def _object(self, depth: int) -> dict[str, Any]:
        self.position += 1
        members: dict[str, Any] = {}
        try:
            while (opener := self._peek()) != "}":
                if opener == ",":
                    self.position += 1
                    continue
                name = self._string(":") if opener in _CLOSERS else str(self._bare_word())
                if self._peek() != ":":
                    raise ValueError("a name without a value")
                self.position += 1
                if self._peek() in ",}":
                    continue
                members[name.strip()] = self.value(depth + 1)
            self.position += 1
        except _Ended:
            pass
        return members

    def _array(self, depth: int) -> list[Any]:
        self.position += 1
        items: list[Any] = []
        try:
            while (opener := self._peek()) != "]":
                if opener == ",":
                    self.position += 1
                    continue
                if opener in "}:":
                    raise ValueError("an array that does not end")
                items.append(self.value(depth + 1))
            self.position += 1
        except _Ended:
            pass
        return items

    def _string(self, followers: str) -> str:
        """A quoted text. A quote that no follower follows belongs to the text."""
        opener = self.text[self.position]
        stop, pieces, begin = _STOP[opener], [], self.position + 1
        while (match := stop.search(self.text, begin)) is not None:
            self._step()
            place = match.start()
            pieces.append(self.text[begin:place])
            if self.text[place] == "\\":
                escaped, begin = self._escape(place)
                pieces.append(escaped)
                continue
            blank = _BLANK.match(self.text, place + 1)
            after = blank.end() if blank is not None else place + 1
            if after >= len(self.text) or self.text[after] in followers:
                self.position = place + 1
                return "".join(pieces)
            if self.text[after] in _CLOSERS and (
                "\n" in self.text[place + 1 : after] or _NAME.match(self.text, after)
            ):
                # A comma forgotten at the end of a line or before the next name.
                self.position = place + 1
                return "".join(pieces)
            pieces.append(self.text[place])
            begin = place + 1
        self.position = len(self.text)
        self.cut = True
        raise _Ended

    def _escape(self, place: int) -> tuple[str, int]:
        letter = self.text[place + 1 : place + 2]
        if letter == "u" and (digits := _HEX.match(self.text, place + 2)):
            code = int(digits.group(), 16)
            end = place + 6
            low = _HEX.match(self.text, end + 2) if self.text[end : end + 2] == "\\u" else None
            if 0xD800 <= code < 0xDC00 and low and 0xDC00 <= (second := int(low.group(), 16)) < 0xE000:
                return chr(0x10000 + ((code - 0xD800) << 10) + (second - 0xDC00)), end + 6
            return ("\ufffd" if 0xD800 <= code < 0xE000 else chr(code)), end
        return _ESCAPES.get(letter, letter), place + 2

    def _bare_word(self) -> str:
        match = _BARE.match(self.text, self.position)
        if match is None:
            raise ValueError("no value")
        self.position = match.end()
        return match.group().strip()

    def _bare(self) -> Any:
        word = self._bare_word()
        if self.position >= len(self.text):
            self.cut = True
            raise _Ended
        if word.lower() in _WORDS:
            return _WORDS[word.lower()]
        if _NUMBER.fullmatch(word) and len(word) < 300:
            return float(word) if any(mark in word for mark in ".eE") else int(word)
        return word
