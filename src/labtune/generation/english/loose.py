"""Questions in other words than the document's: whatever laypeople would call the things a fact is about."""

from __future__ import annotations

import random
import re
from functools import cache

from labtune.generation.english.inflect import plural, singular, verb_form
from labtune.generation.english.marks import strip
from labtune.generation.english.names import Names
from labtune.generation.english.paraphrase import name_it, spell, with_aside
from labtune.generation.lexicon import load_lexicon
from labtune.generation.rows import Fact

_REWORDED = 0.65
_PLACES = ("one", "two", "three")
_SIZES = (1, 2, 2, 2, 3)
_VALUE = re.compile(
    r"\d|^(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|half|hundred|thousand)\b"
)


@cache
def associates() -> dict[str, tuple[str, ...]]:
    """Word or phrase -> what people say instead: the other members of its groups."""
    table: dict[str, dict[str, None]] = {}
    for group in load_lexicon("en_associates"):
        members = [str(member) for member in group]
        for member in members:
            table.setdefault(member, {}).update(dict.fromkeys(item for item in members if item != member))
    return {member: tuple(others) for member, others in table.items()}


def loose_question(fact: Fact, names: Names, draw: random.Random) -> str:
    """One question (unmarked) around one to three words of the fact, most of them reworded; may be empty."""
    places = [place for place, word in enumerate(fact.keywords) if not _VALUE.search(strip(word).lower())]
    if not places:
        return ""
    rarest = min(fact.spread[place] for place in places)
    first = draw.choice([place for place in places if fact.spread[place] <= rarest + 1])
    chosen = [first]
    size = min(draw.choice(_SIZES), len(places))
    while len(chosen) < size:
        rest = [place for place in places if place not in chosen]
        chosen.append(draw.choices(rest, [1 / fact.spread[place] for place in rest])[0])
    draw.shuffle(chosen)
    words = [_reworded(strip(name_it(fact.keywords[place], names, draw)), draw) for place in chosen]
    lexicon = load_lexicon("en_loose")
    own = fact.topics if fact.topics and draw.random() < 0.6 else ()
    word = draw.choice(own or [item.strip() for item in str(lexicon["questions"]).split(",")])
    slots = dict(zip("abc", words, strict=False))
    frame = str(draw.choice(lexicon[_PLACES[len(words) - 1]]))
    text = frame.format(**slots, q=word, Q=word[0].upper() + word[1:])
    text = re.sub(r"\b(the|my|this) (?:the|my|your|a|an) ", r"\1 ", text)
    return spell(with_aside(text[0].upper() + text[1:], draw), draw)


def _reworded(word: str, draw: random.Random) -> str:
    """The word, the whole compound or its parts in other words, for a part of the draws."""
    low = re.sub(r"^(?:the|a|an|my|your) ", "", word.lower())
    if draw.random() < _REWORDED:
        found = _others(low)
        if found:
            return draw.choice(found)
        if " " in low:
            return " ".join(_part(item, draw) for item in low.split())
    return low


def _part(word: str, draw: random.Random) -> str:
    found = _others(word) if draw.random() < _REWORDED else ()
    return draw.choice(found) if found else word


def _others(word: str) -> tuple[str, ...]:
    table = associates()
    if word in table:
        return table[word]
    single = singular(word)
    if single in table:
        return tuple(plural(item) if " " not in item else item for item in table[single])
    form = verb_form(word)
    return table.get(form.lemma, ()) if form is not None else ()
