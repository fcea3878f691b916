"""Questions that the adjuncts of an English clause answer: when, where, why, how, under which condition."""

from __future__ import annotations

import re
from collections.abc import Iterator

from labtune.generation.english.adjuncts import Adjunct, split_adjuncts
from labtune.generation.english.clause import Clause, modal
from labtune.generation.english.inflect import gerund
from labtune.generation.english.marks import VERB, render
from labtune.generation.english.speaker import Speaker, finite, has_time, inverted, tail_of, wh_ask
from labtune.generation.english.tag import Token
from labtune.generation.rows import Ask

_QUESTION_WORDS = {
    "when": ("When", "when"),
    "where": ("Where", "where"),
    "why": ("Why", "why"),
    "duration": ("How long", "how_long"),
    "frequency": ("How often", "how_often"),
    "purpose": ("Why", "why"),
    "manner": ("How", "how"),
    "condition": ("When", "condition"),
    "from": ("Where", "where"),
}


def adjunct_asks(speaker: Speaker, adjunct: Adjunct) -> Iterator[Ask]:
    """Questions that one adjunct answers: when, where, why, how, how long, how often, what for."""
    clause = speaker.clause
    words = list(adjunct.tokens)
    nested = any(token.tag == "AUX" for token in clause.object)
    caused = any(other.tokens[0].low == "due" for other in clause.adjuncts) and adjunct.kind == "where"
    if nested or caused:
        # The adjunct may belong to a clause inside the object, or to the cause.
        return
    whole = len(words) <= 9 and not speaker.listed(words) and words[-1].form not in ("ing", "part")
    short = speaker.place(words) if whole else None
    if clause.copula and not clause.object and adjunct.kind == "why":
        yield from _due_to(speaker, adjunct)
    elif adjunct.kind == "purpose_for":
        yield from _purpose_for(speaker, short)
    elif _askable(clause, adjunct):
        if adjunct.kind == "condition" and words[0].low in ("when", "if"):
            yield from _condition_asks(speaker, adjunct)
        word, form = _QUESTION_WORDS[adjunct.kind]
        ask = wh_ask(speaker, word, form, skip=adjunct, short=short)
        if ask is None:
            return
        if adjunct.kind == "from":
            yield Ask(ask.text.replace("?", " from?"), "where", ask.indirect + " from", short)
            return
        yield ask
        yield from _closer_asks(speaker, adjunct, short)


def _askable(clause: Clause, adjunct: Adjunct) -> bool:
    """True when a question word can stand for the adjunct."""
    words = list(adjunct.tokens)
    if adjunct.kind not in _QUESTION_WORDS:
        return False
    if clause.copula and (
        adjunct.kind in ("purpose", "manner", "from")
        or (clause.object and clause.object[0].low in ("a", "an", "the"))
    ):
        return False
    if clause.negative and adjunct.kind not in ("why", "condition", "when"):
        return False
    return not (
        (adjunct.kind == "duration" and not has_time(words))
        or (adjunct.kind == "manner" and not _manner(words))
    )


def _due_to(speaker: Speaker, adjunct: Adjunct) -> Iterator[Ask]:
    verb = speaker.clause.verb.low
    if adjunct.tokens[0].low == "due":
        text = f"What {verb} {speaker.subject} due to?"
        yield Ask(text, "why", f"what {speaker.subject} {verb} due to", weight=4)


def _purpose_for(speaker: Speaker, short: tuple[int, int] | None) -> Iterator[Ask]:
    order = inverted(speaker)
    if order is None or speaker.clause.copula or speaker.clause.negative:
        return
    front, after = order
    text = f"What {front} {speaker.subject} {after} for?"
    yield Ask(text, "purpose", f"what {speaker.subject} {finite(speaker)} for", short)


_EXACT_TIMES = {
    "by": ("By when",),
    "until": ("Until when",),
    "till": ("Until when",),
    "since": ("Since when",),
    "during": ("During what time",),
    "within": ("Within what time", "How soon"),
}


def _closer_asks(speaker: Speaker, adjunct: Adjunct, short: tuple[int, int] | None) -> Iterator[Ask]:
    """`By when`, `In what year`, `How soon`, `In which place`."""
    words = list(adjunct.tokens)
    first = words[0].low
    heads: tuple[str, ...] = ()
    if adjunct.kind == "when" and _timed(words):
        heads = _EXACT_TIMES.get(first, ())
        if first == "in" and len(words) > 1 and re.fullmatch(r"\d{4}", words[-1].text):
            heads = ("In what year",)
    elif (
        adjunct.kind == "where" and len(words) > 2 and words[1].tag == "PROPN" and first in ("in", "on", "at")
    ):
        heads = (f"{first.capitalize()} which place",)
    for head in heads:
        ask = wh_ask(speaker, head, adjunct.kind, skip=adjunct, short=short)
        if ask is not None:
            yield ask
    if first == "within" and adjunct.kind == "when":
        yield from _deadline_asks(speaker, short)


def _deadline_asks(speaker: Speaker, short: tuple[int, int] | None) -> Iterator[Ask]:
    """`X can be returned within 45 days`: how long can I."""
    clause = speaker.clause
    if not clause.passive or modal(clause) not in ("can", "may"):
        return
    action = f"{VERB}{clause.verb.lemma} {speaker.subject}"
    for head in ("How long can I", "Until when can I", "How many days can I wait to"):
        yield Ask(f"{head} {action}?", "how_long", short=short)
    yield Ask(f"How much time do I have to {action}?", "how_long", f"how much time I have to {action}", short)


def _timed(words: list[Token]) -> bool:
    return any(token.tag in ("NUM", "NOUN", "PROPN") for token in words)


def _manner(words: list[Token]) -> bool:
    return words[0].low in ("with", "by")


def _condition_asks(speaker: Speaker, adjunct: Adjunct) -> Iterator[Ask]:
    """`X drives in circles when the bumper is stuck`: why, what happens, and the bare complaint."""
    clause = speaker.clause
    condition = render(adjunct.tokens, lower=False)
    body = " ".join(
        part for part in (speaker.subject, finite(speaker), tail_of(speaker, skip=adjunct)) if part
    )
    yield Ask(f"What happens {condition}?", "condition", f"what happens {condition}")
    yield Ask(f"What does it mean when {body}?", "condition", f"what it means when {body}")
    ask = wh_ask(speaker, "Why", "why", skip=adjunct)
    if ask is not None and not clause.negative:
        yield ask
    if not clause.negative and modal(clause) == "" and not clause.copula and not clause.past:
        yield Ask(f"{body[0].upper()}{body[1:]}.", "complaint", f"why {body}", family="statement", weight=3)
        progressive = _progressive(speaker, adjunct)
        if progressive:
            yield Ask(
                f"{progressive[0].upper()}{progressive[1:]}.",
                "complaint",
                f"why {progressive}",
                family="statement",
            )
            verb = "are" if speaker.plural else "is"
            rest = progressive.split(f" {verb} ", 1)[1]
            yield Ask(f"Why {verb} {speaker.subject} {rest}?", "why", f"why {progressive}")
    if clause.negative:
        yield Ask(f"{body[0].upper()}{body[1:]}.", "complaint", f"why {body}", family="statement", weight=3)
        order = inverted(speaker)
        if order and order[0] in ("can", "does", "do"):
            after = order[1].removeprefix("not ").strip()
            front = {"can": "can't", "does": "doesn't", "do": "don't"}[order[0]]
            rest = " ".join(part for part in (speaker.subject, after, tail_of(speaker, skip=adjunct)) if part)
            yield Ask(f"Why {front} {rest}?", "why", f"why {body}", weight=3)


def _progressive(speaker: Speaker, adjunct: Adjunct) -> str:
    clause = speaker.clause
    if clause.auxiliaries or clause.verb.lemma in (
        "have",
        "need",
        "contain",
        "hold",
        "know",
        "mean",
        "fit",
        "cost",
        "weigh",
        "include",
    ):
        return ""
    verb = "are" if speaker.plural else "is"
    tail = tail_of(speaker, skip=adjunct)
    return " ".join(part for part in (speaker.subject, verb, VERB + gerund(clause.verb.lemma), tail) if part)


def lead_asks(speaker: Speaker) -> Iterator[Ask]:
    """Questions that an adverbial before the subject answers."""
    lead = list(speaker.clause.lead)
    if lead[0].tag == "ADV":
        return
    if lead[0].low in ("if", "when"):
        condition = render(lead)
        yield Ask(f"What happens {condition}?", "condition", f"what happens {condition}")
        return
    _, adjuncts = split_adjuncts(lead)
    if (
        len(adjuncts) == 1
        and adjuncts[0].kind in ("when", "where")
        and adjuncts[0].tokens[0].start == lead[0].start
    ):
        word, form = _QUESTION_WORDS[adjuncts[0].kind]
        ask = wh_ask(speaker, word, form, short=speaker.place(lead) if len(lead) <= 8 else None)
        if ask:
            yield ask
