"""A clause with its subject worded for questions, and the word orders of English questions."""

from __future__ import annotations

from dataclasses import dataclass

from labtune.generation.english.adjuncts import Adjunct
from labtune.generation.english.clause import Clause
from labtune.generation.english.marks import VERB, render
from labtune.generation.english.names import Names, Sentence
from labtune.generation.english.tag import BE, Token
from labtune.generation.lexicon import load_lexicon, word_set
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

    def listed(self, tokens: list[Token] | tuple[Token, ...]) -> bool:
        """True when the words are only the first of a list: `in Pakistan, Italy, and Canada`."""
        rest = [token for token in self.clause.object if token.start > tokens[-1].start]
        rest += [token for a in self.clause.adjuncts for token in a.tokens if token.start > tokens[-1].start]
        return bool(rest) and rest[0].text == "," and any(token.low in ("and", "or") for token in rest)

    def place(self, tokens: list[Token] | tuple[Token, ...]) -> tuple[int, int]:
        """Where words stand in the document."""
        return self.offset + tokens[0].start, self.offset + tokens[-1].end


_VAGUE_HEADS = word_set("en_words", "vague_heads")


def speaker(clause: Clause, sentence: Sentence, names: Names, referent: str) -> Speaker | None:
    """Word the subject; None when it is a pronoun that nothing resolves."""
    if clause.imperative:
        return Speaker(clause, "", False, sentence.start)
    words = clause.subject
    if words[0].tag == "PRON" or (words[0].low in ("this", "these", "such") and len(words) == 1):
        vague = set(referent.lower().split()) & _VAGUE_HEADS
        if words[0].low in ("it", "they", "he", "she") and referent and not vague:
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


def inverted(speaker: Speaker) -> tuple[str, str] | None:
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
    auxiliaries = list(clause.auxiliaries)
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


def tail_of(speaker: Speaker, *, skip: Adjunct | None = None, without_object: bool = False) -> str:
    """Object and kept adjuncts as a question repeats them."""
    parts = [] if without_object or not speaker.object else [render(speaker.object, lower=False)]
    parts += [render(a.tokens, lower=False) for a in speaker.kept if a is not skip]
    return " ".join(part for part in parts if part)


def wh_ask(
    speaker: Speaker,
    word: str,
    form: str,
    *,
    skip: Adjunct | None = None,
    without_object: bool = False,
    short: tuple[int, int] | None = None,
) -> Ask | None:
    """A question that begins with `word`, and its indirect form."""
    order = inverted(speaker)
    if order is None:
        return None
    front, after = order
    tail = tail_of(speaker, skip=skip, without_object=without_object)
    middle = " ".join(part for part in (speaker.subject, after, tail) if part)
    statement = " ".join(part for part in (speaker.subject, finite(speaker), tail) if part)
    return Ask(f"{word} {front} {middle}?", form, f"{_lower(word)} {statement}", short)


def _lower(word: str) -> str:
    return word[0].lower() + word[1:]


def has_time(words: list[Token]) -> bool:
    """True when a unit of time is among the words."""
    units = unit_words("duration")
    return any(token.low in units for token in words)


def unit_words(kind: str) -> frozenset[str]:
    """Unit words of a kind."""
    return frozenset(str(load_lexicon("en_questions")["units"][kind]).split())
