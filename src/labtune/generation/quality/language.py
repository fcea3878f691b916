"""Is a text in the language that was asked for? By script, then by the small words of Latin languages."""

from __future__ import annotations

import re
from collections import Counter

from labtune.documents.lexicon import STOP_WORDS

_SCRIPTS = {
    "Han": "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff",
    "kana": "\u3041-\u309f\u30a1-\u30fa\uff66-\uff9d",
    "Hangul": "\u1100-\u11ff\u3130-\u318f\uac00-\ud7af",
    "Cyrillic": "\u0400-\u052f",
    "Greek": "\u0370-\u03ff\u1f00-\u1fff",
    "Arabic": "\u0600-\u06ff\u0750-\u077f\ufb50-\ufdff\ufe70-\ufefc",
    "Hebrew": "\u0590-\u05ff",
    "Devanagari": "\u0900-\u097f",
    "Thai": "\u0e00-\u0e7f",
    "Latin": "A-Za-z\u00aa\u00ba\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u1e00-\u1eff",
}
_LETTERS = {name: re.compile(f"[{characters}]") for name, characters in _SCRIPTS.items()}
_WRITTEN_IN = {
    "zh": ("Han",),
    "ja": ("Han", "kana"),
    "ko": ("Hangul", "Han"),
    "el": ("Greek",),
    "he": ("Hebrew",),
    "th": ("Thai",),
    **dict.fromkeys(("ar", "fa", "ur"), ("Arabic",)),
    **dict.fromkeys(("hi", "mr", "ne"), ("Devanagari",)),
    **dict.fromkeys(("ru", "uk", "bg", "be", "mk"), ("Cyrillic",)),
}
# Letters that a word of the script has about as many of: product names must not turn a manual English.
_WORD_LENGTH = {"Han": 1.6, "kana": 2.5, "Hangul": 3.0, "Thai": 4.0}
_LEAST_SHARE = 0.4
_LEAST_WORDS = 6
_LEAST_HITS = 3
_KANA_SHARE = 0.1


def wrong_language(text: str, language: str, quoted: str = "") -> str | None:
    """What a text is written in when that is not `language`; None when nothing speaks against it.

    Numbers, formulas and names prove nothing, so short texts pass unless their script is another.

    Args:
        text: a question or an answer.
        language: ISO 639-1 code, a region may follow (`zh-CN`).
        quoted: the document's passage; a text that stands in it word for word is never wrong.
    """
    code = re.split("[-_]", language.lower())[0]
    if not code or (text.strip() and text.strip().casefold() in quoted.casefold()):
        return None
    words = {
        name: len(pattern.findall(text)) / _WORD_LENGTH.get(name, 5.0) for name, pattern in _LETTERS.items()
    }
    total = sum(words.values())
    if not total:
        return None
    scripts = _WRITTEN_IN.get(code, ("Latin",))
    if sum(words[name] for name in scripts) < _LEAST_SHARE * total:
        return f"{max(words, key=lambda name: words[name])} script"
    if code == "zh" and words["kana"] > _KANA_SHARE * total:
        return "ja"
    if code == "ja" and not words["kana"] and words["Han"] * _WORD_LENGTH["Han"] > 12:
        return "zh"
    return _other_latin(text, code) if scripts == ("Latin",) else None


def _other_latin(text: str, code: str) -> str | None:
    found = Counter(re.findall(r"[^\W\d_]+", text.lower()))
    if code not in STOP_WORDS or found.total() < _LEAST_WORDS:
        return None
    hits = {name: sum(found[word] for word in words) for name, words in STOP_WORDS.items()}
    best = max(sorted(hits), key=lambda name: hits[name])
    # Romance languages share small words: only a clear lead is evidence.
    clear = hits[best] >= _LEAST_HITS and hits[best] > 2 * hits[code] + 1
    return best if best != code and clear else None
