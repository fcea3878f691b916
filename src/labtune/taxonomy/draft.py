"""Draft seeds for a knowledge leaf: passages quoted from its document, and a plain question for a sentence.

These are starting points for a person, marked as drafts; `check` reminds until the marks are gone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from labtune.documents.chunk import document_sentences
from labtune.documents.load import load_document
from labtune.errors import DocumentError
from labtune.types import Document

CONTEXTS = 5
PAIRS = 3
MOST_SENTENCES = 5
_UNPRINTABLE = re.compile(r"[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
LONGEST_SENTENCE = 300
_BE = re.compile(
    r"^(?P<subject>(?:[\w'’-]+ ){1,7}?)(?P<verb>is|are|was|were|has|have|had|can|must|may|will|should)\b"
    r" (?P<article>an?|the)?\b"
)
_BE_ZH = re.compile(r"^(?P<subject>[^，。！？；：,]{1,16}?)(?P<verb>是|为|有|位于|需要|可以|应|包括)")
_OPENER_WORDS = """
it its they their he his she her this that these those there if when while although but and or so however in
on at no neither both each such many most some few other another what who
"""
_OPENERS = frozenset(_OPENER_WORDS.split())
_ARTICLES = frozenset({"The", "A", "An"})


@dataclass(frozen=True, slots=True)
class DraftSeed:
    """A quoted passage with draft questions; each answer is one of its sentences."""

    context: str
    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Drafts:
    """The drafts for one document."""

    title: str
    language: str
    seeds: tuple[DraftSeed, ...]


def draft_seeds(path: Path) -> Drafts:
    """Five passages spread over a document, of three to five sentences each, with three questions.

    Raises:
        DocumentError: the document cannot be read, or holds fewer sentences than five passages need.
    """
    document = load_document(path, uri=path.name)
    passages = _passages(document)
    seeds = tuple(_draft(sentences, document.language) for sentences in passages)
    return Drafts(document.title or path.stem, document.language, seeds)


def _passages(document: Document) -> list[list[str]]:
    """Runs of neighbouring sentences of prose that do not cross a heading, spread evenly."""
    bounds = sorted({heading.start for heading in document.headings})
    tabular = {statement.start for statement in document.statements}
    runs: dict[int, list[str]] = {}
    order: list[int] = []
    for start, end in document_sentences(document):
        text = " ".join(_UNPRINTABLE.sub(" ", document.text[start:end]).split())
        if not 8 <= len(text) <= LONGEST_SENTENCE or start in tabular:
            continue
        section = sum(bound <= start for bound in bounds)
        if section not in runs:
            order.append(section)
        runs.setdefault(section, []).append(text)
    passages = [piece for section in order for piece in _cut(list(dict.fromkeys(runs[section])))]
    if len(passages) < CONTEXTS:
        every = list(dict.fromkeys(text for section in order for text in runs[section]))
        passages = _windows(every)
    if len(passages) < CONTEXTS:
        raise DocumentError(
            f"{document.uri} is too short to quote {CONTEXTS} passages of {PAIRS} sentences from",
            hint="run without --document, then put your text beside qna.yaml and write the seeds yourself",
        )
    step = len(passages) / CONTEXTS
    return [passages[int(number * step)] for number in range(CONTEXTS)]


def _cut(sentences: list[str]) -> list[list[str]]:
    pieces = [sentences[at : at + MOST_SENTENCES] for at in range(0, len(sentences), MOST_SENTENCES)]
    return [piece for piece in pieces if len(piece) >= PAIRS]


def _windows(sentences: list[str]) -> list[list[str]]:
    return [sentences[at : at + PAIRS] for at in range(len(sentences) - PAIRS + 1)]


def _draft(sentences: list[str], language: str) -> DraftSeed:
    unspaced = language in ("zh", "ja")
    ranked = sorted(range(len(sentences)), key=lambda at: (_question(sentences[at], language)[1], at))
    chosen = sorted(ranked[:PAIRS])
    pairs: list[tuple[str, str]] = []
    for at in chosen:
        question = _question(sentences[at], language)[0]
        if question in (known for known, _ in pairs):
            question = _about(sentences[at], language)
        if question in (known for known, _ in pairs):
            question = f"{question} ({len(pairs) + 1})"
        pairs.append((question, sentences[at]))
    return DraftSeed(("" if unspaced else " ").join(sentences), tuple(pairs))


def _question(sentence: str, language: str) -> tuple[str, int]:
    """A plain question that the sentence answers, and how poor it is (0 = reads well)."""
    if language == "zh":
        found = _BE_ZH.match(sentence)
        if found and found.group("verb") == "是":
            return f"{found.group('subject')}是什么？", 0
        return _about(found.group("subject") if found else sentence, language), 1
    found = _BE.match(sentence)
    if language == "en" and found:
        subject, verb = found.group("subject").strip(), found.group("verb")
        if subject.split()[0].lower() not in _OPENERS:
            subject = _lower_article(subject)
            if verb in ("is", "are", "was", "were") and found.group("article"):
                return f"What {verb} {subject}?", 0
            return f"What does the document say about {subject}?", 1
    return _about(sentence, language), 2


def _about(text: str, language: str) -> str:
    if language in ("zh", "ja"):
        start = re.split(r"[，。！？；：、,]", text)[0][:14]
        if language == "zh":
            return f"关于“{start}”，文中怎么说？"
        return f"「{start}」について、本文は何と述べていますか？"
    words = " ".join(text.split()[:8]).rstrip(",;:.")
    return f"What does the document say in the passage that begins with '{words}'?"


def _lower_article(subject: str) -> str:
    first, _, rest = subject.partition(" ")
    return f"{first.lower()} {rest}" if rest and first in _ARTICLES else subject
