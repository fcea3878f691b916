"""What people get wrong although the file is valid. Only warnings: nothing here changes the exit code."""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

from labtune.documents.load import load_document
from labtune.errors import DocumentError
from labtune.taxonomy.attribution import is_open_license
from labtune.taxonomy.discover import ATTRIBUTION
from labtune.taxonomy.fetch import GitCache
from labtune.taxonomy.locate import LocatedDocument, locate_documents
from labtune.taxonomy.problems import Place, Point, Problems, quote
from labtune.taxonomy.read import LeafRead
from labtune.taxonomy.seeds import same_question_key
from labtune.taxonomy.wording import (
    content_words,
    is_yes_no,
    numbers,
    question_key,
    quotation_key,
    sentences,
    word_count,
)
from labtune.types import Finding, Leaf, SeedExample

LONG_CONTEXT, LONG_TEXT, LONG_SKILL = 500, 250, 2300
"""Words of a context, of a question or answer, of all questions and answers of a skill."""
SUPPORT = 0.5
"""Share of an answer's content words that its context or question should hold."""
_DRAFT = re.compile(r"^[ \t]*#[ \t]*draft\b", re.MULTILINE | re.IGNORECASE)
_PLAIN = frozenset({".md", ".markdown", ".txt", ".text", ".html", ".htm"})


@dataclass(slots=True)
class DocumentTexts:
    """Quotation keys of documents, the last few kept. Git documents are read only when they are cached."""

    cache: GitCache
    limit: int = 16
    _keys: OrderedDict[tuple[Path, bool], str] = field(default_factory=OrderedDict)

    def locate(self, read: LeafRead, problems: Problems) -> list[LocatedDocument] | None:
        """The leaf's documents that are at hand; None when there are none, or after saying why."""
        leaf = read.leaf
        source = leaf.documents if leaf else None
        if leaf is None or source is None:
            return None
        if source.repo is not None and not self.cache.folder(source.repo, source.commit or "").is_dir():
            return None
        try:
            return locate_documents(source, read.files.folder, read.files.root, cache=self.cache)
        except DocumentError as error:
            code = "D102" if "leaves" in error.message else "D101"
            root = read.validation.root
            place = root.entries["document"][0] if root and "document" in root.entries else Point()
            message = error.message.replace(f"{read.files.folder}/", "").replace(
                str(read.files.folder), "here"
            )
            problems.add(code, place, message, "documents", error.hint or "correct the document")
            return None

    def key(self, document: LocatedDocument, *, converted: bool) -> str:
        """All letters and digits of a document: of the file as it is, or converted (tables as sentences).

        Raises:
            DocumentError: it cannot be converted.
            OSError: it cannot be read.
        """
        converted = converted or document.path.suffix.lower() not in _PLAIN
        place = (document.path, converted)
        if place in self._keys:
            self._keys.move_to_end(place)
            return self._keys[place]
        if converted:
            text = load_document(document.path, uri=document.uri).text
        else:
            text = document.path.read_bytes().decode("utf-8", "replace")
        self._keys[place] = quotation_key(text)
        if len(self._keys) > self.limit:
            self._keys.popitem(last=False)
        return self._keys[place]


def check_documents(read: LeafRead, texts: DocumentTexts) -> list[LocatedDocument]:
    """Record documents that are named and not there (an error: nothing could be generated)."""
    problems = Problems(read.files.name.file)
    located = texts.locate(read, problems)
    read.findings.extend(problems.findings)
    return located or []


def lint(read: LeafRead, located: list[LocatedDocument], texts: DocumentTexts) -> list[Finding]:
    """All warnings about one leaf that is free of errors."""
    problems = Problems(read.files.name.file)
    leaf = read.leaf
    if leaf is None:
        return problems.findings
    if leaf.kind == "knowledge":
        _check_quotations(read, located, texts, problems)
        _check_support(leaf, read, problems)
        _check_yes_no(leaf, problems)
    _check_duplicates(leaf, read, problems)
    _check_lengths(leaf, read, problems)
    drafts = len(_DRAFT.findall(read.validation.text or ""))
    if drafts:
        first = _DRAFT.search(read.validation.text or "")
        line = (read.validation.text or "").count("\n", 0, first.start() if first else 0) + 1
        found = f"{drafts} questions marked '# draft'"
        mend = "put each in your own words, check its answer, and delete the mark"
        problems.add("L107", Point(line), found, "reviewed questions", mend)
    return [*problems.findings, *_check_exam(leaf, read), *_check_attribution(leaf, read)]


def _check_quotations(
    read: LeafRead, located: list[LocatedDocument], texts: DocumentTexts, problems: Problems
) -> None:
    if not located:
        return
    try:
        for context, node in read.validation.contexts:
            pieces = [context, *sentences(context)]
            missing = _not_quoted(pieces, located, texts, converted=False)
            if missing:
                missing = _not_quoted(missing, located, texts, converted=True)
            if missing and context in missing and len(missing) > 1:
                found = f"{len(missing) - 1} of {len(pieces) - 1} sentences not in the document: "
                expected = "a passage quoted from the document"
                mend = "copy the passage word for word, or correct the document"
                problems.add("L101", node, found + quote(missing[1]), expected, mend)
    except (DocumentError, OSError) as error:
        mend = "open the document and save it again"
        problems.add("D103", Point(), str(error), "a readable document", mend)


def _not_quoted(
    pieces: list[str], located: list[LocatedDocument], texts: DocumentTexts, *, converted: bool
) -> list[str]:
    """The pieces that no document holds; none when the first piece, the whole passage, is held."""
    keys = [texts.key(document, converted=converted) for document in located]
    missing = []
    for number, piece in enumerate(pieces):
        key = quotation_key(piece)
        if not any(key in text for text in keys):
            missing.append(piece)
        elif number == 0:
            return []
    return missing


def _check_support(leaf: Leaf, read: LeafRead, problems: Problems) -> None:
    words_of: dict[str, set[str]] = {}
    for seed in leaf.seeds:
        context = seed.context or ""
        if context not in words_of:
            words_of[context] = content_words(context, leaf.language)
        given = words_of[context] | content_words(seed.question, leaf.language)
        answer = content_words(seed.answer, leaf.language)
        place = _places(read, seed)[1]
        strange = sorted(numbers(seed.answer))
        if strange:
            held = numbers(f"{context} {seed.question}", spelled=True)
            strange = [number for number in strange if number not in held]
        mend = "answer from the context, or extend the context"
        if strange:
            found = f"the number {strange[0]}, which the context does not hold"
            problems.add("L102", place, found, "an answer that stands in its context", mend)
        elif len(answer) >= 3 and len(answer & given) < SUPPORT * len(answer):
            missing = ", ".join(sorted(answer - given)[:4])
            found = f"an answer whose words the context does not hold ({missing} ...)"
            problems.add("L102", place, found, "an answer that stands in its context", mend)


def _check_yes_no(leaf: Leaf, problems: Problems) -> None:
    if len(leaf.seeds) >= 3 and all(is_yes_no(seed.question, leaf.language) for seed in leaf.seeds):
        found = "only questions that yes or no answers"
        mend = "ask who, what, when, where, how many and why as well"
        problems.add("L104", leaf.source, found, "questions of several kinds", mend)


def _check_duplicates(leaf: Leaf, read: LeafRead, problems: Problems) -> None:
    knowledge = leaf.kind == "knowledge"
    lines: dict[frozenset[str], int] = {}
    for seed in leaf.seeds:
        asked = seed.question if knowledge else f"{seed.question} {seed.context or ''}"
        key = question_key(asked, leaf.language)
        if key and key in lines:
            found = f"{quote(seed.question)}, nearly the question on line {lines[key]}"
            place = _places(read, seed)[0]
            problems.add("L103", place, found, "different questions", "ask about something else")
        lines.setdefault(key, seed.source.line)


def _check_lengths(leaf: Leaf, read: LeafRead, problems: Problems) -> None:
    total = 0
    for context, node in read.validation.contexts:
        _check_length(context, LONG_CONTEXT, "context", node, problems)
    for seed in leaf.seeds:
        question, answer = _places(read, seed)
        total += _check_length(seed.question, LONG_TEXT, "question", question, problems)
        total += _check_length(seed.answer, LONG_TEXT, "answer", answer, problems)
        if leaf.kind != "knowledge" and seed.context:
            _check_length(seed.context, LONG_CONTEXT, "context", question, problems)
    if leaf.kind != "knowledge" and total > LONG_SKILL:
        found = f"{total:,} words of questions and answers"
        mend = "shorten the examples; a teacher reads all of them in one prompt"
        problems.add("L105", leaf.source, found, f"at most {LONG_SKILL:,}", mend)


def _check_length(text: str, most: int, what: str, place: Place, problems: Problems) -> int:
    words = word_count(text) if len(text) > most else len(text) // 5
    if words > most:
        mend = f"shorten the {what}; long ones do not fit a teacher's prompt"
        problems.add("L105", place, f"{words:,} words in one {what}", f"at most {most}", mend)
    return words


def _check_exam(leaf: Leaf, read: LeafRead) -> list[Finding]:
    if read.exam is None:
        return []
    problems = Problems(read.exam.problems.file)
    seeds = {same_question_key(seed.question): seed.source.line for seed in leaf.seeds}
    for item in read.exam.items:
        line = seeds.get(same_question_key(item.question))
        if line is not None and (leaf.kind == "knowledge" or item.context is None):
            found = f"{quote(item.question)}, which is a seed question too (line {line} of qna.yaml)"
            mend = "ask it differently; until then the seed is held out of training"
            problems.add("L106", item.source, found, "questions that training never sees", mend)
        answer = item.answer.casefold()
        for word in item.must:
            if word.casefold() not in answer:
                found = f"the must word {quote(word)} is not in the answer {quote(item.answer)}"
                mend = "correct the word or the answer"
                problems.add("L108", item.source, found, "an answer that passes its own test", mend)
    return problems.findings


def _check_attribution(leaf: Leaf, read: LeafRead) -> list[Finding]:
    problems = Problems(read.files.relative(ATTRIBUTION))
    root = read.validation.root
    if read.attribution_text is None:
        if leaf.kind == "knowledge" or (root is not None and "version" in root.entries):
            mend = "write title, link, licence and creators of the work; labtune new shows how"
            problems.add("A101", Point(), f"no {ATTRIBUTION}", "where the texts come from", mend)
    elif not read.attribution_text.strip():
        mend = "write title, link, licence and creators of the work"
        problems.add("A102", Point(), "an empty file", "where the texts come from", mend)
    elif not leaf.attribution.license:
        mend = "add a line 'License of the work: CC-BY-4.0'"
        problems.add("A103", Point(), "no licence", "the licence of the work", mend)
    elif not is_open_license(leaf.attribution.license):
        found = f"the licence {quote(leaf.attribution.license)}"
        mend = "make sure that its terms allow training and passing on"
        problems.add("A104", Point(), found, "a licence that allows reuse, such as CC-BY-4.0", mend)
    return problems.findings


def _places(read: LeafRead, seed: SeedExample) -> tuple[Place, Place]:
    places = read.validation.places.get(seed.id)
    return places if places else (seed.source, seed.source)
