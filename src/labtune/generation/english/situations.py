"""Pieces of a fact that laypeople build questions around: acts, symptoms, needs, limits, pairs of things."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import combinations

from labtune.generation.english.clause import modal
from labtune.generation.english.inflect import gerund, participle, singular, verb_form
from labtune.generation.english.instructions import KEEPING, goal_of
from labtune.generation.english.marks import NAME, NAMES, NOUN, VERB, render
from labtune.generation.english.speaker import Speaker, finite, tail_of
from labtune.generation.english.tag import BE, NAMING, Token, head_noun, plural_phrase
from labtune.generation.lexicon import word_set
from labtune.generation.rows import Piece

_PARTICLES = word_set("en_words", "particles")
_ONLY = re.compile("(?: \x04?only(?= |$))|(?:^\x04?only )")
_TOOLS = ("with", "in", "on")
_LIMITS = ("only", "never")
# A number that is no year, telephone number, clock time or part of a longer number.
_NUMBER = re.compile(r"(?<![\w.,:/-])(?:[2-9]|[1-9]\d{1,2}|[2-9]\d{3})(?![\w.,:/-]|\s?[ap]\.?m)")


@cache
def opposites() -> dict[str, str]:
    """Word -> its opposite: what somebody might try instead."""
    return dict(pair.split(":") for pair in sorted(word_set("en_situations", "opposites")))


def piece(kind: str, **slots: str) -> Piece:
    """A piece with its slots in order."""
    return Piece(kind, tuple(slots.items()))


def act(kind: str, lemma: str, rest: str) -> Piece:
    """A piece for a verb phrase: base form and gerund."""
    return piece(kind, act=f"{VERB}{lemma} {rest}".strip(), ing=f"{VERB}{gerund(lemma)} {rest}".strip())


def clause_pieces(speaker: Speaker, *, guide: bool) -> Iterator[Piece]:
    """Pieces of one clause. `guide` is true for texts that tell readers what to do."""
    clause = speaker.clause
    if clause.imperative:
        yield from _instruction(speaker)
        return
    tail = tail_of(speaker)
    if tail:
        text = " ".join((speaker.subject, finite(speaker), tail)).rstrip(".")
        yield piece("state", s=text)
        yield from (piece("doubt", s=other) for other in other_numbers(text))
    yield from _conditions(speaker, guide=guide)
    yield from _causes(speaker, guide=guide)
    yield from _harm(speaker, guide=guide)
    if guide:
        yield from _permitted(speaker)
        yield from _needs(speaker)
        yield from _only(speaker, "")


def other_numbers(text: str) -> Iterator[str]:
    """The statement with another number: what people remember wrongly."""
    found = next((item for item in _NUMBER.finditer(text) if not _named(text[: item.start()])), None)
    if found is None:
        return
    number = int(found.group())
    for other in dict.fromkeys((number * 2, number + max(1, number // 10), number // 2, number * 3)):
        if other > 1 and other != number:
            yield f"{text[: found.start()]}{other}{text[found.end() :]}"


def _named(before: str) -> bool:
    """True after a word with a capital: the number belongs to a name."""
    words = before.split()
    return bool(words) and words[-1][0].isupper()


def _instruction(speaker: Speaker) -> Iterator[Piece]:
    clause = speaker.clause
    words = [token for token in speaker.object if token.low not in _LIMITS]
    lemma, particle = clause.verb.lemma, ""
    if words and words[0].low in _PARTICLES:
        particle, words = words[0].low + " ", words[1:]
    thing = particle + render(words, lower=False)
    whole = " ".join([thing, *(render(a.tokens, lower=False) for a in speaker.kept if a.kind != "purpose")])
    banned = any(token.low in ("not", "never", "don't") for token in clause.auxiliaries)
    rests = (whole.strip(),) if lemma in KEEPING else (whole.strip(), thing.strip())
    for rest in dict.fromkeys(rests):
        yield act("try" if banned else "act", lemma, rest)
    if banned:
        return
    purpose = next((a for a in clause.adjuncts if a.kind == "purpose"), None)
    words = goal_of(purpose) if purpose is not None else []
    goal = verb_form(words[0].low) if words else None
    if goal is not None:
        yield act("goal", goal.lemma, render(words[1:], lower=False))
        yield act("try", lemma, thing.strip())
    plain = f"{VERB}{lemma} {thing}".strip()
    yield from (piece("act_doubt", act=f"{VERB}{lemma} {other}") for other in other_numbers(whole.strip()))
    yield from _tools(speaker, plain)
    yield from _only(speaker, plain)
    yield from _opposite(speaker, lemma, whole.strip())


def _tools(speaker: Speaker, plain: str) -> Iterator[Piece]:
    """`with a pencil eraser`: is it needed, will something else do?"""
    for adjunct in speaker.kept:
        if adjunct.kind == "manner" and adjunct.tokens[0].low == "with":
            yield from _limit(list(adjunct.tokens), plain, generic=False)


def _only(speaker: Speaker, plain: str) -> Iterator[Piece]:
    """`only with X`, `with X only`, `must ... in its X`."""
    clause = speaker.clause
    tokens = [*clause.object, *(token for a in clause.adjuncts for token in a.tokens)]
    strict = modal(clause) in ("must", "should") and not clause.negative and clause.passive
    for adjunct in _phrases(tokens, strict):
        text = plain
        if not text and clause.passive:
            text = f"{VERB}{clause.verb.lemma} {speaker.subject}"
        yield from _limit(adjunct, text, generic=True)


def _phrases(tokens: Sequence[Token], strict: bool) -> Iterator[list[Token]]:
    """The prepositional phrases that `only` limits; with `strict`, those with a choice of their own."""
    for index, token in enumerate(tokens):
        if token.low not in _TOOLS or index + 1 >= len(tokens):
            continue
        found: list[Token] = [token]
        for word in tokens[index + 1 :]:
            if word.tag not in ("DET", "ADJ", "NOUN", "PROPN", "NUM", "?"):
                break
            found.append(word)
        after = tokens[index + len(found)].low if index + len(found) < len(tokens) else ""
        before = tokens[index - 1].low if index else ""
        if "only" in (before, after) or (strict and any(word.tag in ("ADJ",) for word in found[1:])):
            yield found


def _limit(words: list[Token], plain: str, *, generic: bool) -> Iterator[Piece]:
    """Pieces for a thing that is right where others are not."""
    inner = [
        replace(token, tag="NOUN") if token.tag == "?" else token
        for token in words[1:]
        if token.low not in _LIMITS
    ]
    head = head_noun(inner)
    if head is None or head.tag not in NAMING or not inner or len(inner) > 6:
        return
    inner = inner[: inner.index(head) + 1]
    nouns = [token for token in inner if token.tag == "NOUN"][-2:]
    if not nouns or nouns[-1] is not head:
        return
    if inner[0].low in ("its", "their", "your"):
        thing = "the " + render(inner[1:], lower=False)
    else:
        thing = render(inner, lower=False)
    compound = " ".join(NOUN + token.low for token in nouns[:-1])
    names = [NOUN + singular(head.low)]
    if compound and any(token.tag == "ADJ" for token in inner):
        names.append(f"{compound} {names[0]}")
    for name in names:
        if generic:
            yield piece("other", n=thing, head=name)
        if plain:
            yield piece("other_act", act=plain, n=thing, head=name, prep=words[0].low)
    if plain and inner[0].tag == "DET":
        yield piece("need_act", act=plain, n=thing)


def _opposite(speaker: Speaker, lemma: str, whole: str) -> Iterator[Piece]:
    """`Use X indoors only`: may I use it outdoors?"""
    clause = speaker.clause
    tokens = [*clause.object, *(token for a in clause.adjuncts for token in a.tokens)]
    if not any(token.low == "only" for token in tokens):
        return
    words = _ONLY.sub("", whole).split(" ")
    for index, word in enumerate(words):
        other = opposites().get(word.lstrip("\x01\x02\x03\x04"))
        if other is not None:
            yield act("try", lemma, " ".join([*words[:index], other, *words[index + 1 :]]))


def _permitted(speaker: Speaker) -> Iterator[Piece]:
    """can, may, must with a passive; a gerund as the subject."""
    clause = speaker.clause
    words = clause.subject
    form = verb_form(words[0].low)
    if words[0].form == "ing" and form is not None and len(words) > 1:
        yield act("try", form.lemma, render(words[1:], lower=False))
    verb = modal(clause)
    if not verb or not clause.passive:
        return
    tail = tail_of(speaker)
    whole = f"{speaker.subject} {tail}".strip()
    # `put the kettle` says nothing without its place.
    rests = dict.fromkeys((whole,) if clause.verb.lemma in KEEPING else (speaker.subject, whole))
    kinds = (
        ("try",)
        if clause.negative
        else (("act",) if verb in ("must", "should", "shall") else ("try", "goal"))
    )
    for rest in rests:
        for kind in kinds:
            yield act(kind, clause.verb.lemma, rest)
    limited = any(a.tokens[0].low in ("within", "until", "till") for a in clause.adjuncts)
    if limited and verb in ("can", "may") and not clause.negative:
        yield act("deadline", clause.verb.lemma, speaker.subject)


def _conditions(speaker: Speaker, *, guide: bool) -> Iterator[Piece]:
    """`X happens when Y`: the symptom X, the case Y."""
    clause = speaker.clause
    for adjunct in speaker.kept:
        words = list(adjunct.tokens)
        if adjunct.kind != "condition" or words[0].low not in ("when", "if") or len(words) < 3:
            continue
        body = " ".join(
            part for part in (speaker.subject, finite(speaker), tail_of(speaker, skip=adjunct)) if part
        )
        plain = not clause.past and (clause.negative or (modal(clause) == "" and not clause.copula))
        if plain:
            yield piece("symptom" if guide else "why", s=body)
        yield from _case(speaker, words[1:])


def _case(speaker: Speaker, words: list[Token]) -> Iterator[Piece]:
    first, second = words[0], words[1]
    if first.low in ("it", "they"):
        last = verb_form(words[2].low) if len(words) == 3 and second.low in BE else None
        if last is not None and "part" in last.forms and speaker.subject not in (NAME, NAMES):
            yield act("try", last.lemma, speaker.subject)
        yield piece("case", s=" ".join((speaker.subject, render(words[1:], lower=False))))
    elif first.tag in ("DET", "NOUN", "PROPN", "ADJ") or first.low == "you":
        yield piece("case", s=render(words, lower=False))


def _causes(speaker: Speaker, *, guide: bool) -> Iterator[Piece]:
    """`X comes from Y`, `X is caused by Y`, `X is due to Y`: X needs an explanation."""
    clause = speaker.clause
    if speaker.subject in (NAME, NAMES) or clause.negative or speaker.subject in ("I", "it", "they"):
        return
    kinds = {adjunct.kind for adjunct in clause.adjuncts}
    lemma = clause.verb.lemma
    source = lemma in ("come", "result", "stem", "arise") and (
        "from" in kinds or any(token.low == "from" for token in clause.object[:1])
    )
    made = lemma == "cause" and clause.passive
    due = clause.copula and any(a.tokens[0].low == "due" for a in clause.adjuncts)
    if source or made or due:
        yield piece("noise" if guide else "cause", n=speaker.subject)


def _harm(speaker: Speaker, *, guide: bool) -> Iterator[Piece]:
    clause = speaker.clause
    lemma = clause.verb.lemma
    plain = not (clause.passive or clause.negative or clause.copula) and lemma in word_set(
        "en_situations", "harmful"
    )
    if not plain or not speaker.object or speaker.subject in (NAME, NAMES):
        return
    if clause.subject[0].form == "ing" or clause.subject[0].tag == "PRON":
        return
    if speaker.object[0].tag not in ("DET", "NOUN", "PROPN") or plural_phrase(speaker.object):
        return
    kind = ("harm_many" if speaker.plural else "harm") if guide else "harm_fact"
    if kind == "harm_fact" and speaker.plural:
        return
    yield piece(
        kind,
        n=speaker.subject,
        o=render(speaker.object, lower=False),
        part=VERB + participle(lemma),
    )


def _needs(speaker: Speaker) -> Iterator[Piece]:
    clause = speaker.clause
    if clause.verb.lemma not in ("need", "require") or clause.negative or clause.passive:
        return
    words = speaker.object
    if not words or words[0].tag != "DET" or head_noun(words) is None or len(words) > 6:
        return
    thing = render(words, lower=False)
    yield piece("need", n=thing)
    if speaker.subject not in (NAME, NAMES, "I"):
        yield piece("need_for", n=thing, o=speaker.subject)


def thing_pieces(phrases: Sequence[tuple[str, bool, int]], *, guide: bool) -> Iterator[Piece]:
    """Pairs of the things that a sentence names, and each thing for a lead-in.

    Args:
        phrases: marked text, whether plural, in how many passages of the document it stands.
        guide: true for texts that tell readers what to do.
    """
    for text, many, _ in phrases:
        if text not in (NAME, NAMES):
            yield piece("thing", n=text, it="them" if many else "it")
    pairs = [(left[0], right[0]) for left, right in combinations(phrases, 2) if min(left[2], right[2]) <= 2]
    for left, right in pairs[:8]:
        for kind in ("pair", "rule") if guide else ("pair",):
            yield piece(kind, n=left, m=right)
            yield piece(kind, n=right, m=left)


def row_pieces(
    row: str, column: str, value: Sequence[Token], *, light: str, problem: bool
) -> Iterator[Piece]:
    """Pieces of a table cell.

    Args:
        row: the row's name, marked.
        column: the column's name, marked.
        value: the cell's words.
        light: `flashing blue` where the row describes a light.
        problem: true when the table says what something means or what to do about it.
    """
    if problem and light:
        article = "an" if light[0] in "aeiou" else "a"
        yield piece("noise", n=f"{article} {light} light")
        yield piece("symptom", s=f"the light is {light}")
        yield piece("symptom", s=f"{NAME} is {light}")
    elif problem:
        yield piece("noise", n=row)
    else:
        yield piece("pair", n=row, m=column)
        yield piece("pair", n=column, m=row)
    if len(value) > 1 and any(token.tag == "AUX" for token in value):
        text = render(list(value))
        yield piece("case", s=text)
        if problem:
            yield piece("symptom", s=text)
    elif len(value) > 1 and value[0].tag == "VERB" and value[0].form == "base" and problem:
        yield act("act", value[0].lemma, render(list(value[1:]), lower=False))
