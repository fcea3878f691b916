"""Sentences with exact offsets, and the language of a text.

Rules, not a model: the core stays light and a boundary can be explained. A line break always ends a
sentence (paragraphs are unwrapped before), so list items and table statements stand alone.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter

from labtune.documents.lexicon import (
    BEFORE_NUMBER,
    CALENDAR,
    LINKING,
    OPEN_END,
    STARTERS,
    STOP_WORDS,
    TITLES,
)

# A Latin mark is tried only at the start of its run, so a line of dots costs linear time.
_TERMINATOR = re.compile(
    r"(?<![.!?…])[.!?…]+[\"'”’»)\]]*(?=\s|$)"
    r"|[。！？；｡؟۔।]+[\"'”’」』）】》»)\]]*"
    r"|(?<![.!?…])[.!?…]+(?=[」』”])[」』”]*"
)
_PAIRS = {"“": "”", "「": "」", "『": "』", "（": "）", "(": ")", "《": "》", "«": "»", "[": "]", "【": "】"}
_CLOSERS = frozenset(_PAIRS.values())
_QUOTES = frozenset("”」』»")
_QUOTATIVE = re.compile("[とっのはがをにへでもなや]")
"""Japanese particles that tie a quotation to its sentence."""
_SPEECH = re.compile("[^。！？，；]{0,8}[说說道问問答喊]")
"""Chinese verbs of speech after a quotation that opens the sentence."""
_LONGEST_PAIR = 300
"""Characters. A quotation longer than this is split inside; an unclosed bracket must not swallow a page."""

_TOKEN_BEFORE = re.compile(r"[^\s(\[“\"'«‘]+$")
_ENUMERATOR = re.compile(r"^[(\[]?(?:\d{1,3}|[a-zA-Z]|[ivxIVX]{1,5})$")
_VISIBLE = re.compile(r"\S")
_ASIDE = re.compile(r"\s*\([^()]{1,60}\)[.,;]")
"""A source after a quotation: '... of gold." (KJV).' belongs to the sentence."""
_NEXT_WORD = re.compile(r"[\s\"'“‘«(\[¿¡]*([^\W\d_]+|\d+)?")


def split_sentences(text: str, language: str) -> list[tuple[int, int]]:
    """(start, end) of every sentence, in order, blanks outside.

    Every character that is not blank lies in exactly one sentence. `language` is an ISO code; it decides only
    about numbers before a full stop (German "3. Oktober").
    """
    spans: list[tuple[int, int]] = []
    for line in re.finditer(r"[^\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]+", text):
        start = line.start()
        for end in _boundaries(line.group(), language):
            _append(spans, text, start, line.start() + end)
            start = line.start() + end
        _append(spans, text, start, line.end())
    return spans


def _append(spans: list[tuple[int, int]], text: str, start: int, end: int) -> None:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    if start < end:
        spans.append((start, end))


def _boundaries(line: str, language: str) -> list[int]:
    pairs = _pairs(line)
    starts = [start for start, _ in pairs]
    ends: list[int] = []
    sentence_start = 0
    for match in _TERMINATOR.finditer(line):
        mark, end = match.group(), match.end()
        index = bisect_right(starts, match.start()) - 1
        inside = index >= 0 and match.start() < pairs[index][1]
        if inside and end <= pairs[index][1]:
            continue
        if mark[0] in ".!?…":
            if not _ends_here(line, match, sentence_start, language):
                continue
        elif inside and _goes_on_after_closing(line, pairs[index][0], sentence_start, match):
            continue
        ends.append(end)
        sentence_start = end
    return ends


def _goes_on_after_closing(line: str, opened: int, sentence_start: int, match: re.Match[str]) -> bool:
    """Whether a sentence goes on after a CJK full stop inside a closing bracket or quotation."""
    leads = not line[sentence_start:opened].strip()
    if match.group()[-1] in _CLOSERS - _QUOTES:
        return not leads and match.end() < len(line)
    return bool(_QUOTATIVE.match(line, match.end())) or (leads and bool(_SPEECH.match(line, match.end())))


def _pairs(line: str) -> list[tuple[int, int]]:
    """Outermost quoted or bracketed stretches (start, index of the closing mark) that are kept whole."""
    found = [pair for pair in _straight_quotes(line) + _brackets(line) if pair[1] - pair[0] <= _LONGEST_PAIR]
    outer: list[tuple[int, int]] = []
    for start, end in sorted(found, key=lambda pair: (pair[0], -pair[1])):
        if not outer or start > outer[-1][1]:
            outer.append((start, end))
    return outer


def _straight_quotes(line: str) -> list[tuple[int, int]]:
    """Pairs of the mark that opens as it closes: it opens after a blank or bracket and before a word."""
    found: list[tuple[int, int]] = []
    opened: int | None = None
    for match in re.finditer('"', line):
        index = match.start()
        before, after = line[index - 1 : index], line[index + 1 : index + 2]
        opens = (not before or before.isspace() or before in "([“「—–-") and bool(after.strip())
        if opened is None:
            opened = index if opens else None
        elif not opens:
            found.append((opened, index))
            opened = None
    return found


def _brackets(line: str) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    stack: list[tuple[str, int]] = []
    for index, char in enumerate(line):
        if char in _PAIRS:
            stack.append((_PAIRS[char], index))
        elif char in _CLOSERS:
            near = range(len(stack) - 1, max(-1, len(stack) - 9), -1)
            depth = next((i for i in near if stack[i][0] == char), None)
            if depth is not None:
                found.append((stack[depth][1], index))
                del stack[depth:]
    return found


def _ends_here(line: str, match: re.Match[str], sentence_start: int, language: str) -> bool:
    """Whether a Latin full stop (or !, ?, …) that blanks follow ends its sentence."""
    following = _NEXT_WORD.match(line, match.end())
    word = (following.group(1) or "") if following else ""
    if not _VISIBLE.search(line, match.end()):
        return True
    if word[:1].islower() or _ASIDE.match(line, match.end()):
        return False
    if match.group()[0] != "." or match.group().startswith(".."):
        return True
    found = _TOKEN_BEFORE.search(line, max(sentence_start, match.start() - 40), match.start())
    return found is None or _stop_after(found, line, word, sentence_start, language)


def _opens_after_time(word: str) -> bool:
    """Whether a capitalised word after "a.m." opens a sentence: weekdays and months go on with the time."""
    return word.lower()[:3] not in CALENDAR


def _stop_after(found: re.Match[str], line: str, word: str, sentence_start: int, language: str) -> bool:
    """Whether the full stop after the token `found` ends a sentence, `word` being the next one."""
    token = found.group()
    lower = token.lower()
    starts = word.lower() in STARTERS
    if _ENUMERATOR.match(token.rstrip(")]")) and not line[sentence_start : found.start()].strip(" ([*"):
        return False
    if lower in TITLES:
        return not word or (starts and lower not in ("mr", "mrs", "ms", "dr", "prof"))
    if lower in LINKING:
        return False
    if lower in BEFORE_NUMBER or lower in CALENDAR:
        return not word[:1].isdigit()
    if len(token) == 1 and token.isalpha() and token.isupper() and token < "\u2e80":
        return not word or starts or word.isdigit()
    if re.fullmatch(r"(?:[^\W\d_]\.)+[^\W\d_]", token):
        return starts or not word or (lower in ("a.m", "p.m") and _opens_after_time(word))
    if lower in OPEN_END:
        return starts or not word or lower == "etc"
    return not (
        language == "de" and token.isdigit() and len(token) <= 2 and word[:1].isalpha() and not starts
    )


_SCRIPTS = (
    ("ko", "\uac00-\ud7af"),
    ("th", "\u0e00-\u0e7f"),
    ("hi", "\u0900-\u097f"),
    ("ar", "\u0600-\u06ff"),
    ("he", "\u0590-\u05ff"),
    ("el", "\u0370-\u03ff"),
    ("ru", "\u0400-\u04ff"),
)


def detect_language(text: str) -> str:
    """ISO 639-1 code by script and stop words; "en" when nothing speaks for another language.

    A Chinese or Japanese character weighs as three Latin letters, so product names do not turn a manual
    English.
    """
    sample = text[:100_000]
    letters = len(re.findall(r"[^\W\d_]", sample))
    kana = len(re.findall(r"[\u3041-\u309f\u30a1-\u30fa]", sample))
    han = len(re.findall(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]", sample))
    if 3 * (han + kana) > letters - han - kana and han + kana:
        return "ja" if kana > 0.08 * (han + kana) else "zh"
    for code, characters in _SCRIPTS:
        if 2 * len(re.findall(f"[{characters}]", sample)) > letters:
            return code
    words = Counter(re.findall(r"[^\W\d_]+", sample.lower()))
    scores = {code: sum(words[word] for word in stops) for code, stops in STOP_WORDS.items()}
    best = max(scores, key=lambda code: (scores[code], code == "en"))
    # A few short words prove nothing: another language must lead clearly and hold a fair share of the text.
    clear = scores[best] > 1.2 * scores["en"] + 2 and scores[best] > 0.08 * words.total()
    return best if clear else "en"
