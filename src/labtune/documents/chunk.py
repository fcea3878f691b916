"""Cutting a document into chunks that fit a token budget and never cut a sentence."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from labtune.artifact import content_hash
from labtune.documents.sentences import split_sentences
from labtune.documents.tokens import count_tokens
from labtune.types import Chunk, Document, Heading, TableStatement

Span = tuple[int, int]


def document_sentences(document: Document) -> list[Span]:
    """All sentences of a document; a table statement is one sentence even if its value holds full stops."""
    spans = split_sentences(document.text, document.language)
    if not document.statements:
        return spans
    starts = [statement.start for statement in document.statements]
    ends = [statement.end for statement in document.statements]
    outside = []
    for start, end in spans:
        index = bisect_right(starts, start) - 1
        if index < 0 or start >= ends[index]:
            outside.append((start, end))
    return sorted(outside + list(zip(starts, ends, strict=True)))


def chunk_document(document: Document, *, leaf: str, max_tokens: int) -> list[Chunk]:
    """Chunks in reading order; together their sentences are all sentences of the document.

    A chunk never spans two headings, however small the sections are: its heading path must hold for every
    sentence in it. Long sections are cut into pieces of about equal size, so no tiny rest is left. A sentence
    longer than `max_tokens` is a chunk of its own.
    """
    sentences = document_sentences(document)
    chunks: list[Chunk] = []
    position = 0
    bounds = [*sorted({heading.start for heading in document.headings}), len(document.text)]
    for bound in bounds:
        upto = bisect_left(sentences, (bound, 0), position)
        section = sentences[position:upto]
        if section:
            path = _heading_path(document, section[0][0])
            groups = _pack(document.text, section, max_tokens)
            chunks += [_chunk(document, group, leaf, path) for group in groups]
        position = upto
    return chunks


def _pack(text: str, sentences: list[Span], max_tokens: int) -> list[list[Span]]:
    """As few groups as the budget allows, filled about equally."""
    sizes = [count_tokens(text[start:end]) for start, end in sentences]
    left, groups_left = sum(sizes), _fewest_groups(sizes, max_tokens)
    groups: list[list[Span]] = []
    size = 0
    for span, tokens in zip(sentences, sizes, strict=True):
        over = size + tokens > max_tokens
        full = groups_left > 1 and size + tokens / 2 > left / groups_left
        if not groups or over or full:
            if groups:
                left, groups_left = left - size, max(1, groups_left - 1)
            groups.append([])
            size = 0
        groups[-1].append(span)
        size += tokens
    return groups


def _fewest_groups(sizes: list[int], max_tokens: int) -> int:
    count, size = 1, 0
    for tokens in sizes:
        if size and size + tokens > max_tokens:
            count, size = count + 1, 0
        size += tokens
    return count


def _heading_path(document: Document, position: int) -> tuple[str, ...]:
    """The document's title and the headings open at `position`, top first."""
    path: list[Heading] = []
    for heading in document.headings:
        if heading.start > position:
            break
        while path and path[-1].level >= heading.level:
            path.pop()
        path.append(heading)
    titles = [heading.title for heading in path]
    if document.title and (not titles or titles[0] != document.title):
        titles.insert(0, document.title)
    return tuple(titles)


def _start(statement: TableStatement) -> int:
    return statement.start


def _chunk(document: Document, sentences: list[Span], leaf: str, heading: tuple[str, ...]) -> Chunk:
    start, end = sentences[0][0], sentences[-1][1]
    text = document.text[start:end]
    return Chunk(
        id=content_hash(document.id, start, end, leaf)[:16],
        document_id=document.id,
        uri=document.uri,
        leaf=leaf,
        text=text,
        start=start,
        end=end,
        n_tokens=count_tokens(text),
        sentences=tuple(sentences),
        heading=heading,
        page=max(1, bisect_right(document.page_starts, start)) if document.page_starts else None,
        statements=document.statements[
            bisect_left(document.statements, start, key=_start) : bisect_left(
                document.statements, end, key=_start
            )
        ],
    )
