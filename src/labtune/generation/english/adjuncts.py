"""What follows the verb of an English clause: its object and its adjuncts, each with its kind."""

from __future__ import annotations

from dataclasses import dataclass

from labtune.generation.english.tag import Token
from labtune.generation.lexicon import word_set

CONDITION = ("if", "when", "unless", "whenever", "while", "once")
TIME_UNITS = word_set("en_words", "time_units")
_TIME_PREPOSITIONS = word_set("en_words", "time_prepositions")
_PLACE_PREPOSITIONS = word_set("en_words", "place_prepositions")


@dataclass(frozen=True, slots=True)
class Adjunct:
    """A phrase after the object.

    `kind`: when, where, why, duration, frequency, condition, purpose, purpose_for, manner, agent, from or
    other.
    """

    kind: str
    tokens: tuple[Token, ...]


def split_adjuncts(rest: list[Token]) -> tuple[list[Token], list[Adjunct]]:
    """Cut what follows the verb into its object and its adjuncts."""
    cuts: list[int] = []
    for index, token in enumerate(rest):
        if token.text == ",":
            cuts.append(index)
            break
        kind = _adjunct_kind(rest, index)
        if _attached(rest, index, kind, cuts):
            kind = ""
        if kind:
            cuts.append(index)
        if kind == "purpose" or (token.tag == "SUB" and not kind):
            # What follows belongs to the inner clause.
            comma = next((n for n in range(index, len(rest)) if rest[n].text == ","), None)
            cuts.extend([comma] if comma is not None else [])
            break
    if not cuts:
        return rest, []
    complement = rest[: cuts[0]]
    adjuncts: list[Adjunct] = []
    for number, start in enumerate(cuts):
        end = cuts[number + 1] if number + 1 < len(cuts) else len(rest)
        kind = "other" if rest[start].text == "," else _adjunct_kind(rest, start)
        if kind in ("condition", "why") and rest[start].tag == "SUB":
            adjuncts.append(Adjunct(kind, tuple(rest[start:])))
            break
        if rest[start].text == ",":
            adjuncts.append(Adjunct("other", tuple(rest[start:])))
            break
        adjuncts.append(Adjunct(kind, tuple(rest[start:end])))
    return complement, adjuncts


def _attached(rest: list[Token], index: int, kind: str, cuts: list[int]) -> bool:
    """True for a phrase that belongs to the words before it, not to the verb."""
    if kind and index and rest[index - 1].form == "part" and rest[index].tag == "PREP":
        # `the population based on the region`
        return True
    # `with the adapter from the box`
    return kind == "from" and bool(cuts) and rest[cuts[-1]].low == "with"


def _adjunct_kind(rest: list[Token], index: int) -> str:
    token = rest[index]
    phrase = rest[index + 1 : index + 7]
    low = token.low
    if low == "once" and phrase and phrase[0].low in ("a", "an", "per", "every", "to"):
        return "frequency" if phrase[0].low != "to" else ""
    if low == "in" and [word.low for word in phrase[:2]] == ["order", "to"]:
        return "purpose"
    if token.tag == "SUB" and low in CONDITION:
        return "condition"
    if low in ("because", "due"):
        return "why"
    if token.tag == "SUB" and low in ("after", "before", "until", "since", "as"):
        return "when" if low != "as" else "why"
    if low in ("once", "twice") and phrase and phrase[0].low == "as":
        return ""
    if low in ("every", "each", "once", "twice", "daily", "weekly", "monthly", "annually", "yearly"):
        return (
            "frequency" if _names_time(phrase[:4]) or low.endswith("ly") or low in ("once", "twice") else ""
        )
    if token.tag == "TO" and phrase and phrase[0].tag in ("VERB", "?", "AUX") and index > 0:
        return "purpose"
    if token.tag not in ("PREP",) or low == "of":
        return ""
    return _preposition_kind(low, phrase, rest, index)


_LIMITS = frozenset(("about", "around", "than", "up", "below", "over", "under", "to", "as"))


def _preposition_kind(low: str, phrase: list[Token], rest: list[Token], index: int) -> str:
    ends = (n for n, token in enumerate(phrase) if token.tag in ("PREP", "SUB") or token.text == ",")
    phrase = phrase[: next(ends, len(phrase))]
    measured, timed = _measured(phrase), _names_time(phrase)
    if low in _LIMITS and measured:
        return ""
    if low in _TIME_PREPOSITIONS and (
        timed or low in ("during", "until", "till", "since") or (low in ("before", "after") and phrase)
    ):
        return "when"
    if low in ("within", "over") and timed:
        return "when"
    if low == "for":
        near = rest[index + 1 : index + 3]
        return "duration" if timed or any(token.tag == "NUM" for token in near) else "purpose_for"
    if low == "by":
        return "manner" if phrase and phrase[0].form == "ing" else "agent"
    if low == "from":
        return "when" if timed else ("" if phrase and (phrase[0].form == "ing" or measured) else "from")
    return _place_or_manner(low, phrase, measured)


def _place_or_manner(low: str, phrase: list[Token], measured: bool) -> str:
    named = bool(phrase) and phrase[0].tag in ("DET", "PROPN")
    if low in ("with", "without") or measured or (low in ("in", "on", "at") and phrase and not named):
        return "manner"
    if low in _PLACE_PREPOSITIONS or (low == "between" and named):
        return "where"
    return ""


def _measured(phrase: list[Token]) -> bool:
    return (
        bool(phrase)
        and phrase[0].tag == "NUM"
        and not (len(phrase[0].text) == 4 and phrase[0].text.isdigit())
    )


def _names_time(phrase: list[Token]) -> bool:
    words = [token.low for token in phrase]
    if any(word in TIME_UNITS for word in words):
        return True
    year = (
        bool(words)
        and len(words[0]) == 4
        and words[0].isdigit()
        and words[0][:2] in ("12", "13", "14", "15", "16", "17", "18", "19", "20")
    )
    clock = bool(words) and ":" in words[0]
    return year or clock
