"""The Chinese side of the built-in teacher: facts of a document, phrasings of a fact."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache

from labtune.artifact import content_hash
from labtune.generation.chinese.clauses import (
    cause_asks,
    clause_asks,
    clauses,
    frequency_asks,
    standalone,
    topic_of,
)
from labtune.generation.chinese.keywords import keyword_pool, keyword_question
from labtune.generation.chinese.situations import (
    FORMS,
    WEIGHTS,
    clause_pieces,
    lead_in,
    pair_pieces,
    situation,
)
from labtune.generation.chinese.spans import TypedSpan, typed_spans
from labtune.generation.chinese.tables import cell_asks
from labtune.generation.lexicon import load_lexicon
from labtune.generation.rows import Answer, Ask, Fact, Passage, Piece

# Shares of the questions with an aside.
_ASIDE_BEFORE, _ASIDE_AFTER = 0.15, 0.1
_TITLED = 6
# Where the draw of a phrasing falls: situations first, then plain questions, mentions, search words.
_SITUATIONS, _SENTENCES, _MENTIONS = 0.38, 0.8, 0.83
_PLAIN = (_SITUATIONS + _SENTENCES) / 2
# Share of the plain questions that name their topic first.
_STORIES = 0.25
_PRONOUN = re.compile(r"^(它们|他们|她们|它|他|她|其)(?!他|余|中|实)")


@dataclass(slots=True)
class ChineseTeacher:
    """Rules for one document. `passages` are all of its passages in order."""

    passages: Sequence[Passage]
    subjects: list[tuple[int, int] | None] = field(default_factory=list)
    spreads: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Resolve leading pronouns to the topic of the nearest sentence before."""
        last: tuple[int, int] | None = None
        for passage in self.passages:
            pronoun = _PRONOUN.match(passage.text)
            self.subjects.append(last if pronoun else None)
            if pronoun is None:
                topic = topic_of(passage.text)
                place = passage.text.find(topic) if topic else -1
                last = (passage.start + place, passage.start + place + len(topic)) if place >= 0 else None

    def spread(self, word: str, title: str) -> int:
        """In how many passages a search word stands; a heading's words stand for all sentences below it."""
        if word not in self.spreads:
            self.spreads[word] = sum(word in passage.text for passage in self.passages)
        return max(self.spreads[word], _TITLED if word in title else 1)

    def answer(self, passage: Passage) -> Answer:
        """The sentence; a leading pronoun gives way to what it stands for."""
        referent = self.subjects[passage.index]
        pronoun = _PRONOUN.match(passage.text)
        if referent is None or pronoun is None or pronoun.group() == "其":
            return Answer(passage.text, ((passage.start, passage.end),))
        name = passage.document.text[referent[0] : referent[1]]
        return Answer(
            name + passage.text[pronoun.end() :], (referent, (passage.start + pronoun.end(), passage.end))
        )

    def fact(self, passage: Passage) -> Fact:
        """What a passage states and the ways to ask for it."""
        referent = self.subjects[passage.index]
        subject = passage.document.text[referent[0] : referent[1]] if referent else ""
        asks: list[Ask] = []
        pieces: list[Piece] = []
        if passage.statement is not None:
            asks.extend(cell_asks(passage.statement, passage.start, passage.text))
        else:
            parts = clauses(passage.text, subject)
            for part in parts:
                asks.extend(clause_asks(part, passage.start, subject))
                asks.extend(frequency_asks(part.text, passage.start + part.start))
                pieces.extend(clause_pieces(standalone(part, subject)[0]))
            asks.extend(cause_asks(parts, subject))
            asks.extend(_topics(passage))
            asks.extend(_cloze(passage))
        pool = keyword_pool(passage.text, passage.chunk.heading)
        title = "".join(passage.chunk.heading[-1:])
        spread = tuple(self.spread(word, title) for word in pool)
        alone = [word for word, count in zip(pool, spread, strict=True) if count == 1]
        asks.extend(_mentions(passage, subject, alone))
        own = [(word, count) for word, count in zip(pool, spread, strict=True) if word in passage.text]
        pieces.extend(pair_pieces(own))
        return Fact(
            id=content_hash(passage.document.id, passage.start, passage.end)[:16],
            answer=self.answer(passage),
            asks=tuple(_sound(asks)),
            keywords=pool,
            topics=_question_words(passage.text),
            pieces=tuple(dict.fromkeys(pieces)),
            spread=spread,
        )

    def phrasings(
        self, fact: Fact, passage: Passage, draw: random.Random, *, plain: bool = False
    ) -> Iterator[tuple[Ask, str]]:
        """Endless phrasings of a fact, of each family its share; with `plain`, only whole questions."""
        sentence = [ask for ask in fact.asks if ask.family in ("sentence", "yes_no")]
        mentions = [ask for ask in fact.asks if ask.family == "mention"]
        weights = [ask.weight for ask in sentence]
        referent = self.subjects[passage.index]
        subject = passage.document.text[referent[0] : referent[1]] if referent else ""
        shares = _piece_weights(fact.pieces)
        told = min(_SITUATIONS, 0.05 * sum(shares))
        for ask in [ask for ask in fact.asks if ask.family == "cloze"][:1]:
            yield ask, ask.text
        while True:
            roll = draw.random() if not (plain and sentence) else _PLAIN
            if fact.pieces and roll < told:
                piece = draw.choices(fact.pieces, shares)[0]
                yield Ask("", FORMS[piece.kind], family="situation"), _situation(piece, draw)
            elif sentence and roll < _SENTENCES:
                ask = draw.choices(sentence, weights)[0]
                moved = lead_in(ask, subject, draw) if draw.random() < _STORIES else None
                yield moved or ask, phrase(moved or ask, draw)
            elif mentions and roll < (_MENTIONS if sentence else 0.55):
                ask = draw.choice(mentions)
                yield ask, phrase(ask, draw)
            else:
                yield self._search(fact, passage, draw)

    def _search(self, fact: Fact, passage: Passage, draw: random.Random) -> tuple[Ask, str]:
        """Words as people type them into a search box."""
        text = keyword_question(fact.keywords or (passage.text[:8],), fact.spread or (1,), fact.topics, draw)
        shown = swap(text, draw, draw.choice((0, 0, 1)))
        if draw.random() < 0.15:
            shown = str(draw.choice(load_lexicon("zh_questions")["keyword_wrappers"])).format(k=shown)
        return Ask(text, "keyword", family="keyword"), shown

    def brief(self, question: str, draw: random.Random) -> str:
        """The question with a request for a short answer."""
        return str(draw.choice(load_lexicon("zh_questions")["brevity"])).format(Q=question)

    def both(self, first: str, second: str) -> str:
        """Two questions in one."""
        if len(first) + len(second) > 50 or "，" in first or "，" in second:
            return ""
        return f"{first.rstrip('？?。')}，还有{second.removeprefix('请问').removeprefix('那')}"


def _piece_weights(pieces: Sequence[Piece]) -> list[float]:
    """Kinds share the draw by their weight, however many pieces of a kind a fact has."""
    counts: dict[str, int] = {}
    for piece in pieces:
        counts[piece.kind] = counts.get(piece.kind, 0) + 1
    return [WEIGHTS.get(piece.kind, 2) / counts[piece.kind] for piece in pieces]


def _situation(piece: Piece, draw: random.Random) -> str:
    """A frame around a piece, reworded; for a part of them a greeting or an aside."""
    text, search = situation(piece, draw)
    text = swap(text, draw, draw.choice((0, 0, 1, 1, 2, 2)))
    if search:
        return text
    roll = draw.random()
    if roll < 0.25 and not text.startswith("我"):
        return str(draw.choice(load_lexicon("zh_questions")["polite_yes_no"])).format(q=text)
    asides = load_lexicon("asides")["zh"]
    if roll < 0.33:
        return f"{draw.choice(asides['before'])}{text}？"
    return text + ("" if roll > 0.8 or text.endswith("不对") else "？")


def phrase(ask: Ask, draw: random.Random) -> str:
    """One phrasing: synonyms, a polite or casual wrapper, for a part of them an aside."""
    text, roll = _phrase(ask, draw), draw.random()
    asides = load_lexicon("asides")["zh"]
    if roll < _ASIDE_BEFORE:
        return f"{draw.choice(asides['before'])}{text}"
    if roll < _ASIDE_BEFORE + _ASIDE_AFTER and text.endswith(("？", "。")):
        return f"{text}{draw.choice(asides['after'])}"
    return text


def _phrase(ask: Ask, draw: random.Random) -> str:
    """Synonyms, a polite or casual wrapper, with or without a question mark."""
    frames = load_lexicon("zh_questions")
    text = swap(ask.text, draw, draw.choice((0, 0, 1, 1, 1, 2, 2)))
    roll = draw.random()
    if ask.family == "mention" or roll < 0.3:
        return text + ("？" if _interrogative(text) else "。")
    if roll < 0.45:
        return text
    wrappers = frames["polite_yes_no"] if ask.polarity or "？" in text else frames["polite"]
    if "，" in text or text.startswith(("我", "如果")) or ask.family == "story":
        return text + "？"
    return _tidy(str(draw.choice(wrappers)).format(q=text))


def _interrogative(text: str) -> bool:
    return bool(
        re.search(
            "什么|怎么|几|多少|谁|哪|吗|多久|多长|不能|不要|怎样|没有|行不行|能不能|可不可以|是不是|如何|为什么",
            text,
        )
    ) and not text.startswith(("介绍", "说说", "想了解"))


def _tidy(text: str) -> str:
    if re.search("吗(呢|啊|呀)？", text):
        text = re.sub("吗(呢|啊|呀)？", "吗？", text)
    return text


@cache
def _synonyms() -> tuple[re.Pattern[str], dict[str, tuple[str, ...]]]:
    table: dict[str, dict[str, None]] = {}
    for group in load_lexicon("zh_synonyms")["groups"]:
        members = [item.strip() for item in str(group).split(",")]
        for member in members:
            if len(member) > 1:
                table.setdefault(member, {}).update(dict.fromkeys(item for item in members if item != member))
    pattern = re.compile("|".join(sorted(map(re.escape, table), key=lambda item: (-len(item), item))))
    return pattern, {member: tuple(others) for member, others in table.items()}


def swap(text: str, draw: random.Random, most: int) -> str:
    """Replace up to `most` words by synonyms, longest words first."""
    pattern, table = _synonyms()
    sites = list(pattern.finditer(text))
    draw.shuffle(sites)
    for match in sorted(sites[:most], key=lambda item: -item.start()):
        text = text[: match.start()] + draw.choice(table[match.group()]) + text[match.end() :]
    return text


def _topics(passage: Passage) -> Iterator[Ask]:
    """Frames of the topic list: what patients and customers say in their own words."""
    text = passage.text
    spans = typed_spans(text)
    for entry in load_lexicon("zh_questions")["topics"]:
        if not any(word in text for word in entry["words"].split()):
            continue
        if entry.get("need") and not any(word in text for word in entry["need"].split()):
            continue
        span = _span_of(spans, entry.get("kind"))
        if entry.get("kind") and span is None:
            continue
        topic = topic_of(text.rstrip("。"))
        short = (passage.start + span.start, passage.start + span.end) if span else None
        for frame in entry["frames"]:
            if "{s}" in frame and not topic:
                continue
            yield Ask(frame.format(s=topic), "topic", short=short, weight=3)


def _span_of(spans: list[TypedSpan], kind: str | None) -> TypedSpan | None:
    return next((span for span in spans if span.kind == kind), None) if kind else None


def _mentions(passage: Passage, subject: str, alone: Sequence[str]) -> Iterator[Ask]:
    """Questions about one thing: what only this sentence names, else its topic."""
    frames = load_lexicon("zh_questions")
    topic = subject or topic_of(passage.text.rstrip("。"))
    names = [
        name
        for name in dict.fromkeys(alone[:4] or [topic])
        if (2 < len(name) <= 10 or (len(name) == 2 and passage.text.startswith(name)))
        and not re.search("[前后时的]$|^[做打个位名次张份件]", name)
        and not re.search(r"^\d|[一二两三四五六七八九十]\w?$", name)
    ]
    for name in names[:3]:
        for frame in frames["mentions"]:
            yield Ask(frame.format(n=name), "mention", weight=1, family="mention")


def _cloze(passage: Passage) -> Iterator[Ask]:
    for span in typed_spans(passage.text)[:1]:
        if span.start == 0:
            continue
        text = passage.text[: span.start] + "____" + passage.text[span.end :]
        yield Ask(
            f"填空：{text}",
            "cloze",
            short=(passage.start + span.start, passage.start + span.end),
            family="cloze",
        )


def _question_words(text: str) -> tuple[str, ...]:
    words: list[str] = []
    for span in typed_spans(text):
        words.extend(span.asks[:2])
    if re.search("要|必须|需", text):
        words.append("要怎么做")
    if re.search("可以|能|不能|不要", text):
        words.append("可以吗")
    return tuple(dict.fromkeys(words))


def _sound(asks: list[Ask]) -> Iterator[Ask]:
    seen: set[str] = set()
    for ask in asks:
        if ask.text in seen or (not 4 <= len(ask.text) <= 60 and ask.family != "cloze"):
            continue
        seen.add(ask.text)
        yield ask
