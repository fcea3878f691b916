"""Questions that an instruction answers: how do I, when should I, what for, may I."""

from __future__ import annotations

from collections.abc import Iterator

from labtune.generation.english.adjuncts import Adjunct
from labtune.generation.english.inflect import gerund, verb_form
from labtune.generation.english.marks import VERB, render
from labtune.generation.english.speaker import Speaker
from labtune.generation.english.tag import NAMING, Token
from labtune.generation.lexicon import word_set
from labtune.generation.rows import Ask

KEEPING = frozenset(("store", "keep", "leave", "place", "put", "travel", "start", "combine", "mix", "share"))
_PARTICLES = word_set("en_words", "particles")
_LIMITS = frozenset(("only", "never"))


def instruction_asks(speaker: Speaker) -> Iterator[Ask]:
    """Questions from an imperative sentence."""
    clause = speaker.clause
    verb = clause.verb
    words = [token for token in speaker.object if token.low not in _LIMITS]
    particle = ""
    if words and words[0].low in _PARTICLES:
        particle = " " + words[0].low
        words = words[1:]
    act = VERB + verb.lemma + particle
    thing = render(words, lower=False)
    whole = " ".join(part for part in (act, thing, _adjuncts(speaker, ())) if part)
    plain = f"{act} {thing}".strip()
    prohibited = any(token.low in ("not", "never", "don't") for token in clause.auxiliaries)
    if prohibited:
        yield from _prohibitions(whole, plain)
        return
    purpose = next((a for a in clause.adjuncts if a.kind == "purpose"), None)
    if purpose is not None:
        yield from _purposes(speaker, purpose, plain)
    else:
        yield from _plain_instruction(speaker, whole, plain)
    for adjunct in speaker.kept:
        yield from _adjunct_instruction(speaker, adjunct, plain)
    # What follows `let` is a clause of its own: Let the filter dry.
    if verb.lemma != "let" and words and words[0].tag in ("DET", "NOUN", "PROPN", "ADJ", "?", "NUM"):
        yield from _object_instruction(speaker, words, act, purpose)


def _adjuncts(speaker: Speaker, skip: tuple[Adjunct, ...]) -> str:
    return " ".join(render(a.tokens, lower=False) for a in speaker.kept if a not in skip)


def _prohibitions(whole: str, plain: str) -> Iterator[Ask]:
    for action in dict.fromkeys((whole, plain)):
        yield Ask(f"Can I {action}?", "permission", f"if I can {action}", polarity="no", weight=3)
        yield Ask(f"May I {action}?", "permission", f"if I may {action}", polarity="no")
        yield Ask(f"Is it OK to {action}?", "permission", f"if it is OK to {action}", polarity="no")
        yield Ask(f"Should I {action}?", "permission", f"if I should {action}", polarity="no")
        yield Ask(f"Is it a good idea to {action}?", "permission", polarity="no")
        yield Ask(f"Am I allowed to {action}?", "permission", f"if I am allowed to {action}", polarity="no")


def _purposes(speaker: Speaker, purpose: Adjunct, plain: str) -> Iterator[Ask]:
    goal_tokens = goal_of(purpose)
    if not goal_tokens:
        return
    form = verb_form(goal_tokens[0].low)
    if form is None:
        return
    goal = " ".join(part for part in (VERB + form.lemma, render(goal_tokens[1:], lower=False)) if part)
    after = [
        a
        for a in speaker.clause.adjuncts
        if a.tokens[0].start > purpose.tokens[0].start and a.kind != "other"
    ]
    goal = " ".join([goal, *(render(a.tokens, lower=False) for a in after[:2])])
    for head, form_name, weight in (
        ("How do I {g}?", "how_to", 4),
        ("How can I {g}?", "how_to", 3),
        ("What do I have to do to {g}?", "how_to", 2),
        ("What should I do to {g}?", "how_to", 2),
        ("How is it possible to {g}?", "how_to", 1),
        ("What is the way to {g}?", "how_to", 1),
        ("I want to {g}. What should I do?", "how_to", 2),
        ("I'd like to {g}. How does that work?", "how_to", 2),
        ("I need to {g}. How?", "how_to", 2),
        ("How to {g}?", "how_to", 2),
        ("What do I do if I want to {g}?", "how_to", 2),
        ("Can I {g}?", "how_to", 1),
        ("Is there a way to {g}?", "how_to", 2),
    ):
        text = head.format(g=goal)
        indirect = {
            "How do I {g}?": "how I {g}",
            "How can I {g}?": "how I can {g}",
            "How to {g}?": "how to {g}",
            "What should I do to {g}?": "what I should do to {g}",
        }.get(head, "").format(g=goal)
        yield Ask(text, form_name, indirect, weight=weight)
    passive = _passive_goal(form.lemma, goal_tokens[1:])
    if passive:
        yield Ask(
            f"How {passive[0]} {passive[1]} {VERB}{passive[2]}?",
            "how_to",
            f"how {passive[1]} {passive[0]} {VERB}{passive[2]}",
        )
    yield Ask(f"What happens if I {plain}?", "condition", f"what happens if I {plain}")
    yield Ask(f"Why should I {plain}?", "why", f"why I should {plain}")
    yield Ask(f"What happens when I {plain}?", "condition", f"what happens when I {plain}", weight=1)


def goal_of(purpose: Adjunct) -> list[Token]:
    """The words after `to` or `in order to`."""
    place = next((n for n, token in enumerate(purpose.tokens) if token.tag == "TO"), len(purpose.tokens))
    return list(purpose.tokens[place + 1 :])


def _passive_goal(lemma: str, words: list[Token]) -> tuple[str, str, str] | None:
    from labtune.generation.english.inflect import participle
    from labtune.generation.english.tag import plural_phrase

    phrase: list[Token] = []
    for token in words:
        if token.tag in ("DET", "ADJ", "NOUN", "PROPN", "NUM", "?"):
            phrase.append(token)
        else:
            break
    if len(phrase) != len(words) or not phrase or not any(token.tag in NAMING for token in phrase):
        return None
    return ("are" if plural_phrase(phrase) else "is"), render(phrase, lower=False), participle(lemma)


def _plain_instruction(speaker: Speaker, whole: str, plain: str) -> Iterator[Ask]:
    lemma = speaker.clause.verb.lemma
    yield Ask(f"How do I {plain}?", "how_to", f"how I {plain}", weight=2)
    yield Ask(f"How should I {plain}?", "how_to", f"how I should {plain}", weight=2)
    yield Ask(f"What should I know when I {plain}?", "how_to", f"what I should know when I {plain}", weight=1)
    yield Ask(f"Do I have to {plain}?", "permission", f"if I have to {plain}", polarity="yes", weight=1)
    yield Ask(f"Do I need to {plain}?", "permission", f"if I need to {plain}", polarity="yes", weight=1)
    yield Ask(f"Should I {whole}?", "permission", f"if I should {whole}", polarity="yes", weight=1)
    yield Ask(f"What is the right way to {plain}?", "how_to", weight=2)
    yield Ask(f"I want to {plain}. What should I watch out for?", "how_to", weight=1)
    yield Ask(
        f"Any tips on {VERB}{gerund(lemma)}{plain.removeprefix(VERB + lemma)}?",
        "how_to",
        weight=1,
    )


def _adjunct_instruction(speaker: Speaker, adjunct: Adjunct, plain: str) -> Iterator[Ask]:
    others = _adjuncts(speaker, (adjunct,))
    words = list(adjunct.tokens)
    short = speaker.place(words) if len(words) <= 9 else None
    full = " ".join(part for part in (plain, others) if part)
    kind = adjunct.kind
    question = {
        "when": "When",
        "where": "Where",
        "duration": "How long",
        "frequency": "How often",
        "condition": "When",
        "from": "Where",
    }.get(kind)
    form = {"duration": "how_long", "frequency": "how_often"}.get(kind, kind)
    if kind == "purpose" or kind == "purpose_for":
        return
    if kind == "manner" and words[0].low == "with" and len(words) > 1:
        if speaker.clause.verb.lemma in KEEPING:
            return
        yield from _tool_asks(plain, short)
        return
    if question is None:
        return
    suffix = " from" if kind == "from" else ""
    for action in dict.fromkeys((full, plain)):
        yield Ask(
            f"{question} should I {action}{suffix}?",
            form,
            f"{question.lower()} I should {action}{suffix}",
            short,
            weight=3,
        )
        yield Ask(f"{question} do I {action}{suffix}?", form, f"{question.lower()} I {action}{suffix}", short)
        yield Ask(
            f"{question} do I have to {action}{suffix}?",
            form,
            f"{question.lower()} I have to {action}{suffix}",
            short,
        )
        yield Ask(
            f"{question} must I {action}{suffix}?",
            form,
            f"{question.lower()} I must {action}{suffix}",
            short,
            weight=1,
        )
    if kind in ("when", "condition") and words[0].low in ("after", "before", "when", "if", "during"):
        phrase = render(words, lower=False)
        yield Ask(f"What should I do {phrase}?", "condition", f"what I should do {phrase}", weight=3)
        yield Ask(f"What do I have to do {phrase}?", "condition", f"what I have to do {phrase}")
        yield Ask(f"Is there anything I have to do {phrase}?", "condition")
    if kind == "frequency":
        yield Ask(f"How frequently should I {plain}?", form, f"how frequently I should {plain}", short)
        yield Ask(f"Do I have to {plain} regularly?", form, f"if I have to {plain} regularly", weight=1)
    if kind == "duration":
        yield Ask(f"For how long should I {full}?", form, f"for how long I should {full}", short)


def _tool_asks(plain: str, short: tuple[int, int] | None) -> Iterator[Ask]:
    yield Ask(f"What should I use to {plain}?", "tool", f"what I should use to {plain}", short, weight=3)
    yield Ask(f"What do I {plain} with?", "tool", f"what I {plain} with", short, weight=3)
    yield Ask(f"What do I need to {plain}?", "tool", f"what I need to {plain}", short)
    yield Ask(f"Which tool do I use to {plain}?", "tool", f"which tool I use to {plain}", short, weight=1)
    yield Ask(f"With what should I {plain}?", "tool", f"with what I should {plain}", short, weight=1)


def _object_instruction(
    speaker: Speaker, words: list[Token], act: str, purpose: Adjunct | None
) -> Iterator[Ask]:
    nominal = [token for token in words if token.low not in _LIMITS and token.low not in ("once", "twice")]
    phrase: list[Token] = []
    for token in nominal:
        if token.tag in ("PREP", "TO", "SUB", "ADV", "CONJ", "PUNCT") or (token.low == "clean" and phrase):
            break
        phrase.append(token)
    if not phrase or not any(token.tag in NAMING or token.tag == "?" for token in phrase):
        return
    thing = render(phrase, lower=False)
    short = speaker.place(phrase)
    extra = _adjuncts(speaker, ())
    yield Ask(f"What should I do with {thing}?", "instruction", f"what I should do with {thing}", weight=2)
    yield Ask(f"What do I have to do with {thing}?", "instruction", f"what I have to do with {thing}")
    yield Ask(f"How do I handle {thing}?", "instruction", f"how I handle {thing}", weight=1)
    yield Ask(f"What is important about {thing}?", "instruction", weight=1)
    if extra:
        yield Ask(f"What should I {act} {extra}?", "what", f"what I should {act} {extra}", short)
        yield Ask(f"What do I have to {act} {extra}?", "what", f"what I have to {act} {extra}", short)
    if purpose is not None:
        yield Ask(f"What is {thing} for?", "purpose", f"what {thing} is for")
        yield Ask(f"What does {thing} do?", "purpose", f"what {thing} does")
        yield Ask(f"When do I need {thing}?", "purpose", f"when I need {thing}", weight=1)
