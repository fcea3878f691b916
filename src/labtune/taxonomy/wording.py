"""Compares texts by what they say: quotations in documents, content words, near-duplicate questions."""

from __future__ import annotations

import re
import unicodedata

_MARKUP = (
    (re.compile(r"<!--.*?-->", re.DOTALL), " "),
    (re.compile(r"!\[[^\[\]]*\]\((?:[^()]|\([^()]*\))*\)"), " "),
    (re.compile(r"\[\^[^\]\s]{1,40}\]:?"), " "),
    (re.compile(r"\[([^\[\]]*)\]\((?:[^()\"]|\([^()]*\)|\"[^\"]*\")*\)"), r"\1"),
    (re.compile(r"\[\[(?:[^\[\]|]*\|)?([^\[\]]*)\]\]"), r"\1"),
    (re.compile(r"</?[A-Za-z][^<>]{0,200}>"), " "),
)
_SENTENCE = re.compile(r"(?<=[.!?])[\"”’)*_]*\s+|(?<=[。！？；])|\n\s*\n|\n\s*(?=[-*#|])")
_ASCII_WORD = re.compile(r"[a-z]+|[0-9]+(?:[.,][0-9]+)*")
_WORD = re.compile(r"[^\W\d_]+|\d+(?:[.,]\d+)*")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_CJK_RUN = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+")
CJK_PER_WORD = 1.6
"""Chinese or Japanese characters that weigh as much as one English word."""
_STOP_WORDS = """
a about after all also am an and any are as at be because been before being both but by can could did do does
each for from had has have he her his i if in into is it its just like may might more most much must nor of
off on only or other our out over own per she should so some such than that the their them then there these
they this those through to too under up very was we were will with would yes you your
"""
_ASKING_WORDS = "how no not one two what when where which while who whom whose why without"
_NUMBER_WORDS = "zero one two three four five six seven eight nine ten eleven twelve"
_AUXILIARIES = """
is are was were am do does did can could will would has have had should may might must shall isn't aren't
wasn't weren't don't doesn't didn't can't couldn't won't wouldn't hasn't haven't shouldn't
"""
_ASKING = frozenset(_ASKING_WORDS.split())
_STOP = frozenset(_STOP_WORDS.split()) | _ASKING
_STOP_CJK = frozenset(
    "的了是在和与有不也都就而及着或之其这那个为以于对中上下吗呢吧啊么可会能要被把将并等はがをにでとも"
)
_YES_NO = frozenset(_AUXILIARIES.split())
_YES_NO_ZH = re.compile(r"吗[？?\s]*$|是否|是不是|有没有|能不能|会不会|可不可以|对不对")
_QUESTION_JA = re.compile(r"何|なに|なん|どこ|だれ|誰|いつ|なぜ|どう|どの|どれ|いくつ|いくら")


def without_markup(text: str) -> str:
    """Text without links, images, footnote marks and tags; other signs stay."""
    for pattern, replacement in _MARKUP:
        text = pattern.sub(replacement, text)
    return text


def quotation_key(text: str) -> str:
    """Letters and digits only: equal for quotations that differ in markup, spaces, quotes or case."""
    folded = unicodedata.normalize("NFKC", without_markup(text)).casefold()
    return "".join(re.findall(r"[^\W_]+", folded))


def sentences(text: str) -> list[str]:
    """Rough sentences of a quotation."""
    return [piece.strip() for piece in _SENTENCE.split(without_markup(text)) if piece and piece.strip()]


def content_words(text: str, language: str) -> set[str]:
    """Stems (first six letters) of words that carry meaning, numbers, and pairs of CJK characters."""
    if text.isascii():
        return {_stem(word) for word in set(_ASCII_WORD.findall(text.lower())) if _carries_meaning(word)}
    folded = unicodedata.normalize("NFKC", text).casefold()
    units: set[str] = set()
    if language in ("zh", "ja") or _CJK.search(folded):
        for run in _CJK_RUN.findall(folded):
            pairs = {run[at : at + 2] for at in range(len(run) - 1)} or {run}
            units.update(pair for pair in pairs if not (pair[0] in _STOP_CJK or pair[-1] in _STOP_CJK))
        folded = _CJK_RUN.sub(" ", folded)
    units.update(_stem(word) for word in set(_WORD.findall(folded)) if _carries_meaning(word))
    return units


def _carries_meaning(word: str) -> bool:
    return word not in _STOP and (len(word) > 1 or word[0].isdigit())


def _stem(word: str) -> str:
    return word.replace(",", "").rstrip(".") if word[0].isdigit() else word[:6]


def numbers(text: str, *, spelled: bool = False) -> set[str]:
    """The numbers of a text, without thousands separators; `spelled` counts zero to twelve in words too."""
    folded = text if text.isascii() else unicodedata.normalize("NFKC", text)
    found = {number.replace(",", "").rstrip(".") for number in _NUMBER.findall(folded)}
    if spelled:
        words = set(_ASCII_WORD.findall(folded.lower()))
        found |= {str(value) for value, word in enumerate(_NUMBER_WORDS.split()) if word in words}
    return found


def word_count(text: str) -> int:
    """Words; Chinese and Japanese characters weigh less than one each."""
    cjk = 0 if text.isascii() else len(_CJK.findall(text))
    rest = _CJK.sub(" ", text) if cjk else text
    return round(len(rest.split()) + cjk / CJK_PER_WORD)


def question_key(text: str, language: str) -> frozenset[str]:
    """Equal for questions that ask the same in nearly the same words, in whatever order and inflection."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    asking = _ASKING & set(_WORD.findall(folded))
    signs = set(re.findall(r"[+*/=<>%^|&~#$-]", folded))
    return frozenset(content_words(text, language) | asking | signs)


def is_yes_no(question: str, language: str) -> bool:
    """True when yes or no answers the question, as far as its form tells."""
    text = question.strip()
    if language == "zh":
        return bool(_YES_NO_ZH.search(text))
    if language == "ja":
        return text.rstrip("?？。 ").endswith("か") and not _QUESTION_JA.search(text)
    first = re.match(r"[A-Za-z']+", text.replace("’", "'"))
    return bool(first) and first.group().lower() in _YES_NO if first else False
