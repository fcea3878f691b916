"""Questions from a parsed English clause: one builder per kind of question."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from labtune.generation.english.adjuncts import Adjunct, split_adjuncts
from labtune.generation.english.clause import Clause, modal
from labtune.generation.english.inflect import gerund, is_plural, past, third_person
from labtune.generation.english.marks import NAME, NAMES, VERB, has_name, render
from labtune.generation.english.names import Names, Sentence
from labtune.generation.english.tag import BE, NAMING, Token
from labtune.generation.lexicon import word_set
from labtune.generation.rows import Ask


@dataclass(frozen=True, slots=True)
class Speaker:
    """A clause with its subject already worded for questions.

    `subject` is marked text; `plural` its number; `offset` where the sentence starts in the document.
    """

    clause: Clause
    subject: str
    plural: bool
    offset: int

    @property
    def kept(self) -> list[Adjunct]:
        """Adjuncts that a question may repeat: at most two, none after a comma."""
        kept: list[Adjunct] = []
        for adjunct in self.clause.adjuncts:
            if adjunct.kind == "other" or len(kept) == 2:
                break
            kept.append(adjunct)
        return kept

    @property
    def object(self) -> list[Token]:
        """The object up to the first comma or relative clause."""
        words: list[Token] = []
        for token in self.clause.object:
            if token.text == ",":
                break
            words.append(token)
        return words

    def place(self, tokens: list[Token] | tuple[Token, ...]) -> tuple[int, int]:
        """Where words stand in the document."""
        return self.offset + tokens[0].start, self.offset + tokens[-1].end


_VAGUE_HEADS = frozenset(
    [
        "type",
        "types",
        "kind",
        "kinds",
        "sort",
        "case",
        "cases",
        "time",
        "way",
        "ways",
        "pattern",
        "example",
        "reason",
        "result",
        "means",
        "fact",
    ]
)
_INTRANSITIVE = frozenset(
    [
        "live",
        "die",
        "stay",
        "remain",
        "occur",
        "last",
        "go",
        "come",
        "arrive",
        "lie",
        "sleep",
        "exist",
        "happen",
        "appear",
        "seem",
        "become",
    ]
)


def speaker(clause: Clause, sentence: Sentence, names: Names, referent: str) -> Speaker | None:
    """Word the subject; None when it is a pronoun that nothing resolves."""
    if clause.imperative:
        return Speaker(clause, "", False, sentence.start)
    words = clause.subject
    if words[0].tag == "PRON" or (words[0].low in ("this", "these", "such") and len(words) == 1):
        if words[0].low in ("it", "they", "he", "she") and referent:
            return Speaker(clause, referent, clause.plural, sentence.start)
        if words[0].low == "you":
            return Speaker(clause, "I", True, sentence.start)
        return None
    if words[0].low in ("its", "their", "his", "her"):
        if not referent or len(words) < 2:
            return None
        return Speaker(clause, f"the {render(words[1:])} of {referent}", clause.plural, sentence.start)
    if words[0].low in ("this", "these", "such", "the") and any(
        token.low in _VAGUE_HEADS for token in words[1:]
    ):
        return None
    return Speaker(clause, word_phrase(words, names), clause.plural, sentence.start)


def word_phrase(tokens: tuple[Token, ...] | list[Token], names: Names) -> str:
    """A noun phrase for a question, as a name slot where it names the document's subject."""
    slot = names.slot(tokens)
    if slot:
        return slot
    first = tokens[0]
    if first.low == "such" and len(tokens) > 2 and tokens[1].low in ("a", "an"):
        return render(tokens[1:])
    if first.low in ("this", "these", "such", "those") and len(tokens) > 1:
        return "the " + render(tokens[1:])
    text = render(tokens)
    # A name inside a longer phrase: the warranty on the robot.
    for size in (3, 2, 1):
        tail = tokens[-size:]
        if len(tokens) > size and names.slot(tail):
            return f"{render(tokens[:-size])} {names.slot(tail)}"
    return text


def finite(speaker: Speaker) -> str:
    """The verb group as in a statement."""
    clause = speaker.clause
    words = [render([token]) for token in clause.auxiliaries if token.low != "not"]
    words = [word for word in words if word]
    if clause.negative and clause.auxiliaries and any(token.low == "not" for token in clause.auxiliaries):
        words.insert(1 if len(words) > 0 else 0, "not")
    return " ".join([*words, _verb_word(clause.verb)])


def _verb_word(verb: Token) -> str:
    return verb.low if verb.low in BE or verb.lemma in ("have", "do") else VERB + verb.low


def _inverted(speaker: Speaker) -> tuple[str, str] | None:
    """(word before the subject, words after it) of the question order."""
    clause = speaker.clause
    if clause.copula:
        if not clause.auxiliaries:
            return clause.verb.low, ""
        front = next((t for t in clause.auxiliaries if t.tag == "AUX"), None)
        if front is None:
            return clause.verb.low, "not" if clause.negative else ""
        rest = [t.low for t in clause.auxiliaries if t is not front]
        return front.low, " ".join([*rest, clause.verb.low])
    auxiliaries = [t for t in clause.auxiliaries]
    front = next((t for t in auxiliaries if t.tag == "AUX"), None)
    if front is not None:
        rest = [t.low for t in auxiliaries if t is not front]
        if front.low == "cannot":
            return "can", " ".join(["not", *rest, _verb_word(clause.verb)])
        if front.low.endswith("n't"):
            return front.low, " ".join([*rest, _verb_word(clause.verb)])
        return front.low, " ".join([*rest, _verb_word(clause.verb)])
    return do_form(speaker), " ".join([*(t.low for t in auxiliaries), VERB + clause.verb.lemma])


def do_form(speaker: Speaker) -> str:
    """does, do or did for this clause."""
    if speaker.clause.past:
        return "did"
    return "do" if speaker.plural else "does"


def _tail(speaker: Speaker, *, skip: Adjunct | None = None, without_object: bool = False) -> str:
    parts = [] if without_object or not speaker.object else [render(speaker.object, lower=False)]
    parts += [render(a.tokens, lower=False) for a in speaker.kept if a is not skip]
    return " ".join(part for part in parts if part)


def _ask(
    speaker: Speaker,
    word: str,
    form: str,
    *,
    skip: Adjunct | None = None,
    without_object: bool = False,
    short: tuple[int, int] | None = None,
) -> Ask | None:
    order = _inverted(speaker)
    if order is None:
        return None
    front, after = order
    tail = _tail(speaker, skip=skip, without_object=without_object)
    middle = " ".join(part for part in (speaker.subject, after, tail) if part)
    statement = " ".join(part for part in (speaker.subject, finite(speaker), tail) if part)
    return Ask(f"{word} {front} {middle}?", form, f"{_lower(word)} {statement}", short)


def _lower(word: str) -> str:
    return word[0].lower() + word[1:]


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
        yield from _adjunct_asks(speaker, adjunct)
    if clause.lead and not clause.negative:
        yield from _lead_asks(speaker)
    yield from _agent_asks(speaker)
    yield from _permission_asks(speaker)


def _object_asks(speaker: Speaker) -> Iterator[Ask]:
    clause, words = speaker.clause, speaker.object
    if not words:
        return
    if clause.copula:
        yield from _complement_asks(speaker, words)
        return
    if words[0].tag in ("ADV", "ADJ") and not any(token.tag in NAMING for token in words):
        return
    if any(token.tag == "SUB" for token in words[:1]) or clause.passive:
        return
    if words[0].tag == "TO" or words[0].low == "not":
        ask = _ask(speaker, "What", "what", without_object=True)
        if ask and clause.verb.lemma in ("need", "have", "want", "try", "learn", "decide", "plan"):
            yield Ask(ask.text.replace("?", " to do?"), "what", ask.indirect + " to do", weight=1)
        return
    count = _counted(words)
    if count is not None:
        noun = render(words[count:], lower=False)
        ask = _ask(speaker, f"How many {noun}", "how_many", without_object=True, short=speaker.place(words))
        if ask:
            yield ask
    if words[0].tag in ("PREP", "VERB"):
        return
    if _has_time(words) and words[0].tag == "NUM":
        if clause.verb.lemma not in ("take", "last", "need"):
            ask = _ask(speaker, "How long", "how_long", without_object=True, short=speaker.place(words))
            if ask:
                yield ask
        return
    if clause.verb.lemma in _INTRANSITIVE:
        return
    word = "What"
    ask = _ask(speaker, word, "what", without_object=True, short=_minimal(speaker, words))
    if ask:
        yield ask


def _minimal(speaker: Speaker, words: list[Token]) -> tuple[int, int] | None:
    return speaker.place(words) if len(words) <= 8 else None


def _counted(words: list[Token]) -> int | None:
    """Index of the counted noun in `[about] three mop cloths`, None for other objects."""
    index = 0
    while index < len(words) and words[index].low in (
        "about",
        "over",
        "around",
        "approximately",
        "up",
        "to",
        "nearly",
        "almost",
        "only",
    ):
        index += 1
    start = index
    while index < len(words) and words[index].tag == "NUM" and words[index].low != "one":
        index += 1
    if index == start or index >= len(words) or words[index].tag not in ("NOUN", "ADJ", "?", "VERB"):
        return None
    head = next(
        (token for token in words[index:] if token.tag in ("NOUN", "?") and is_plural(token.low)), None
    )
    return index if head is not None else None


def _complement_asks(speaker: Speaker, words: list[Token]) -> Iterator[Ask]:
    verb = speaker.clause.verb.low
    short = _minimal(speaker, words)
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
    elif words[0].tag == "NUM" and speaker.clause.subject[0].low == "the":
        yield Ask(
            f"What {verb} {speaker.subject}?", "value", f"what {speaker.subject} {verb}", short, weight=2
        )


def _subject_asks(speaker: Speaker) -> Iterator[Ask]:
    clause = speaker.clause
    words = clause.subject
    if words[0].tag == "PRON" or speaker.subject in (NAME, NAMES):
        return
    if speaker.clause.copula and not (speaker.object and speaker.object[0].low == "the"):
        return
    head = next((token for token in reversed(words) if token.tag in NAMING), None)
    if head is None and words[0].form != "ing":
        return
    word = "Who" if _is_person(words, clause) else "What"
    verb = _third(clause)
    tail = _tail(speaker)
    if not tail and not clause.auxiliaries:
        return
    short = speaker.place(words) if len(words) <= 8 else None
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
    if any(noun in word_set("en_questions", "person_nouns") for noun in nouns):
        return True
    return (
        has_name(list(words))
        and words[0].low != "the"
        and (clause.verb.lemma in word_set("en_questions", "person_verbs"))
    )


def _yes_no(speaker: Speaker) -> Iterator[Ask]:
    order = _inverted(speaker)
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
    tail = _tail(speaker)
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


def _adjunct_asks(speaker: Speaker, adjunct: Adjunct) -> Iterator[Ask]:
    clause = speaker.clause
    if clause.copula and adjunct.kind in ("purpose", "manner", "from"):
        return
    if clause.copula and not clause.object and adjunct.kind == "why":
        if adjunct.tokens[0].low == "due":
            yield Ask(
                f"What {clause.verb.low} {speaker.subject} due to?",
                "why",
                f"what {speaker.subject} {clause.verb.low} due to",
                weight=4,
            )
        return
    if clause.verb.low in BE and clause.object and clause.object[0].low in ("a", "an", "the"):
        return
    words = list(adjunct.tokens)
    short = speaker.place(words) if len(words) <= 9 else None
    if adjunct.kind == "purpose_for" and not clause.negative:
        order = _inverted(speaker)
        if order and not clause.copula:
            front, after = order
            yield Ask(
                f"What {front} {speaker.subject} {after} for?",
                "purpose",
                f"what {speaker.subject} {finite(speaker)} for",
                short,
            )
        return
    if adjunct.kind == "condition" and words[0].low in ("when", "if"):
        yield from _condition_asks(speaker, adjunct)
    if adjunct.kind == "duration" and not _has_time(words):
        return
    if adjunct.kind not in _QUESTION_WORDS or (
        clause.negative and adjunct.kind not in ("why", "condition", "when")
    ):
        return
    if adjunct.kind == "manner" and not _manner(words):
        return
    word, form = _QUESTION_WORDS[adjunct.kind]
    ask = _ask(speaker, word, form, skip=adjunct, short=short)
    if ask is None:
        return
    if adjunct.kind == "from":
        yield Ask(ask.text.replace("?", " from?"), "where", ask.indirect + " from", short)
        return
    yield ask
    if adjunct.kind == "when" and _timed(words):
        prefix = {
            "by": "By when",
            "until": "Until when",
            "till": "Until when",
            "since": "Since when",
            "during": "During what time",
        }
        other = _ask(speaker, prefix.get(words[0].low, "At what time"), "when", skip=adjunct, short=short)
        if other and words[0].low in prefix:
            yield other
        if words[0].low == "in" and len(words) > 1 and words[-1].text.isdigit() and len(words[-1].text) == 4:
            year = _ask(speaker, "In what year", "when", skip=adjunct, short=short)
            if year:
                yield year
        if words[0].low == "within":
            within = _ask(speaker, "Within what time", "when", skip=adjunct, short=short)
            soon = _ask(speaker, "How soon", "when", skip=adjunct, short=short)
            yield from (item for item in (within, soon) if item)
            if clause.passive and modal(clause) in ("can", "may"):
                yield Ask(
                    f"How long can I {VERB}{clause.verb.lemma} {speaker.subject}?",
                    "how_long",
                    f"how long I can {VERB}{clause.verb.lemma} {speaker.subject}",
                    short,
                )
                yield Ask(
                    f"How much time do I have to {VERB}{clause.verb.lemma} {speaker.subject}?",
                    "how_long",
                    f"how much time I have to {VERB}{clause.verb.lemma} {speaker.subject}",
                    short,
                )
                yield Ask(
                    f"Until when can I {VERB}{clause.verb.lemma} {speaker.subject}?", "when", short=short
                )
    if adjunct.kind == "where" and len(words) > 2:
        preposition = words[0].low
        if preposition in ("in", "on", "at", "under") and any(token.tag == "PROPN" for token in words[1:2]):
            named = _ask(
                speaker, f"{preposition.capitalize()} which place", "where", skip=adjunct, short=short
            )
            if named:
                yield named


def _has_time(words: list[Token]) -> bool:
    units = word_set_of_units("duration")
    return any(token.low in units for token in words)


def word_set_of_units(kind: str) -> frozenset[str]:
    """Unit words of a kind."""
    from labtune.generation.lexicon import load_lexicon

    return frozenset(load_lexicon("en_questions")["units"][kind].split())


def _timed(words: list[Token]) -> bool:
    return any(token.tag in ("NUM", "NOUN", "PROPN") for token in words)


def _manner(words: list[Token]) -> bool:
    return words[0].low in ("with", "by") or (words[0].low == "in" and len(words) > 2)


def _condition_asks(speaker: Speaker, adjunct: Adjunct) -> Iterator[Ask]:
    """`X drives in circles when the bumper is stuck`: why, what happens, and the bare complaint."""
    clause = speaker.clause
    condition = render(adjunct.tokens, lower=False)
    body = " ".join(part for part in (speaker.subject, finite(speaker), _tail(speaker, skip=adjunct)) if part)
    yield Ask(f"What happens {condition}?", "condition", f"what happens {condition}")
    yield Ask(f"What does it mean when {body}?", "condition", f"what it means when {body}")
    ask = _ask(speaker, "Why", "why", skip=adjunct)
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
        order = _inverted(speaker)
        if order and order[0] in ("can", "does", "do"):
            after = order[1].removeprefix("not ").strip()
            front = {"can": "can't", "does": "doesn't", "do": "don't"}[order[0]]
            rest = " ".join(part for part in (speaker.subject, after, _tail(speaker, skip=adjunct)) if part)
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
    tail = _tail(speaker, skip=adjunct)
    return " ".join(part for part in (speaker.subject, verb, VERB + gerund(clause.verb.lemma), tail) if part)


def _lead_asks(speaker: Speaker) -> Iterator[Ask]:
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
        ask = _ask(speaker, word, form, short=speaker.place(lead) if len(lead) <= 8 else None)
        if ask:
            yield ask


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
    named = words[0].tag == "PROPN"
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
    tail = _tail(speaker)
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
