"""What of an answer has to be said: content words, numbers and must-terms. The rules are fixed here.

- Text is unified first: NFKC, case folded, typographic dashes and quotes made plain, spaces joined.
- **Numbers** are digits with their decimals: `1,200` is 1200, `2.50` is 2.5, `08:00` is 8, `8:30` stays
  8:30; a minus counts at the beginning of a word (`-18 °C`), not in a range (`6-8` is 6 and 8). Digits of a
  name (`V3`) belong to the word. Numbers written in words (six, 六) are words, not numbers.
- **Content words** of scripts with spaces are all words but `STOP_WORDS`, each folded to a crude stem, so
  that number and tense do not matter (`stored`, `stores`, `storing` are one). Negations are content.
- **Chinese, Japanese, Thai** and other unspaced scripts: runs between function words. A run counts as its
  character pairs, a run of one character as itself. A pair is said when it stands anywhere in the output.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

_STOP_WORDS = (
    "a an the this that these those here there "
    "i me my mine we us our ours you your yours he him his she her hers it its they them their theirs "
    "who whom whose which what when where why how "
    "am is are was were be been being do does did doing done have has had having "
    "can could may might must shall should will would "
    "and or but if then else so because as than while until since during although though "
    "of in on at by for from to into onto with within about over under between through per via "
    "up down out off again also too very just only more most much many some any each every all both few "
    "such same other own o'clock please"
)
_FUNCTION_WORDS = (
    "可以 我们 你们 他们 她们 它们 这个 那个 一个 因为 所以 如果 以及 或者 并且 什么 怎么 多少 哪里 "
    "的 了 着 吗 呢 吧 啊 呀 嘛 么 是 在 和 与 及 或 而 且 也 又 把 被 给 从 为 于 之 其 这 那 此 "
    "我 你 您 他 她 它 请 です ます は が を に で の と も へ"
)
STOP_WORDS = frozenset(_STOP_WORDS.split())
FUNCTION_WORDS = tuple(_FUNCTION_WORDS.split())

# Thai, Lao, Myanmar, Khmer, kana, Han with its extensions.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U0003ffff"
)
_RUN = re.compile(rf"[{_UNSPACED}]+")
_FUNCTION = re.compile("|".join(map(re.escape, FUNCTION_WORDS)))
# A letter or digit of a script with spaces.
_LETTER = rf"[^\W_{_UNSPACED}]"
_WORD = re.compile(rf"{_LETTER}+(?:'{_LETTER}+)?")
_UNIT_OF_NUMBER = re.compile(rf"(?<!{_LETTER})\d[\d.,:]*([^\W\d_{_UNSPACED}]+)")
_NUMBER = re.compile(
    rf"(?<!{_LETTER})(?:(?<![^\s(\[:=])-)?"
    r"(?:\d{1,2}:\d{2}(?::\d{2})?(?!\d)|\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)*)"
)
_TOKEN = re.compile(rf"{_NUMBER.pattern}|{_WORD.pattern}|[{_UNSPACED}]")
_PUNCTUATION = str.maketrans(
    {
        **dict.fromkeys("‐‑‒–—―−〜～", "-"),
        **dict.fromkeys("‘’ʼ´`", "'"),
        **dict.fromkeys("“”„", '"'),
        **dict.fromkeys("\u00ad\u200b\ufeff"),
    }
)
_CONTRACTIONS = {"can't": "can not", "cannot": "can not", "won't": "will not", "n't": " not"}
_CONTRACTION = re.compile("|".join(_CONTRACTIONS))


@dataclass(frozen=True, slots=True)
class Content:
    """The parts of a text that count: folded words, units of unspaced scripts, canonical numbers."""

    words: frozenset[str]
    units: frozenset[str]
    numbers: frozenset[str]

    @property
    def size(self) -> int:
        """How many content words there are; numbers are judged apart."""
        return len(self.words) + len(self.units)


def normalise(text: str) -> str:
    """The unified form of a text that every rule works on."""
    # Before NFKC as well: it turns an acute accent into a space and a combining mark.
    unified = unicodedata.normalize("NFKC", text.translate(_PUNCTUATION)).casefold().translate(_PUNCTUATION)
    return " ".join(unified.split())


def compact(text: str) -> str:
    """Letters and digits of the unified text: equal answers in different layout read the same."""
    return "".join(c for c in normalise(text) if c.isalnum())


def numbers(text: str) -> frozenset[str]:
    """The canonical numbers of a text."""
    return frozenset(_canonical(match.group()) for match in _NUMBER.finditer(normalise(text)))


def content(text: str) -> Content:
    """The content of a text."""
    plain = _CONTRACTION.sub(lambda m: _CONTRACTIONS[m.group()], normalise(text))
    words = [
        word
        for word in _WORD.findall(plain)
        if not word[0].isdigit() and word not in STOP_WORDS and word.split("'")[0] not in STOP_WORDS
    ]
    # The letters of "3kg" are a word, as in "3 kg".
    words += _UNIT_OF_NUMBER.findall(plain)
    units: set[str] = set()
    for run in _RUN.findall(plain):
        for piece in filter(None, _FUNCTION.split(run)):
            units |= {piece[i : i + 2] for i in range(len(piece) - 1)} or {piece}
    return Content(frozenset(map(fold, words)), frozenset(units), numbers(plain))


def tokens(text: str) -> list[str]:
    """All words and numbers but English articles, and single characters of unspaced scripts, in order."""
    found: list[str] = []
    for match in _TOKEN.finditer(normalise(text)):
        token = match.group()
        if token not in ("a", "an", "the"):
            found.append(_canonical(token) if token[-1].isdigit() and _NUMBER.fullmatch(token) else token)
    return found


def fold(word: str) -> str:
    """A crude stem of a unified English word; words with other letters or digits pass unchanged.

    Taken off in this order: possessive, plural or third-person s, -ing or -ed with the doubled consonant
    before it, a last e; a last y becomes i. Stems keep at least three letters.
    """
    word = word.split("'")[0]
    if len(word) <= 3 or not (word.isascii() and word.isalpha()):
        return word
    word = _without_s(word)
    for ending in ("ing", "ed"):
        stem = word.removesuffix(ending)
        if stem != word and len(stem) >= 3 and re.search("[aeiouy]", stem) and not word.endswith("eed"):
            doubled = len(stem) > 3 and stem[-1] == stem[-2] and stem[-1] not in "aeiouls"
            word = stem[:-1] if doubled else stem
            break
    if len(word) > 3 and word.endswith("e"):
        word = word[:-1]
    return f"{word[:-1]}i" if len(word) > 3 and word.endswith("y") else word


def has_term(output: str, term: str) -> bool:
    """Whether a must-term stands in an output.

    A term without letters is compared as numbers (`1,200` finds 1200, `6-8` finds "6 to 8"). Any other must
    stand as written, case and spacing beside digits aside: as whole words in scripts with spaces, anywhere in
    unspaced ones, and its digits never inside a longer number.
    """
    plain = normalise(term)
    if not any(c.isalpha() for c in plain):
        wanted = numbers(plain)
        return wanted <= numbers(output) if wanted else plain in normalise(output)
    return _term_pattern(plain).search(normalise(output)) is not None


def _term_pattern(term: str) -> re.Pattern[str]:
    # A space beside digits and unspaced characters is taste: "5 kg" and "5kg", "25 元" and "25元".
    loose = re.compile(
        rf"(?<=\d)\s*(?=[^\d\s.,:])|(?<=[^\d\s.,:])\s*(?=\d)|(?<=[{_UNSPACED}])\s*|\s*(?=[{_UNSPACED}])"
    )
    pieces = loose.split(term)
    body = r"\s*".join(re.escape(piece).replace(r"\ ", r"\s+") for piece in pieces if piece)
    before = rf"(?<!{_LETTER})" if re.match(_LETTER, term) else ""
    after = rf"(?!{_LETTER})" if re.match(_LETTER, term[-1]) else ""
    if term[0].isdigit():
        before += r"(?<!\d[.,:])"
    if term[-1].isdigit():
        after += r"(?![.,:]\d)"
    return re.compile(before + body + after)


def _without_s(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return f"{word[:-3]}y"
    if word.endswith(("sses", "shes", "ches", "xes", "zes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def _canonical(number: str) -> str:
    sign, body = ("-", number[1:]) if number.startswith("-") else ("", number)
    if ":" in body:
        hours, *rest = body.split(":")
        while rest and not rest[-1].strip("0"):
            rest.pop()
        return ":".join([_whole(hours), *rest])
    parts = body.replace(",", "").split(".")
    if len(parts) == 2:
        fraction = parts[1].rstrip("0")
        return f"{sign}{_whole(parts[0])}.{fraction}" if fraction else f"{sign}{_whole(parts[0])}"
    return sign + (_whole(parts[0]) if len(parts) == 1 else ".".join(parts))


def _whole(digits: str) -> str:
    return digits.lstrip("0") or "0"
