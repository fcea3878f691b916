"""Questions from a parsed English clause: one builder per kind of question."""

from __future__ import annotations

from collections.abc import Iterator

from labtune.generation.english.adjunct_questions import adjunct_asks, lead_asks
from labtune.generation.english.clause import Clause, modal
from labtune.generation.english.inflect import is_plural, past, singular, third_person
from labtune.generation.english.marks import NAME, NAMES, VERB, has_name, render
from labtune.generation.english.speaker import Speaker, finite, has_time, inverted, tail_of, wh_ask
from labtune.generation.english.tag import BE, NAMING, Token
from labtune.generation.lexicon import word_set
from labtune.generation.rows import Ask

# Words of the longest complement that names its subject: `is the largest kettle of its kind`.
_NAMED = 6
_INTRANSITIVE = word_set("en_words", "intransitive")


def clause_asks(speaker: Speaker) -> Iterator[Ask]:
    """All questions that the clause's own words allow."""
    clause = speaker.clause
    if clause.imperative:
        return
    if not clause.negative:
        yield from _object_asks(speaker)
        yield from _subject_asks(speaker)
    yield from _yes_no(speaker)
    for adjunct in speaker.kept:
        yield from adjunct_asks(speaker, adjunct)
    if clause.lead and not clause.negative:
        yield from lead_asks(speaker)
    yield from _agent_asks(speaker)
    yield from _permission_asks(speaker)


def _object_asks(speaker: Speaker) -> Iterator[Ask]:
    clause, words = speaker.clause, speaker.object
    if not words:
        return
    if clause.copula:
        yield from _complement_asks(speaker, words)
        return
    if clause.passive or words[0].tag == "SUB":
        return
    if words[0].tag == "TO":
        ask = wh_ask(speaker, "What", "what", without_object=True)
        if ask and clause.verb.lemma in ("need", "have", "want", "try", "learn", "decide", "plan"):
            yield Ask(ask.text.replace("?", " to do?"), "what", ask.indirect + " to do", weight=1)
        return
    if words[0].low == "not" or (
        words[0].tag in ("ADV", "ADJ") and not any(token.tag in NAMING for token in words)
    ):
        return
    count = _counted(words)
    if count is not None:
        head = f"How many {render(words[count:], lower=False)}"
        yield from _some(wh_ask(speaker, head, "how_many", without_object=True, short=speaker.place(words)))
    if words[0].tag not in ("PREP", "VERB", "PRON"):
        yield from _what_asks(speaker, words)


def _what_asks(speaker: Speaker, words: list[Token]) -> Iterator[Ask]:
    lemma = speaker.clause.verb.lemma
    if has_time(words) and words[0].tag == "NUM":
        if lemma not in ("take", "last", "need"):
            yield from _some(
                wh_ask(speaker, "How long", "how_long", without_object=True, short=speaker.place(words))
            )
    elif lemma not in _INTRANSITIVE:
        yield from _some(wh_ask(speaker, "What", "what", without_object=True, short=_minimal(speaker, words)))


def _some(ask: Ask | None) -> Iterator[Ask]:
    if ask is not None:
        yield ask


def _minimal(speaker: Speaker, words: list[Token]) -> tuple[int, int] | None:
    return speaker.place(words) if len(words) <= 8 and not speaker.listed(words) else None


_APPROXIMATE = word_set("en_words", "approximate")


def _counted(words: list[Token]) -> int | None:
    """Index of the counted noun in `[about] three mop cloths`, None for other objects."""
    start = next((n for n, token in enumerate(words) if token.low not in _APPROXIMATE), len(words))
    index = start
    while index < len(words) and words[index].tag == "NUM" and words[index].low != "one":
        index += 1
    if index == start or index >= len(words) or words[index].tag not in ("NOUN", "ADJ", "?", "VERB"):
        return None
    many = any(token.tag in ("NOUN", "?") and is_plural(token.low) for token in words[index:])
    return index if many else None


def _complement_asks(speaker: Speaker, words: list[Token]) -> Iterator[Ask]:
    verb = speaker.clause.verb.low
    # `the knot with an extra turn`: without what follows, the thing would be another one.
    cut = words[0].low == "the" and bool(speaker.clause.adjuncts)
    short = None if cut else _minimal(speaker, words)
    if verb not in BE or speaker.clause.auxiliaries:
        return
    vague = (
        "no",
        "most",
        "more",
        "less",
        "all",
        "both",
        "some",
        "any",
        "such",
        "many",
        "few",
        "much",
        "fewer",
        "enough",
        "another",
    )
    if words[0].low in ("a", "an") or (
        words[0].tag in ("NOUN", "PROPN", "DET") and words[0].low not in vague
    ):
        yield Ask(
            f"What {verb} {speaker.subject}?", "definition", f"what {speaker.subject} {verb}", short, weight=3
        )
        if words[0].low in ("a", "an"):
            yield Ask(
                f"How would you describe {speaker.subject}?",
                "definition",
                f"how you would describe {speaker.subject}",
            )
            yield Ask(f"Explain what {speaker.subject} {verb}.", "definition")
            yield Ask(
                f"What exactly {verb} {speaker.subject}?",
                "definition",
                f"what exactly {speaker.subject} {verb}",
                short,
            )
            yield Ask(f"What kind of thing {verb} {speaker.subject}?", "definition", short=short, weight=1)
        elif speaker.clause.subject and speaker.clause.subject[0].low == "the" and words[0].low == "the":
            yield Ask(f"Who or what {verb} {speaker.subject}?", "definition", short=short, weight=1)
    elif (
        words[0].tag == "NUM"
        and speaker.clause.subject[0].low == "the"
        and words[-1].tag not in ("ADJ", "ADV")
    ):
        yield Ask(
            f"What {verb} {speaker.subject}?", "value", f"what {speaker.subject} {verb}", short, weight=2
        )


def _subject_asks(speaker: Speaker) -> Iterator[Ask]:
    clause = speaker.clause
    words = clause.subject
    if words[0].tag == "PRON" or speaker.subject in (NAME, NAMES):
        return
    named = bool(speaker.object) and speaker.object[0].low == "the" and len(speaker.object) <= _NAMED
    if speaker.clause.copula and not named:
        return
    head = next((token for token in reversed(words) if token.tag in NAMING), None)
    if head is None and words[0].form != "ing":
        return
    bare = bool(speaker.object) and speaker.object[0].tag == "DET"
    if bare and not any(token.tag in NAMING or token.tag == "?" for token in speaker.object):
        # `has a slower`: the noun was taken for something else.
        return
    word = "Who" if _is_person(words, clause) else "What"
    verb = _third(clause)
    tail = tail_of(speaker)
    if not tail and not clause.auxiliaries:
        return
    pointing = words[0].low in ("this", "these", "such", "its", "their")
    short = speaker.place(words) if len(words) <= 8 and not pointing else None
    question = " ".join(part for part in (verb, tail) if part)
    yield Ask(
        f"{word} {question}?", "who" if word == "Who" else "subject", f"{word.lower()} {question}", short
    )


def _third(clause: Clause) -> str:
    """The verb group after `who` or `what`, always singular."""
    swap = {"are": "is", "were": "was", "have": "has", "do": "does"}
    words = [swap.get(token.low, token.low) for token in clause.auxiliaries]
    if clause.copula:
        return " ".join([*words, swap.get(clause.verb.low, clause.verb.low)])
    if clause.auxiliaries and any(token.tag == "AUX" for token in clause.auxiliaries):
        return " ".join([*words, VERB + clause.verb.low])
    form = clause.verb.low if clause.verb.form == "past" else third_person(clause.verb.lemma)
    return " ".join([*words, form if clause.verb.lemma == "have" else VERB + form])


def _is_person(words: tuple[Token, ...], clause: Clause) -> bool:
    nouns = [token.low for token in words if token.tag in NAMING]
    if any({noun, singular(noun)} & word_set("en_questions", "person_nouns") for noun in nouns):
        return True
    return (
        has_name(list(words))
        and words[0].low != "the"
        and (clause.verb.lemma in word_set("en_questions", "person_verbs"))
    )


def _yes_no(speaker: Speaker) -> Iterator[Ask]:
    order = inverted(speaker)
    if order is None or (
        speaker.clause.subject
        and speaker.clause.subject[0].low in ("no", "neither", "none", "nothing", "few")
    ):
        return
    front, after = order
    negative = speaker.clause.negative
    if negative and not front.endswith("n't"):
        after = (
            after.replace("not ", "", 1).replace("never ", "ever ")
            if "not " in after or "never" in after
            else after.replace("not", "").strip()
        )
    elif negative:
        front = (
            front.removesuffix("n't")
            if front not in ("can't", "won't")
            else {"can't": "can", "won't": "will"}[front]
        )
    tail = tail_of(speaker)
    if not tail:
        return
    middle = " ".join(part for part in (speaker.subject, after, tail) if part)
    front = front.capitalize()
    polarity = "no" if negative else "yes"
    indirect = (
        ""
        if negative
        else "whether " + " ".join(part for part in (speaker.subject, finite(speaker), tail) if part)
    )
    yield Ask(f"{front} {middle}?", "yes_no", indirect, polarity=polarity, weight=1)
    if not negative:
        yield Ask(f"Is it true that {indirect[8:]}?", "yes_no", polarity=polarity, weight=1)


def _agent_asks(speaker: Speaker) -> Iterator[Ask]:
    clause = speaker.clause
    agent = next((a for a in clause.adjuncts if a.kind == "agent"), None)
    if agent is None or not clause.passive or clause.negative or len(agent.tokens) < 2:
        return
    words = list(agent.tokens[1:])
    short = speaker.place(words) if len(words) <= 9 else None
    tense = next((t.low for t in clause.auxiliaries if t.low in ("is", "are", "was", "were")), "")
    if not tense:
        return
    verb = third_person(clause.verb.lemma) if tense in ("is", "are") else past(clause.verb.lemma)
    others = " ".join(
        render(a.tokens, lower=False) for a in speaker.kept if a is not agent and a.kind == "when"
    )
    question = " ".join(part for part in (VERB + verb, speaker.subject, others) if part)
    persons = word_set("en_questions", "person_nouns")
    named = words[0].tag == "PROPN" or any(singular(token.low) in persons for token in words[:3])
    yield Ask(
        f"{'Who' if named else 'What'} {question}?",
        "who" if named else "subject",
        f"{'who' if named else 'what'} {question}",
        short,
        weight=3,
    )
    yield Ask(
        f"{'Who' if named else 'What'} {tense} {speaker.subject} {VERB}{clause.verb.low} by?",
        "who" if named else "subject",
        f"{'who' if named else 'what'} {speaker.subject} {tense} {VERB}{clause.verb.low} by",
        short,
    )


def _permission_asks(speaker: Speaker) -> Iterator[Ask]:
    """can, may, must, should with a passive: what a customer may or has to do."""
    clause = speaker.clause
    verb = modal(clause)
    if not verb or not clause.passive:
        return
    base = clause.verb.lemma
    tail = tail_of(speaker)
    action = " ".join(part for part in (VERB + base, speaker.subject, tail) if part)
    plain = f"{VERB}{base} {speaker.subject}"
    polarity = "no" if clause.negative else "yes"
    if verb in ("can", "may", "could", "cannot"):
        yield Ask(f"Can I {action}?", "permission", f"if I can {action}", polarity=polarity, weight=3)
        yield Ask(f"Can I {plain}?", "permission", f"if I can {plain}", polarity=polarity, weight=3)
        yield Ask(f"Is it OK to {plain}?", "permission", f"if it is OK to {plain}", polarity=polarity)
        yield Ask(
            f"Is it possible to {plain}?", "permission", f"if it is possible to {plain}", polarity=polarity
        )
        yield Ask(f"Am I allowed to {plain}?", "permission", f"if I am allowed to {plain}", polarity=polarity)
        if not clause.negative:
            yield Ask(f"How do I {plain}?", "how_to", f"how I {plain}")
            yield Ask(f"How can I {plain}?", "how_to", f"how I can {plain}")
    elif verb in ("must", "should", "shall"):
        if clause.negative:
            yield Ask(f"Can I {action}?", "permission", f"if I can {action}", polarity="no", weight=3)
            yield Ask(f"May I {action}?", "permission", f"if I may {action}", polarity="no", weight=3)
            yield Ask(f"Is it OK to {action}?", "permission", f"if it is OK to {action}", polarity="no")
        else:
            yield Ask(
                f"Do I have to {action}?", "permission", f"if I have to {action}", polarity="yes", weight=3
            )
            yield Ask(f"Do I need to {action}?", "permission", f"if I need to {action}", polarity="yes")
            yield Ask(f"How do I {plain}?", "how_to", f"how I {plain}")
            yield Ask(f"How should I {plain}?", "how_to", f"how I should {plain}")
            yield Ask(f"What do I need to know to {plain}?", "how_to")
