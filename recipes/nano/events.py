"""Passages of everyday events asked about in other words: the search for the sentence that means the same."""

from __future__ import annotations

import random
from functools import lru_cache

from .events_zh import event_row_zh
from .lexicon import expand, pairs, synonyms, upper_first
from .rows import UNSAID_MUST, Row, brief, unsaid

_ACTIONS = frozenset(
    [
        "buy",
        "fix",
        "clean",
        "find",
        "hide",
        "steal",
        "sell",
        "break",
        "carry",
        "paint",
        "deliver",
        "choose",
        "keep",
        "build",
        "replace",
        "remove",
        "inspect",
        "draw",
        "need",
        "send",
        "return",
        "collect",
        "create",
        "press",
        "hold",
        "fill",
        "use",
        "protect",
        "paint",
        "change",
        "check",
        "book",
        "order",
        "cancel",
        "empty",
        "heat",
        "lose",
        "repair",
        "mend",
        "purchase",
        "get",
        "receive",
        "post",
        "ship",
        "require",
        "help",
        "show",
        "shut",
        "close",
        "select",
        "pick",
        "gather",
        "wash",
        "damage",
        "transport",
        "move",
        "alter",
        "swap",
        "employ",
        "store",
        "guard",
        "make",
        "produce",
        "invent",
        "discover",
        "conceal",
        "reserve",
        "examine",
        "test",
    ]
)
_BAD_OBJECTS = frozenset(
    [
        "tallness",
        "height",
        "weight",
        "speed",
        "pace",
        "size",
        "dimensions",
        "colour",
        "shade",
        "mass",
        "mother",
        "father",
        "mum",
        "dad",
    ]
)
_PARTICIPLES = {
    "take": "taken",
    "steal": "stolen",
    "break": "broken",
    "hide": "hidden",
    "choose": "chosen",
    "draw": "drawn",
    "get": "got",
    "write": "written",
    "eat": "eaten",
    "grow": "grown",
    "show": "shown",
    "speak": "spoken",
}
_TIMES = (
    "on Monday",
    "on Tuesday",
    "on Wednesday",
    "on Thursday",
    "on Friday",
    "on Saturday",
    "on Sunday",
    "in spring",
    "in summer",
    "in autumn",
    "in winter",
    "yesterday",
    "last week",
    "last year",
    "in the morning",
    "in the evening",
    "at noon",
    "at midnight",
    "at #2-11 o'clock",
    "in #1700-2024",
    "#2-9 days ago",
    "on March #1-31",
    "on July #1-31",
    "in January",
    "in May",
    "in October",
    "before breakfast",
    "after lunch",
    "after the storm",
    "during the break",
)
_PLACES = (
    "in the kitchen",
    "in the garden",
    "at the station",
    "in the market",
    "on the roof",
    "in the cellar",
    "at school",
    "in the office",
    "near the river",
    "in the forest",
    "behind the house",
    "in the library",
    "at the harbour",
    "in @place",
    "in @place",
    "in room #2-99",
    "on the second floor",
    "in the car",
    "at the front desk",
    "by the lake",
)
_REASONS = (
    "it was too old",
    "the weather was bad",
    "there was no time",
    "it was broken",
    "a friend had asked for it",
    "the price was low",
    "the light had failed",
    "guests were coming",
    "the road was closed",
    "it made a strange noise",
    "the doctor advised it",
    "it had rained for days",
    "the old one was lost",
    "the boss wanted it",
)
_SUBJECTS = (
    "@person",
    "@person",
    "the nurse",
    "the old farmer",
    "the teacher",
    "a young sailor",
    "the baker",
    "the company",
    "@name",
    "the mayor of @place",
)
_ADJECTIVES = (
    "red",
    "blue",
    "old",
    "new",
    "small",
    "big",
    "broken",
    "cheap",
    "expensive",
    "wooden",
    "heavy",
    "dirty",
    "wet",
    "rare",
    "round",
    "green",
)


def past(verb: str) -> str:
    """Simple past of an English verb phrase (its first word is inflected)."""
    head, _, rest = verb.partition(" ")
    known = dict(pairs("en")["past tense"])
    if head in known:
        form = known[head]
    elif head.endswith("e"):
        form = head + "d"
    elif head.endswith("y") and head[-2] not in "aeiou":
        form = head[:-1] + "ied"
    elif head in ("ship", "swap", "stop", "trim", "drop", "grip"):
        form = head + head[-1] + "ed"
    else:
        form = head + "ed"
    return f"{form} {rest}".strip()


def participle(verb: str) -> str:
    """Past participle of an English verb phrase."""
    head, _, rest = verb.partition(" ")
    return f"{_PARTICIPLES[head]} {rest}".strip() if head in _PARTICIPLES else past(verb)


@lru_cache
def _groups(part: str) -> list[tuple[str, ...]]:
    if part == "v":
        found = [tuple(w for w in g.words if w in _ACTIONS) for g in synonyms("en") if g.part == "v"]
        return [words for words in found if words]
    return [g.words for g in synonyms("en") if g.part == part and not set(g.words) & _BAD_OBJECTS]


class _Event:
    """One event; every part can be said in several ways."""

    def __init__(self, rng: random.Random) -> None:
        self.subject = expand(rng, rng.choice(_SUBJECTS), "en")
        self.verbs = rng.choice(_groups("v"))
        self.objects = rng.choice(_groups("n"))
        self.adjective = rng.choice(_ADJECTIVES) + " " if rng.random() < 0.5 else ""
        self.time = expand(rng, rng.choice(_TIMES), "en")
        self.place = expand(rng, rng.choice(_PLACES), "en") if rng.random() < 0.6 else ""
        self.reason = rng.choice(_REASONS) if rng.random() < 0.35 else ""
        self.timed = rng.random() < 0.7
        self.passive = rng.random() < 0.25
        self.verb = rng.choice(self.verbs)
        self.noun = rng.choice(self.objects)
        self.front = rng.random() < 0.4
        self.sentence = self._sentence()

    def _sentence(self) -> str:
        thing = f"the {self.adjective}{self.noun}"
        core = (
            f"{thing} was {participle(self.verb)} by {self.subject}"
            if self.passive
            else f"{self.subject} {past(self.verb)} {thing}"
        )
        if self.place:
            core += f" {self.place}"
        if self.timed:
            core = f"{self.time} {core}" if self.front else f"{core} {self.time}"
        if self.reason:
            core += f" because {self.reason}"
        return upper_first(core) + "."

    def question(self, rng: random.Random) -> tuple[str, str]:
        """A question in other words, and its short answer."""
        verb = rng.choice(self.verbs)
        noun = rng.choice(self.objects)
        thing = f"the {self.adjective if rng.random() < 0.4 else ''}{noun}"
        options = [
            (f"Who {past(verb)} {thing}?", self.subject),
            (f"By whom was {thing} {participle(verb)}?", self.subject),
            (f"What did {self.subject} {verb}?", f"the {self.adjective}{self.noun}"),
            (f"What was {participle(verb)} by {self.subject}?", f"the {self.adjective}{self.noun}"),
            (f"What happened to {thing}?", ""),
            (f"What do we learn about {thing}?", ""),
            (f"What did {self.subject} do?", ""),
            (f"{noun} {past(verb)}", ""),
            (f"{self.subject} {noun}", ""),
        ]
        if self.timed:
            options += [
                (f"When did {self.subject} {verb} {thing}?", self.time),
                (f"When was {thing} {participle(verb)}?", self.time),
            ] * 2
        if self.place:
            options += [
                (f"Where did {self.subject} {verb} {thing}?", self.place),
                (f"Where was {thing} {participle(verb)}?", self.place),
            ] * 2
        if self.reason:
            options += [
                (f"Why did {self.subject} {verb} {thing}?", self.reason),
                (f"Why was {thing} {participle(verb)}?", self.reason),
                (f"For what reason was {thing} {participle(verb)}?", self.reason),
            ] * 2
        return rng.choice(options)


def event_row(rng: random.Random, language: str) -> Row:
    """A passage of events with one to three questions in other words."""
    if language == "zh":
        return event_row_zh(rng)
    events: list[_Event] = []
    for _ in range(rng.randint(2, 4)):
        event = _Event(rng)
        if all(event.objects != other.objects and event.subject != other.subject for other in events):
            events.append(event)
    text = " ".join(event.sentence for event in events)
    messages: list[tuple[str, str]] = []
    must: tuple[str, ...] = ()
    for event in rng.sample(events, min(len(events), rng.choice((1, 2, 3)))):
        if rng.random() < 0.1:
            stranger = _Event(rng)
            taken = {word for other in events for word in other.objects}
            if not taken & set(stranger.objects):
                question, answer = stranger.question(rng)[0], unsaid(rng, "en")
                must = UNSAID_MUST["en"]
            else:
                continue
        else:
            question, value = event.question(rng)
            answer = event.sentence
            must = (value,) if value else (event.noun,)
            if value and rng.random() < 0.18:
                question, answer = brief(rng, question, "en"), upper_first(value) + "."
        question = question if rng.random() < 0.93 else question.lower().rstrip("?")
        if not messages:
            question = f"{text}\n\n{question}" if rng.random() < 0.88 else f"{question}\n\n{text}"
        messages += [("user", question), ("assistant", answer)]
    if not messages:
        return event_row(rng, language)
    return Row(tuple(messages), "reading", "en", train_user=rng.random() < 0.03, must=must)
