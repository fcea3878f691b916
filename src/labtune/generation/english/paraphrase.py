"""Turns one way to ask into many: synonyms with their inflection, names, wrappers, casual spelling."""

from __future__ import annotations

import random
import re
from functools import cache

from labtune.generation.english.inflect import (
    article,
    inflect_verb,
    plural,
    singular,
    verb_form,
)
from labtune.generation.english.marks import NAME, NAMES, PARTS, strip
from labtune.generation.english.names import Names
from labtune.generation.lexicon import load_lexicon
from labtune.generation.rows import Ask

_SITES = re.compile(
    "(?:\x02[\\w-]+ ){1,2}\x02[\\w-]+|"
    "\x01[\\w-]+ (?:on|off|up|down|out|back|in|away|for|to|of)\\b|[\x01-\x04][\\w-]+"
)
# Shares of the questions with an aside; measured on development questions (docs/log.md).
_ASIDE_BEFORE, _ASIDE_AFTER = 0.2, 0.12
# Share of the questions that do not name the document's subject, and what they say instead.
_UNNAMED = 0.22
_PERSONAL = re.compile(r"\b(?:her|his|she|he|him)\b")
_PRONOUNS = ("it", "it", "this thing", "mine")
_DETAIL = re.compile("(?<=\\b(?:the|our) )\x03[\\w-]+ (?=\x02)")
_APART = re.compile(r"\b(\w+) (up|out|off|down|away|on|in|back) (it|them)\b")
_THINNED = 0.15
_ARTICLES = re.compile(r"\b(a|an) (?=[a-z])", re.I)
_PERFECT = re.compile(r"\b(?:is|are|was|were|be|been|being|has|have|had|get)(?: \w+){0,4} $", re.I)


@cache
def synonyms(part: str) -> dict[str, tuple[str, ...]]:
    """Lemma -> the other members of its groups."""
    table: dict[str, dict[str, None]] = {}
    for group in load_lexicon("en_synonyms")[part]:
        members = [item.strip() for item in group.split(",")]
        for member in members:
            others = table.setdefault(member, {})
            others.update(dict.fromkeys(item for item in members if item != member))
    never = frozenset(str(load_lexicon("en_synonyms")["never"][part]).split())
    return {member: tuple(others) for member, others in table.items() if member not in never}


def swap(text: str, draw: random.Random, most: int) -> str:
    """Replace up to `most` marked words by synonyms; marks of the others stay."""
    if most <= 0:
        return text
    sites = list(_SITES.finditer(text))
    draw.shuffle(sites)
    done: list[tuple[int, int, str]] = []
    for match in sites:
        if len(done) >= most:
            break
        replaced = _replacement(match, text, draw)
        if replaced:
            done.append((match.start(), match.start() + replaced[0], replaced[1]))
    for start, end, word in sorted(done, reverse=True):
        text = text[:start] + word + text[end:]
    return _ARTICLES.sub(lambda m: _matching_article(m, text), text) if done else text


def _matching_article(match: re.Match[str], text: str) -> str:
    word = article(re.match(r"[\w-]+", text[match.end() :]).group())  # type: ignore[union-attr]
    return (word.capitalize() if match.group(1)[0].isupper() else word) + " "


def _replacement(match: re.Match[str], text: str, draw: random.Random) -> tuple[int, str] | None:
    """(length of the marked text replaced, new word)."""
    marked = match.group()
    part = PARTS[marked[0]]
    table = synonyms(part)
    pieces = [marked]
    if part == "noun" and " " in marked:
        words = marked.split(" ")
        pieces = [marked, *([" ".join(words[:2])] if len(words) == 3 else [])]
        plain = singular(strip(marked))
        if plain not in table and len(words) == 3 and singular(strip(pieces[-1])) not in table:
            return None
    elif part == "verb" and " " in marked:
        pieces = [marked, marked.split(" ")[0]]
    for piece in pieces:
        word = strip(piece)
        found = (
            _verb_options(word, text[: match.start()], table)
            if part == "verb"
            else _plain_options(word, part, table)
        )
        if found:
            return len(piece), draw.choice(found)
        if part == "noun" and " " in piece and len(pieces) == 1 and draw.random() < 0.5:
            return _swap_head(piece, table, draw)
    return None


def _swap_head(piece: str, table: dict[str, tuple[str, ...]], draw: random.Random) -> tuple[int, str] | None:
    """`dust bin`: swap only the last noun of an unknown compound."""
    head, _, last = piece.rpartition(" ")
    options = [word for word in _plain_options(strip(last), "noun", table) if " " not in word]
    return (len(piece), f"{strip(head)} {draw.choice(options)}") if options else None


def _plain_options(word: str, part: str, table: dict[str, tuple[str, ...]]) -> list[str]:
    low = word.lower()
    if part != "noun":
        return list(table.get(low, ()))
    if low in table:
        return list(table[low])
    base = singular(low)
    if base != low and base in table:
        return [plural(item) for item in table[base]]
    return []


def _verb_options(word: str, before: str, table: dict[str, tuple[str, ...]]) -> list[str]:
    head, space, particle = word.partition(" ")
    form = verb_form(head.lower())
    if form is None:
        return []
    lemma = form.lemma + space + particle
    shape = _shape(form.forms, strip(before))
    if particle:
        return [inflect_verb(item, shape) for item in table.get(lemma, ())]
    return [inflect_verb(item, shape) for item in table.get(lemma, ())]


def _shape(forms: frozenset[str], before: str) -> str:
    if "base" in forms:
        return "base"
    if "s" in forms:
        return "s"
    if "ing" in forms:
        return "ing"
    return "part" if "past" not in forms or _PERFECT.search(before) else "past"


def name_it(text: str, names: Names, draw: random.Random, *, pronoun: bool = False) -> str:
    """Fill the name slots; with `pronoun`, now and then by `it`, `this thing` or `mine`."""
    if pronoun and NAME in text and not _PERSONAL.search(text) and draw.random() < _UNNAMED:
        # `mine` is said of what readers own: the document's names say `my` then.
        own = any(name.startswith("my ") for name in names.one)
        text = text.replace(NAME, draw.choice(_PRONOUNS if own else _PRONOUNS[:1]))
    while NAME in text:
        text = text.replace(NAME, _pick(names.one, draw) or "it", 1)
    while NAMES in text:
        text = text.replace(NAMES, _pick(names.many, draw) or "they", 1)
    return text


def _pick(names: list[str], draw: random.Random) -> str:
    if not names:
        return ""
    # The full name comes oftener: a question must be understood on its own.
    return draw.choice([names[0], *names])


def phrase(ask: Ask, names: Names, heading: str, draw: random.Random) -> str:
    """One phrasing of `ask`: names, synonyms, wrapper, spelling."""
    frames = load_lexicon("en_questions")
    roll = draw.random()
    indirect = bool(ask.indirect) and ask.family == "sentence" and roll < 0.25
    text = ask.indirect if indirect else ask.text
    text = swap(thin(text, draw), draw, draw.choice((0, 0, 1, 1, 1, 2, 2, 3)))
    text = strip(name_it(text, names, draw, pronoun=ask.form not in ("definition", "who", "list")))
    text = text[0].upper() + text[1:] if not indirect else text
    if indirect:
        text = draw.choice(frames["wrappers_indirect"]).format(i=text)
    elif ask.family == "statement":
        text = wrap(draw.choice(frames["wrappers_statement"]), text)
    elif ask.family == "sentence" and roll < 0.4:
        text = wrap(draw.choice(frames["wrappers_direct"]), text)
    elif ask.family == "sentence" and roll < 0.45 and heading and len(heading.split()) <= 3:
        text = f"{heading}: {lower_first(text)}"
    text = text[0].upper() + text[1:]
    if ask.family in ("sentence", "statement"):
        text = with_aside(text, draw)
    return spell(text, draw)


def with_aside(text: str, draw: random.Random) -> str:
    """The question between other things that people say, for a part of the questions."""
    roll = draw.random()
    asides = load_lexicon("asides")["en"]
    if roll < _ASIDE_BEFORE:
        return f"{draw.choice(asides['before'])} {text}"
    if roll < _ASIDE_BEFORE + _ASIDE_AFTER and text.endswith(("?", ".", "!")):
        return f"{text} {draw.choice(asides['after'])}"
    return text


def wrap(wrapper: str, text: str) -> str:
    """The question inside a wrapper."""
    return wrapper.format(q=lower_first(text), Q=text)


def close_up(text: str) -> str:
    """`clear out it` -> `clear it out`."""
    return _APART.sub(_closed, text)


def _closed(match: re.Match[str]) -> str:
    verb, particle, pronoun = match.groups()
    form = verb_form(verb.lower())
    known = form is not None and f"{form.lemma} {particle}" in synonyms("verb")
    return f"{verb} {pronoun} {particle}" if known else match.group()


def thin(text: str, draw: random.Random) -> str:
    """Leave an adjective out now and then: `the damp mop cloth` -> `the mop cloth`."""
    return _DETAIL.sub("", text, count=1) if draw.random() < _THINNED else text


def lower_first(text: str) -> str:
    """Lower the first letter where it is a word that sentences begin with."""
    first = text.split(" ", 1)[0]
    if first in ("I", "I'm", "I'd") or text[:1].isdigit() or (len(first) > 1 and first[1].isupper()):
        return text
    question = load_lexicon("en_questions")["openers"].split()
    return text[0].lower() + text[1:] if first.rstrip(",:!.") in question else text


def spell(text: str, draw: random.Random) -> str:
    """Casual spelling for a part of the questions, as people type."""
    roll = draw.random()
    if roll < 0.12:
        text = (
            text.replace("What is ", "What's ")
            .replace("Where is ", "Where's ")
            .replace("what is ", "what's ")
        )
    if roll > 0.78:
        text = text.removesuffix("?").removesuffix(".")
        text = text.lower() if roll > 0.86 else lower_first(text)
    return text


def keyword_text(text: str, names: Names, draw: random.Random) -> str:
    """A search-box question with swaps, lower case as a rule."""
    text = strip(name_it(swap(text, draw, draw.choice((0, 0, 1, 1, 2))), names, draw))
    text = " ".join(dict.fromkeys(re.sub(r"\bthe ", "", text).split()))
    return text if draw.random() < 0.25 else text.lower()
