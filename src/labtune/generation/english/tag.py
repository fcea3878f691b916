"""A small part-of-speech tagger by word lists and context: enough to find the clause of a plain sentence."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from labtune.generation.english.inflect import is_plural, verb_form
from labtune.generation.lexicon import word_set

WORD = re.compile(
    r"https?://\S+|[\w.+-]+@[\w-]+\.[\w.-]+|[$€£¥]?\d[\d.,:/–-]*\d|[$€£¥]?\d|(?:[A-Z]\.){2,}|"
    r"[^\W\d_]\w*(?:['’/&.-]\w+)*(?:['’](?=\s|$))?|[°%µ]\w*|\S"
)
MODALS = word_set("en_words", "modals")
BE = word_set("en_words", "be")
UNIT_NUMBERS = word_set("en_words", "unit_numbers")
ADJECTIVE_ENDINGS = ("ous", "ful", "ive", "able", "ible", "less", "ish", "ical", "ary")
_ARTICLES = frozenset(("the", "a", "an", "your", "all", "both", "each", "every"))
NAMING = frozenset(("NOUN", "PROPN"))


@dataclass(frozen=True, slots=True)
class Token:
    """A word with its place in the sentence. `form` is set for verbs: base, s, past, part, ing."""

    text: str
    low: str
    start: int
    end: int
    tag: str
    lemma: str = ""
    form: str = ""


def tokenize(sentence: str) -> list[Token]:
    """Words and punctuation with a first tag by list and shape; ambiguous verbs are tagged `?`."""
    return [
        Token(match.group(), match.group().lower().replace("’", "'"), match.start(), match.end(), "")
        for match in WORD.finditer(sentence)
    ]


def tag(sentence: str, known_lower: frozenset[str] = frozenset()) -> list[Token]:
    """Tagged tokens. `known_lower` are words that the document writes in lower case somewhere."""
    tokens = tokenize(sentence)
    result: list[Token] = []
    for index, token in enumerate(tokens):
        following = tokens[index + 1] if index + 1 < len(tokens) else None
        result.append(_tag_one(token, result, following, known_lower))
    return result


def _closed_class(token: Token, previous: Token | None, following: Token | None) -> str:
    low = token.low
    if not (token.text[0].isalnum() or token.text[0] in "$€£¥°%"):
        return "PUNCT"
    if low in UNIT_NUMBERS or low == "one" or token.text[0] in "$€£¥" or token.text[0].isdigit():
        return "NUM"
    if token.text[0] in "°%":
        return "NOUN"
    if low == "to":
        return "TO"
    if low in MODALS or low in BE or low in word_set("en_words", "auxiliaries"):
        return "AUX"
    if low in ("that", "those", "these", "this") and following is not None:
        after_noun = previous is not None and (previous.tag in NAMING or previous.tag in ("VERB", "?"))
        return "SUB" if low == "that" and after_noun else "DET"
    if low in ("her", "his", "its", "their", "our", "your", "my", "all", "some", "both", "any", "each"):
        return "DET"
    if low in ("there", "here"):
        return "ADV"
    labels = (("determiners", "DET"), ("pronouns", "PRON"), ("conjunctions", "CONJ"))
    return next((label for name, label in labels if low in word_set("en_words", name)), "")


def _tag_one(token: Token, before: list[Token], following: Token | None, known: frozenset[str]) -> Token:
    previous = before[-1] if before else None
    closed = _closed_class(token, previous, following)
    low = token.low
    if (
        closed == "AUX"
        and low in ("can", "will", "may", "might")
        and previous
        and previous.tag in ("DET", "ADJ")
    ):
        closed = "NOUN"
    if low == "may" and token.text == "May" and before:
        closed = "PROPN"
    if closed:
        return replace(token, tag=closed)
    inside = bool(before) and before[-1].text not in ("“", '"', "(", ":")
    command = not inside and following is not None and following.low in _ARTICLES
    if (
        token.text[0].isupper()
        and not command
        and (inside or not (low in known or _lower_word(low) or _ordinary(token, following)))
    ):
        return replace(token, tag="PROPN")
    if low == "like" and previous is None:
        return replace(token, tag="PREP")
    if (
        low in ("like", "light", "close", "plus", "past")
        and previous is not None
        and previous.tag in ("DET", "ADJ")
    ):
        return replace(token, tag="NOUN")
    if low in word_set("en_words", "prepositions") and low not in ("like",):
        subordinate = low in ("before", "after", "since", "until", "as")
        return replace(token, tag="SUB" if subordinate and _starts_clause(following) else "PREP")
    if low in word_set("en_words", "subordinators"):
        return replace(token, tag="SUB")
    if low in word_set("en_words", "adverbs") or (
        low.endswith("ly") and len(low) > 4 and verb_form(low) is None
    ):
        return replace(token, tag="ADV")
    return _open_class(token, previous, following)


def _lower_word(low: str) -> bool:
    """True when a capital at the start of a sentence says nothing: the word is an ordinary one."""
    lists = (
        "determiners",
        "pronouns",
        "prepositions",
        "subordinators",
        "adverbs",
        "adjectives",
        "conjunctions",
    )
    return any(low in word_set("en_words", name) for name in lists) or verb_form(low) is not None


def _ordinary(token: Token, following: Token | None) -> bool:
    """An unknown word that opens a sentence and looks common: Incubation, Clutch size, Red-breasted."""
    if (following is not None and following.text[0].isupper()) or token.text[1:2].isupper():
        return False
    head = token.low.split("-")[0]
    endings = (
        "tion",
        "sion",
        "ment",
        "ness",
        "ity",
        "ism",
        "ing",
        "ings",
        "ers",
        "ists",
        "ance",
        "ence",
        "tions",
        "ments",
        "ies",
    )
    noun_follows = (
        following is not None
        and following.text.islower()
        and following.text.isalpha()
        and not _lower_word(following.low)
    )
    return (
        token.low.endswith(endings)
        or ("-" in token.low and (_lower_word(head) or head.endswith("ed")))
        or (
            noun_follows
            and following is not None
            and following.low not in word_set("en_words", "auxiliaries")
        )
    )


def _starts_clause(following: Token | None) -> bool:
    return following is not None and following.low in ("you", "it", "they", "he", "she", "we", "i")


def _open_class(token: Token, previous: Token | None, following: Token | None) -> Token:
    low = token.low
    form = verb_form(low)
    if form is not None:
        chosen = _verb_in_context(form.forms, low, previous, following)
        if chosen:
            label = "VERB" if chosen != "maybe" else "?"
            shape = _likely_form(form.forms) if chosen == "maybe" else chosen
            return replace(token, tag=label, lemma=form.lemma, form=shape)
    if low in word_set("en_words", "adjectives") or low.endswith(ADJECTIVE_ENDINGS):
        return replace(token, tag="ADJ")
    if form is not None and form.forms & {"part", "ing"} and not form.forms & {"base"}:
        return replace(token, tag="ADJ", lemma=form.lemma, form=_likely_form(form.forms))
    if form is None and previous is None and following is not None and following.low in _ARTICLES:
        # An unknown word before an article can only be an instruction: Descale the kettle.
        return replace(token, tag="VERB", lemma=low, form="base")
    if form is None and low.endswith("ed") and len(low) > 4:
        return replace(token, tag="ADJ")
    return replace(token, tag="NOUN")


def _likely_form(forms: frozenset[str]) -> str:
    for form in ("s", "past", "part", "ing", "base"):
        if form in forms and not (form == "past" and "base" in forms):
            return form
    return "base"


def _verb_in_context(forms: frozenset[str], low: str, previous: Token | None, following: Token | None) -> str:
    """The form it has here, `maybe` when a noun is as likely, or nothing."""
    if previous is None or previous.tag == "PUNCT":
        opener = following is not None and (following.tag or _opens_object(following))
        if "base" in forms and (opener or low not in word_set("en_words", "noun_first")):
            return "base" if low not in word_set("en_words", "adjectives") or opener else ""
        return "" if "ing" in forms else ("part" if "part" in forms else "")
    if previous.tag == "AUX":
        return _after_auxiliary(forms, previous)
    if previous.low in ("not", "n't", "never", "also", "only", "first", "always", "usually", "often", "then"):
        return next((form for form in ("base", "part", "ing", "s", "past") if form in forms), "")
    if previous.tag == "TO":
        return "base" if "base" in forms else ""
    if previous.low in ("this", "that") and "s" in forms:
        return "maybe"
    if previous.tag in ("DET", "ADJ", "NUM") or (previous.tag == "PREP" and "ing" not in forms):
        return ""
    if previous.tag == "PREP":
        return "ing"
    return "maybe"


def _after_auxiliary(forms: frozenset[str], auxiliary: Token) -> str:
    if auxiliary.low in BE:
        return "part" if "part" in forms else ("ing" if "ing" in forms else "")
    if auxiliary.low in ("has", "have", "had", "having"):
        return "part" if "part" in forms else ""
    return "base" if "base" in forms else ""


def _opens_object(following: Token) -> bool:
    low = following.low
    closed = ("determiners", "prepositions", "pronouns")
    return low in UNIT_NUMBERS or low == "to" or any(low in word_set("en_words", name) for name in closed)


def noun_phrases(tokens: Iterable[Token]) -> list[tuple[int, int]]:
    """Index ranges (end exclusive) of plain noun phrases: determiner, adjectives, nouns."""
    items = list(tokens)
    ranges: list[tuple[int, int]] = []
    index = 0
    while index < len(items):
        start = index
        if items[index].tag in ("DET", "NUM"):
            index += 1
        while index < len(items) and items[index].tag in ("ADJ", "NUM"):
            index += 1
        head = index
        while index < len(items) and items[index].tag in ("NOUN", "PROPN"):
            index += 1
        if index > head:
            ranges.append((start, index))
        elif index == start:
            index += 1
    return ranges


def plural_phrase(tokens: list[Token]) -> bool:
    """True when a noun phrase is plural: its head noun, or several joined by `and`."""
    if any(token.low == "and" for token in tokens):
        return True
    head = head_noun(tokens)
    if head is None:
        return any(token.low in ("they", "we", "you", "these", "those") for token in tokens)
    return (
        is_plural(head.low)
        if head.tag == "NOUN"
        else (head.low.endswith("s") and is_plural(head.low) and tokens[0].low == "the" and len(tokens) > 1)
    )


def head_noun(tokens: list[Token]) -> Token | None:
    """The head: the last noun before the first preposition."""
    head = None
    for token in tokens:
        if token.tag in ("PREP", "TO", "SUB") and head is not None:
            break
        if token.tag in NAMING:
            head = token
    return head


def cut_brackets(tokens: list[Token]) -> list[Token]:
    """Tokens without brackets and quotation marks, up to the first colon or semicolon."""
    kept: list[Token] = []
    depth = 0
    for token in tokens:
        if token.text in "([":
            depth += 1
        elif token.text in ")]":
            depth = max(0, depth - 1)
        elif depth == 0 and token.text not in '“”"':
            if token.text in (";", ":"):
                break
            kept.append(token)
    return kept
