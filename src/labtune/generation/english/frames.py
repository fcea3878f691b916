"""Fills the frames of people's own ways to ask with the pieces of a fact."""

from __future__ import annotations

import random
import re

from labtune.generation.english.inflect import article
from labtune.generation.english.marks import NAME, NAMES, NOUN, VERB, strip
from labtune.generation.english.names import Names
from labtune.generation.english.paraphrase import close_up, name_it, spell, swap, thin, with_aside, wrap
from labtune.generation.lexicon import load_lexicon, word_set
from labtune.generation.rows import Ask, Piece

FORMS = {
    "act": "obligation",
    "try": "permission",
    "goal": "how_to",
    "state": "hearsay",
    "doubt": "hearsay",
    "act_doubt": "hearsay",
    "symptom": "complaint",
    "noise": "complaint",
    "harm": "harm",
    "harm_many": "harm",
    "harm_fact": "harm",
    "cause": "why",
    "why": "why",
    "other": "alternative",
    "other_act": "alternative",
    "need": "need",
    "need_act": "need",
    "need_for": "need",
    "case": "hypothetical",
    "deadline": "deadline",
    "pair": "pair",
    "rule": "pair",
    "alone": "thing",
    "alone_guide": "thing",
}
"""What the questions around a kind of piece are called in reports."""
WEIGHTS = {
    "state": 2,
    "doubt": 2,
    "act_doubt": 2,
    "pair": 3,
    "rule": 2,
    "act": 3,
    "try": 4,
    "symptom": 5,
    "noise": 5,
    "other": 5,
    "other_act": 5,
}
"""How often a kind is drawn; 3 where it is not named here."""

_CAPITAL = "\x07"
_TAILS = 0.18
_OPENERS = 0.12
_PERMISSION = re.compile(r"(?:Can|Could|May|Would|Is it|Am I)\b[^,;.:?]*\?$")
_WRONG_ARTICLE = re.compile(r"\b(a|an) (?=[a-z])")
_PARTICLES = word_set("en_words", "particles")
_FRONT = word_set("en_words", "auxiliaries") | word_set("en_words", "modals") | word_set("en_words", "be")
_PREPOSITIONS = word_set("en_situations", "attaching")


def situation(piece: Piece, names: Names, draw: random.Random) -> str:
    """One question around a piece: frame, synonyms, names, for a part of them a tail, an opener, an aside."""
    lexicon = load_lexicon("en_situations")
    frame = str(draw.choice(lexicon[piece.kind]))
    search = frame.startswith("~")
    text = thin(_filled(frame.removeprefix("~"), dict(piece.slots), draw), draw)
    text = strip(name_it(swap(text, draw, draw.choice((0, 0, 1, 1, 1, 2, 2, 3))), names, draw, pronoun=True))
    text = close_up(re.sub(_CAPITAL + "(.)", lambda match: match.group(1).upper(), text))
    text = _WRONG_ARTICLE.sub(lambda m: f"{_article(text, m)} ", text)
    if search:
        text = re.sub(r"\b(?:the|a|an|my) ", "", text)
        return text if draw.random() < 0.15 else text.lower()
    text = text[0].upper() + text[1:]
    if piece.kind in ("try", "other", "other_act") and _PERMISSION.match(text) and draw.random() < _TAILS:
        text = f"{text[:-1]}, {draw.choice(lexicon['tails'])}?"
    if text.endswith("?") and draw.random() < _OPENERS:
        text = wrap(str(draw.choice(load_lexicon("en_questions")["wrappers_direct"])), text)
        text = text[0].upper() + text[1:]
    if draw.random() < 0.5:
        text = with_aside(text, draw)
    return spell(text, draw)


def _article(text: str, match: re.Match[str]) -> str:
    word = re.match(r"[\w-]+", text[match.end() :])
    return article(word.group()) if word is not None else match.group(1)


def _filled(frame: str, slots: dict[str, str], draw: random.Random) -> str:
    lexicon = load_lexicon("en_situations")
    person = str(draw.choice(lexicon["people"]))
    if frame.startswith("P "):
        frame = f"{_CAPITAL}{person}{frame[1:]}"
    capitals = {name.capitalize(): _CAPITAL + value for name, value in slots.items()}
    return frame.format_map(slots | capitals)


def lead_in(ask: Ask, things: list[Piece], draw: random.Random) -> Ask | None:
    """`What damages the pump?` -> `It's about the pump. What damages it?`; None where nothing can move."""
    for piece in draw.sample(things, len(things)):
        slots = dict(piece.slots)
        thing = slots["n"]
        if ask.text.count(thing) != 1 or NAME in thing or NAMES in thing:
            continue
        if ask.polarity and thing.startswith(("a ", "an ")):
            # `Is the knot a hitch?` asks whether it is one.
            continue
        before, after = ask.text.split(thing)
        following = strip(after).split()
        if before[-1:] != " " or after[:1] not in (" ", "?") or (following and following[0] in _PREPOSITIONS):
            continue
        last = strip(before).lower().split()[-1:]
        if set(last) & (_PARTICLES | {"of", "than", "as", "like"}):
            continue
        if after[1:2] in (NOUN, VERB) and not set(last) & _FRONT:
            # The noun goes on, or a verb belongs to it.
            continue
        pronoun = _pronoun(slots["it"], strip(before))
        lead = _filled(str(draw.choice(load_lexicon("en_situations")["leads"])), {"n": thing}, draw)
        return Ask(f"{lead} {before}{pronoun}{after}", "story", short=ask.short, family="story")
    return None


def _pronoun(pronoun: str, before: str) -> str:
    """`they` after the verb that a question inverts, `them` elsewhere."""
    return "they" if pronoun == "them" and set(before.lower().split()[-1:]) & _FRONT else pronoun


def tidy_lead(text: str) -> str:
    """Carry out the capitals that `lead_in` asked for."""
    return close_up(re.sub(_CAPITAL + "(.)", lambda match: match.group(1).upper(), text))
