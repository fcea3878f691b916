"""Frames for measures, attributes and topics: the questions that people ask in their own words."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from labtune.generation.english.inflect import singular
from labtune.generation.english.marks import NAME, VERB, render
from labtune.generation.english.names import Names
from labtune.generation.english.speaker import Speaker, do_form, unit_words, word_phrase
from labtune.generation.english.tag import NAMING, Token, plural_phrase
from labtune.generation.lexicon import load_lexicon
from labtune.generation.rows import Ask


def measure_asks(speaker: Speaker, names: Names) -> Iterator[Ask]:
    """Asks by frame for a clause with a number and unit, an attribute noun or a topic word."""
    clause = speaker.clause
    if clause.imperative or clause.negative:
        return
    found = find_measure(speaker)
    if found is not None:
        yield from _measure_frames(speaker, *found)
    yield from _attribute_frames(speaker, names)


@cache
def _units() -> dict[str, str]:
    table: dict[str, str] = {}
    for kind in reversed(list(load_lexicon("en_questions")["units"])):
        table.update(dict.fromkeys(unit_words(kind), kind))
    return table


def find_measure(speaker: Speaker) -> tuple[str, str, list[Token]] | None:
    """(kind, unit word, tokens) of the first number with a unit after the verb."""
    words = [*speaker.object, *(token for adjunct in speaker.kept for token in adjunct.tokens)]
    for index, token in enumerate(words):
        if token.tag != "NUM":
            continue
        if token.text[0] in "$€£¥":
            return "money", "", [token]
        for reach in (1, 2):
            if index + reach < len(words) and words[index + reach].low in _units():
                unit = words[index + reach]
                kind = _units()[unit.low]
                if (
                    kind == "money"
                    and unit.low in ("pound", "pounds")
                    and speaker.clause.verb.lemma == "weigh"
                ):
                    kind = "weight"
                start = index
                while start and words[start - 1].low in (
                    "about",
                    "around",
                    "up",
                    "to",
                    "over",
                    "nearly",
                    "approximately",
                    "than",
                    "least",
                    "at",
                    "less",
                    "more",
                ):
                    start -= 1
                return kind, unit.low, words[start : index + reach + 1]
    return None


def _measure_frames(speaker: Speaker, kind: str, unit: str, words: list[Token]) -> Iterator[Ask]:
    clause = speaker.clause
    nouns = {token.low for token in speaker.object}
    for entry in load_lexicon("en_questions")["measures"]:
        verbs = str(entry.get("verbs", "")).split()
        adjectives = str(entry.get("adjectives", "")).split()
        fits_verb = clause.verb.lemma in verbs and not clause.passive
        fits_adjective = clause.copula and any(word in nouns for word in adjectives)
        if entry["kind"] != kind or not (fits_verb or fits_adjective):
            continue
        yield from _fill(entry["frames"], _slots(speaker, unit), speaker.place(words), "measure")


def _slots(speaker: Speaker, unit: str) -> dict[str, str]:
    clause = speaker.clause
    past = clause.past
    is_word = ("were" if past else "are") if speaker.plural else ("was" if past else "is")
    pronoun = "they" if speaker.plural else "it"
    finite = VERB + clause.verb.low
    return {
        "s": speaker.subject,
        "do": do_form(speaker),
        "is": is_word,
        "v": VERB + clause.verb.lemma,
        "vs": finite,
        "u": unit,
        "has": "have" if speaker.plural else "has",
        "sp": pronoun,
        "spo": "their" if speaker.plural else "its",
    }


def _fill(
    frames: list[str], slots: dict[str, str], short: tuple[int, int] | None, form: str
) -> Iterator[Ask]:
    for frame in frames:
        direct, _, indirect = (part.strip() for part in frame.partition("|"))
        if any("{" + name + "}" in frame and not value for name, value in slots.items()):
            continue
        try:
            text = direct.format_map(slots)
            other = indirect.format_map(slots)
        except KeyError:
            continue
        yield Ask(text[0].upper() + text[1:], form, other, short, weight=3)


def _attribute_frames(speaker: Speaker, names: Names) -> Iterator[Ask]:
    """`The ATTR of X is VALUE` and `X has a ATTR of VALUE`."""
    clause = speaker.clause
    words = list(clause.subject)
    lows = [token.low for token in words]
    attribute: list[Token] = []
    owner: list[Token] = []
    value: list[Token] = []
    if clause.copula and lows[0] == "the" and ("of" in lows or "for" in lows):
        cut = lows.index("of") if "of" in lows else lows.index("for")
        attribute, owner, value = words[1:cut], words[cut + 1 :], speaker.object
    elif clause.verb.lemma == "have" and speaker.object and "of" in [token.low for token in speaker.object]:
        cut = [token.low for token in speaker.object].index("of")
        start = 1 if speaker.object[0].tag == "DET" else 0
        attribute, owner, value = speaker.object[start:cut], words, speaker.object[cut + 1 :]
    elif (
        clause.copula
        and lows[0] == "the"
        and len(words) > 1
        and speaker.object
        and speaker.object[0].tag == "NUM"
    ):
        attribute, owner, value = words[1:], [], speaker.object
        cut = next((n for n, low in enumerate(lows) if low in ("in", "on", "at")), 0)
        if cut:
            attribute = words[1:cut]
    if not attribute or not value or any(token.tag not in (*NAMING, "ADJ", "?") for token in attribute):
        return
    slots = {"a": render(attribute, lower=False)}
    slots |= _owner_slots(speaker, owner, names)
    short = speaker.place(value) if len(value) <= 8 else None
    label = " ".join(token.low for token in attribute)
    if slots["t"] and owner:
        yield from _fill(load_lexicon("en_questions")["attribute_frames"], slots, short, "attribute")
    for entry in load_lexicon("en_questions")["attributes"]:
        if label in [word.strip() for word in entry["words"].split(",")]:
            yield from _fill(entry["frames"], slots, short, "attribute")


def _owner_slots(speaker: Speaker, owner: list[Token], names: Names) -> dict[str, str]:
    if owner:
        subject = owner == list(speaker.clause.subject)
        text = speaker.subject if subject else word_phrase(owner, names)
        many = plural_phrase(owner)
    else:
        text, many = (NAME, False) if names.one else ("", False)
    past = speaker.clause.past
    return {
        "t": text,
        "do_t": "did" if past else ("do" if many else "does"),
        "has_t": "had" if past else ("have" if many else "has"),
        "is_t": ("were" if past else "are") if many else ("was" if past else "is"),
    }


def topic_asks(speaker: Speaker, names: Names) -> Iterator[Ask]:
    """Frames of the topic list: warranty, refund, opening hours, colours ..."""
    clause = speaker.clause
    if clause.imperative or clause.negative:
        return
    words = {singular(token.low) for token in [*clause.subject, *speaker.object]} | {clause.verb.low}
    every = words | {token.low for adjunct in clause.adjuncts for token in adjunct.tokens}
    measure = find_measure(speaker)
    for entry in load_lexicon("en_questions")["topics"]:
        triggers = set(str(entry["words"]).split())
        if not triggers & (words if "verbs" not in entry else every):
            continue
        if "verbs" in entry and clause.verb.low not in str(entry["verbs"]).split():
            continue
        if not _kind_fits(entry.get("kind"), measure, every):
            continue
        slots = _slots(speaker, measure[1] if measure else "")
        slots["t"] = _tail_of(speaker, names) if entry.get("tail") else speaker.subject
        if not slots["t"]:
            continue
        yield from _fill(entry["frames"], slots, speaker.place(measure[2]) if measure else None, "topic")


def _kind_fits(kind: Any, measure: tuple[str, str, list[Token]] | None, words: set[str]) -> bool:
    if kind is None:
        return True
    if kind == "clock":
        return bool(
            words
            & {
                "am",
                "pm",
                "a.m.",
                "p.m.",
                "monday",
                "tuesday",
                "wednesday",
                "thursday",
                "friday",
                "saturday",
                "sunday",
            }
        )
    return measure is not None and measure[0] == kind


def _tail_of(speaker: Speaker, names: Names) -> str:
    words = list(speaker.clause.subject)
    for index, token in enumerate(words):
        if token.low in ("of", "on", "for") and index + 1 < len(words):
            return word_phrase(words[index + 1 :], names)
    return NAME if names.one else ""
