"""The English side of the built-in teacher: facts of a document, phrasings of a fact."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from labtune.artifact import content_hash
from labtune.generation.english.adjuncts import TIME_UNITS
from labtune.generation.english.clause import Clause
from labtune.generation.english.frames import FORMS, WEIGHTS, lead_in, situation, tidy_lead
from labtune.generation.english.inflect import is_plural
from labtune.generation.english.instructions import instruction_asks
from labtune.generation.english.keywords import keyword_pool, keyword_question, question_words
from labtune.generation.english.marks import NAME, NAMES, NOUN, VERB, render, strip
from labtune.generation.english.measures import find_measure, measure_asks, topic_asks
from labtune.generation.english.names import Names, Sentence, analyse, find_names, lower_words
from labtune.generation.english.paraphrase import keyword_text, lower_first, phrase
from labtune.generation.english.questions import clause_asks
from labtune.generation.english.situations import clause_pieces, thing_pieces
from labtune.generation.english.speaker import Speaker, speaker
from labtune.generation.english.tables import cell_pieces, row_asks
from labtune.generation.english.tag import MODALS, Token, noun_phrases, plural_phrase
from labtune.generation.lexicon import load_lexicon, word_set
from labtune.generation.rows import Answer, Ask, Fact, Passage, Piece

# Share of instructions among the sentences of a text that tells its readers what to do.
_GUIDE = 0.15
_POSSESSIVE = ("its", "their", "your", "his", "her", "our", "this", "these", "that", "those")
_COMPARING = word_set("en_words", "comparing")
_VAGUE = word_set("en_words", "vague_heads")
_COMMON = 2
_TITLED = 6
_LONGEST_PIECE = 34
_POINTING = re.compile(r"\b(?:these|this|following|follows?)\b")
# Where the draw of a phrasing falls: situations first, then plain questions, mentions, search words.
_SITUATIONS, _SENTENCES, _MENTIONS = 0.42, 0.82, 0.85
_EACH = 0.045
_PLAIN = (_SITUATIONS + _SENTENCES) / 2
# Share of the plain questions that begin with a sentence about what they ask.
_STORIES = 0.5


@dataclass(slots=True)
class EnglishTeacher:
    """Rules for one document. `passages` are all of its passages in order."""

    passages: Sequence[Passage]
    names: Names = field(default_factory=Names)
    sentences: list[Sentence] = field(default_factory=list)
    lower: frozenset[str] = frozenset()
    title: tuple[str, ...] = ()
    defined: dict[tuple[str, str], int] = field(default_factory=dict)
    guide: bool = False
    lowered: tuple[str, ...] = ()
    spreads: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Analyse the document once: words, clauses, names."""
        text = self.passages[0].document.text if self.passages else ""
        items = [(passage.start, passage.text) for passage in self.passages]
        self.lower = lower_words(text)
        title = self.passages[0].document.title if self.passages else ""
        self.title = tuple(sorted(set(re.findall(r"[a-z]{3,}", title.lower()))))
        self.sentences = analyse(items, self.lower)
        plain = [s for s, p in zip(self.sentences, self.passages, strict=True) if p.statement is None]
        self.names = find_names(self.passages[0].document.title if self.passages else "", plain)
        orders = sum(bool(s.clauses) and s.clauses[0].imperative for s in plain)
        self.guide = orders > _GUIDE * len(plain)
        self.lowered = tuple(passage.text.lower() for passage in self.passages)

    def spread(self, marked: str) -> int:
        """In how many passages the words stand (names of the document's subject: in all of them)."""
        text = re.sub(r"^(?:the|a|an|my) ", "", strip(marked).lower())
        if text in (NAME, NAMES):
            return len(self.lowered)
        if text not in self.spreads:
            self.spreads[text] = sum(text in passage for passage in self.lowered)
        return self.spreads[text]

    def _rarity(self, marked: str, title: str) -> int:
        """How little a search word says: a heading's words stand for all sentences below it."""
        return max(self.spread(marked), _TITLED if strip(marked).lower() in title else 1)

    def answer(self, passage: Passage) -> Answer:
        """The sentence itself; a leading pronoun is replaced by what it stands for, quoted from before."""
        sentence = self.sentences[passage.index]
        if passage.statement is not None:
            return Answer(passage.text, ((passage.start, passage.end),))
        if sentence.referent is None:
            return Answer(passage.text, ((passage.start, passage.end),))
        start, end = sentence.referent
        name = passage.document.text[start:end]
        first = sentence.tokens[0]
        rest = passage.text[first.end :]
        shown = name[0].upper() + name[1:]
        return Answer(shown + rest, ((start, end), (passage.start + first.end, passage.end)))

    def fact(self, passage: Passage) -> Fact:
        """What a passage states and the ways to ask for it."""
        sentence = self.sentences[passage.index]
        asks: list[Ask] = []
        pieces: list[Piece] = []
        if passage.statement is not None:
            asks.extend(row_asks(passage.statement, passage.start, passage.end, self.names))
            pieces.extend(cell_pieces(passage.statement))
        else:
            for clause in sentence.clauses:
                asks.extend(self._clause_asks(clause, sentence, passage))
                pieces.extend(self._clause_pieces(clause, sentence, passage))
            asks.extend(_list_asks(passage.text))
            if passage.text.endswith(":"):
                # The words after a colon stand elsewhere: a question must not repeat `these`.
                asks = [ask for ask in asks if not _POINTING.search(ask.text)]
        asks.extend(self._mentions(self._phrases(sentence, _mentionable)))
        things = self._phrases(sentence, _nameable if self.guide else _mentionable)
        pieces.extend(thing_pieces([(*item, self.spread(item[0])) for item in things], guide=self.guide))
        if passage.statement is None:
            asks.extend(_cloze(passage, asks))
        pool = keyword_pool(sentence.tokens, passage.chunk.heading)
        title = " ".join(passage.chunk.heading[-1:]).lower()
        if sentence.referent is not None or any(NAME in ask.text for ask in asks):
            pool = (*pool, NAME) if self.names.one else pool
        return Fact(
            id=content_hash(passage.document.id, passage.start, passage.end)[:16],
            answer=self.answer(passage),
            asks=tuple(self._frozen(ask) for ask in _sound(asks)),
            keywords=tuple(self._frozen_text(word) for word in pool),
            spread=tuple(self._rarity(word, title) for word in pool),
            pieces=tuple(dict.fromkeys(map(self._frozen_piece, pieces))),
            topics=question_words(sentence.clauses, _measure(sentence.clauses)),
        )

    def _frozen(self, ask: Ask) -> Ask:
        return replace(ask, text=self._frozen_text(ask.text), indirect=self._frozen_text(ask.indirect))

    def _frozen_text(self, text: str) -> str:
        """Take the marks off the words of the title: what the document is about keeps its name."""
        for word in self.title:
            text = text.replace(NOUN + word, word)
        return text

    def _frozen_piece(self, piece: Piece) -> Piece:
        return Piece(piece.kind, tuple((name, self._frozen_text(text)) for name, text in piece.slots))

    def _clause_pieces(self, clause: Clause, sentence: Sentence, passage: Passage) -> Iterator[Piece]:
        who = speaker(clause, sentence, self.names, self._referent(sentence, passage))
        if who is not None and not passage.text.endswith(":"):
            for piece in clause_pieces(who, guide=self.guide):
                if sum(len(strip(text).split()) for _, text in piece.slots) <= _LONGEST_PIECE:
                    yield piece

    def _clause_asks(self, clause: Clause, sentence: Sentence, passage: Passage) -> Iterator[Ask]:
        who = speaker(clause, sentence, self.names, self._referent(sentence, passage))
        if who is None:
            return
        if clause.imperative:
            yield from instruction_asks(who)
            return
        definition = (strip(who.subject), clause.verb.low)
        known = self.defined.setdefault(definition, passage.index)
        if re.fullmatch(r"the [a-z]+", definition[0]) and self.spread(definition[0]) > _COMMON:
            # `The knot is ...` in a text about knots: nobody knows which.
            known = -1
        for ask in clause_asks(who):
            # A thing is defined once: later sentences about it answer other questions.
            if ask.form != "definition" or (known == passage.index and not clause.lead):
                yield ask
        yield from measure_asks(who, self.names)
        yield from topic_asks(who, self.names)

    def _referent(self, sentence: Sentence, passage: Passage) -> str:
        place = sentence.referent or sentence.owner
        if place is None:
            return ""
        start, end = place
        name = passage.document.text[start:end]
        for names, slot in ((self.names.one, NAME), (self.names.many, NAMES)):
            if name.lower() in (item.lower() for item in names):
                return slot
        first = name.split(" ", 1)[0]
        return (
            name[0].lower() + name[1:]
            if first in ("The", "A", "An", "This", "These", "Its", "Their")
            else name
        )

    def _phrases(
        self, sentence: Sentence, fits: Callable[[list[Token], Token | None], bool]
    ) -> list[tuple[str, bool]]:
        """The things that a sentence names: marked text and whether it is a plural."""
        phrases: dict[str, bool] = {}
        verbs = {clause.verb.start for clause in sentence.clauses}
        for start, end in noun_phrases(sentence.tokens):
            words = sentence.tokens[start:end]
            for token in sentence.tokens[end:]:
                # A word that can be noun or verb, and is no verb here: the serial number.
                inner = token.form == "s" and any(word.tag == "SUB" for word in sentence.tokens[:start])
                if token.tag != "?" or token.start in verbs or inner or is_plural(words[-1].low):
                    break
                words = [*words, replace(token, tag="NOUN")]
            mixed = any(left.tag == "NOUN" and right.tag == "PROPN" for left, right in pairwise(words))
            mixed = mixed or any(token.low in MODALS for token in words)
            if mixed or not fits(words, sentence.tokens[start - 1] if start else None):
                continue
            text = self.names.slot(words) or render(words)
            if words[0].tag == "DET" and words[0].low not in ("the", "a", "an"):
                text = ("the " if words[0].low in _POSSESSIVE else "") + render(words[1:])
            phrases.setdefault(text, plural_phrase(words))
        return list(phrases.items())[:6]

    def _mentions(self, phrases: Sequence[tuple[str, bool]]) -> Iterator[Ask]:
        frames = load_lexicon("en_questions")
        # What other sentences name too says too little by itself.
        alone = [text for text, _ in phrases if self.spread(text) == 1] or [text for text, _ in phrases[:1]]
        for text in alone:
            for frame in frames["mentions"] if text not in (NAME, NAMES) else ():
                yield Ask(frame.format(n=text), "mention", weight=1, family="mention")
        for (left, _), (right, _) in pairwise(phrases):
            for frame in frames["mention_pairs"]:
                yield Ask(frame.format(n=left, m=right), "mention_pair", weight=1, family="mention")

    def phrasings(
        self, fact: Fact, passage: Passage, draw: random.Random, *, plain: bool = False
    ) -> Iterator[tuple[Ask, str]]:
        """Endless phrasings of a fact, of each family its share; with `plain`, only whole questions."""
        heading = passage.chunk.heading[-1] if len(passage.chunk.heading) > 1 else ""
        sentence_asks = [ask for ask in fact.asks if ask.family in ("sentence", "statement")]
        mentions = [ask for ask in fact.asks if ask.family == "mention"]
        weights = [ask.weight * (0.5 if ask.form == "yes_no" else 1) for ask in sentence_asks]
        things = [piece for piece in fact.pieces if piece.kind == "thing"]
        pieces = [piece for piece in fact.pieces if piece.kind != "thing"]
        shares = _piece_weights(pieces)
        told = min(_SITUATIONS, _EACH * sum(shares))
        for ask in [ask for ask in fact.asks if ask.family == "cloze"][:1]:
            yield ask, strip(ask.text)
        while True:
            roll = draw.random() if not (plain and sentence_asks) else _PLAIN
            if pieces and roll < told:
                piece = draw.choices(pieces, shares)[0]
                yield Ask("", FORMS[piece.kind], family="situation"), situation(piece, self.names, draw)
            elif sentence_asks and roll < _SENTENCES:
                ask = draw.choices(sentence_asks, weights)[0]
                moved = lead_in(ask, things, draw) if draw.random() < _STORIES else None
                text = phrase(moved or ask, self.names, heading, draw)
                yield moved or ask, tidy_lead(text)
            elif mentions and roll < (_MENTIONS if sentence_asks else 0.6):
                ask = draw.choice(mentions)
                yield ask, phrase(ask, self.names, "", draw)
            else:
                yield self._search(fact, passage, draw)

    def _search(self, fact: Fact, passage: Passage, draw: random.Random) -> tuple[Ask, str]:
        """Words as people type them into a search box."""
        text = keyword_question(fact.keywords or (passage.text,), fact.spread or (1,), fact.topics, draw)
        shown = keyword_text(text, self.names, draw)
        if draw.random() < 0.15:
            shown = str(draw.choice(load_lexicon("en_questions")["keyword_wrappers"])).format(k=shown)
        return Ask(text, "keyword", family="keyword"), shown

    def brief(self, question: str, draw: random.Random) -> str:
        """The question with a request for a short answer."""
        wrapper = draw.choice(load_lexicon("en_questions")["brevity"])
        lower = question if wrapper.startswith("{Q}") else lower_first(question)
        return str(wrapper.format(q=lower, Q=question))

    def both(self, first: str, second: str) -> str:
        """`How long ..., and what ...?` from two questions; nothing when they do not fit together."""
        if not (first.endswith("?") and second.endswith("?")) or len(first) + len(second) > 150:
            return ""
        if "," in first or "," in second or ":" in first or first.count(".") + second.count(".") > 0:
            return ""
        return f"{first[:-1]}, and {lower_first(second)}"


_LIST = re.compile(r"^(The .{2,40}?|.{2,40}?) (contain|include|cover|comprise|offer)s?:$")


def _list_asks(text: str) -> Iterator[Ask]:
    """`The box contains:` before a list."""
    match = _LIST.match(text)
    if match is None:
        return
    name, verb = match.group(1), match.group(2)
    shown = name[0].lower() + name[1:] if name.startswith(("The ", "A ", "This ")) else name
    do = "do" if verb == text.split()[-1].rstrip(":") else "does"
    yield Ask(f"What {do} {shown} {VERB}{verb}?", "list", f"what {shown} {VERB}{verb}", weight=5)
    yield Ask(f"What is in {shown}?", "list", f"what is in {shown}", weight=4)
    yield Ask(f"What belongs to {shown}?", "list", f"what belongs to {shown}", weight=2)
    yield Ask(
        f"Can you list what {shown} {verb}s?" if do == "does" else f"Can you list what {shown} {verb}?",
        "list",
        weight=2,
    )


def _piece_weights(pieces: Sequence[Piece]) -> list[float]:
    """Kinds share the draw by their weight, however many pieces of a kind a fact has."""
    counts: dict[str, int] = {}
    for piece in pieces:
        counts[piece.kind] = counts.get(piece.kind, 0) + 1
    return [WEIGHTS.get(piece.kind, 3) / counts[piece.kind] for piece in pieces]


def _mentionable(words: list[Token], before: Token | None) -> bool:
    """True for a phrase worth asking about by itself: a name, or a noun with something before it."""
    heavy = [token for token in words if token.tag in ("NOUN", "PROPN", "ADJ")]
    if words[-1].low.endswith("ed") or (len(words) == 1 and words[0].low.endswith(("ian", "ese", "ish"))):
        return False
    if len(heavy) < 2 and words[-1].tag != "PROPN":
        return False
    if words[0].tag not in ("DET", "PROPN") and words[-1].tag == "NOUN" and not is_plural(words[-1].low):
        return False
    if any(character.isdigit() for token in words for character in token.text) or words[0].tag == "NUM":
        return False
    if words[-1].low in TIME_UNITS or len(words[-1].text) < 3:
        return False
    if before is not None and before.low == "of" and len(words) == 1:
        return False
    if any(token.low in ("latter", "former") for token in words):
        return False
    return words[0].low not in _COMPARING


def _nameable(words: list[Token], before: Token | None) -> bool:
    """True for a thing that can stand beside another one: `the pump`, `pet hair`, a name."""
    head = words[-1]
    if any(character.isdigit() for token in words for character in token.text) or words[0].tag == "NUM":
        return False
    if head.low in TIME_UNITS or head.low in _VAGUE or len(head.text) < 3 or head.low.endswith("ed"):
        return False
    if words[0].low in _COMPARING or (before is not None and before.low == "of" and len(words) == 1):
        return False
    return words[0].low in ("the", "a", "an") or head.tag == "PROPN" or is_plural(head.low) or len(words) > 1


def _measure(clauses: Sequence[Clause]) -> str:
    """The kind of the first measure of a sentence, or nothing."""
    found = (find_measure(Speaker(clause, "", False, 0)) for clause in clauses)
    return next((measure[0] for measure in found if measure is not None), "")


def _sound(asks: list[Ask]) -> Iterator[Ask]:
    """Drop what is too long or broken, and repetitions."""
    seen: set[str] = set()
    for ask in asks:
        text = " ".join(ask.text.split())
        words = strip(text).split()
        if text in seen or len(words) > 24 or len(words) < 2 or words[-1] in ("and?", "or?", "than?"):
            continue
        if "  " in ask.text or " ?" in ask.text:
            ask = Ask(
                text.replace(" ?", "?"),
                ask.form,
                " ".join(ask.indirect.split()),
                ask.short,
                ask.polarity,
                ask.weight,
                ask.family,
            )
        seen.add(text)
        yield ask


def _cloze(passage: Passage, asks: list[Ask]) -> Iterator[Ask]:
    """`Fill in the blank` over the minimal answer of some question."""
    for ask in asks:
        if ask.short is None or ask.short[0] < passage.start or ask.short[1] > passage.end:
            continue
        start, end = ask.short[0] - passage.start, ask.short[1] - passage.start
        if start == 0 or end - start > 40:
            continue
        blanked = passage.text[:start] + "___" + passage.text[end:]
        yield Ask(f"Fill in the blank: {blanked}", "cloze", short=ask.short, family="cloze")
        return
