"""From blocks to a `Document`: one text, and the offsets of everything in it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from labtune.documents.blocks import (
    Block,
    Converted,
    HeadingBlock,
    ItemBlock,
    PageBlock,
    ParagraphBlock,
    TableBlock,
    loss_sentences,
)
from labtune.documents.lexicon import SOURCE_SECTION
from labtune.documents.sentences import detect_language
from labtune.documents.tables import table_statements
from labtune.types import Document, Heading, TableStatement


@dataclass(slots=True)
class _Text:
    """The growing text. Blocks are parted by a blank line; the lines of one list or table by a line break."""

    parts: list[str] = field(default_factory=list)
    length: int = 0
    headings: list[Heading] = field(default_factory=list)
    page_starts: list[int] = field(default_factory=list)
    statements: list[TableStatement] = field(default_factory=list)
    open_headings: list[HeadingBlock] = field(default_factory=list)
    open_pages: int = 0

    def add(self, text: str, *, tight: bool) -> int:
        """Append a line and return where it starts; headings and pages waiting for text start there."""
        if self.length:
            separator = "\n" if tight and not self.open_headings else "\n\n"
            self.parts.append(separator)
            self.length += len(separator)
        start = self.length
        self._settle(start)
        self.parts.append(text)
        self.length += len(text)
        return start

    def _settle(self, start: int) -> None:
        self.headings += [Heading(start, heading.level, heading.title) for heading in self.open_headings]
        self.page_starts += [start] * self.open_pages
        self.open_headings, self.open_pages = [], 0

    def close(self) -> str:
        """The whole text; what still waits for text starts at its end."""
        self._settle(self.length)
        return "".join(self.parts)


def assemble(converted: Converted, *, document_id: str, uri: str) -> Document:
    """Build the document.

    Headings are not part of the text. Lists of sources ("References", "See also" ...) are left out and named
    in the losses: a model should not be taught retrieval dates. The title is the file's own, else its first
    heading, else the file's name.
    """
    losses = Counter(converted.losses)
    blocks, dropped = _without_sources(converted.blocks)
    language = detect_language(_sample(blocks))
    title = _title(converted, blocks, uri)
    text = _Text()
    previous: Block | None = None
    for block in blocks:
        match block:
            case HeadingBlock():
                text.open_headings.append(block)
            case PageBlock():
                text.open_pages += 1
                continue
            case ParagraphBlock():
                start = text.add(block.text, tight=False)
                text.page_starts += [start + offset for offset in block.page_breaks]
            case ItemBlock():
                text.add(block.text, tight=_continues_list(previous, block))
            case TableBlock():
                _add_table(text, block, language, losses)
        previous = block
    whole = text.close()
    return Document(
        id=document_id,
        uri=uri,
        media_type=converted.media_type,
        title=title,
        text=whole,
        language=language,
        headings=tuple(text.headings),
        page_starts=tuple(text.page_starts),
        statements=tuple(text.statements),
        losses=(*loss_sentences(losses), *dropped, *converted.remarks),
    )


def _continues_list(previous: Block | None, block: ItemBlock) -> bool:
    """An item stands under the item before it, or under the sentence that introduces the list."""
    if isinstance(previous, ItemBlock):
        return not block.first
    return isinstance(previous, ParagraphBlock) and previous.text.endswith((":", "："))


def _add_table(text: _Text, table: TableBlock, language: str, losses: Counter[str]) -> None:
    own = detect_language(" ".join(cell for row in table.rows for cell in row))
    language = own if own in ("zh", "ja") else language
    for number, cell in enumerate(table_statements(table, language, losses)):
        start = text.add(cell.sentence, tight=number > 0)
        if cell.row or cell.column:
            end = start + len(cell.sentence)
            text.statements.append(TableStatement(start, end, cell.row, cell.column, cell.value))


def _without_sources(blocks: list[Block]) -> tuple[list[Block], list[str]]:
    kept: list[Block] = []
    dropped: list[str] = []
    level = 0
    for block in blocks:
        if isinstance(block, HeadingBlock):
            if level and block.level > level:
                continue
            level = block.level if SOURCE_SECTION.fullmatch(block.title.rstrip(":： ")) else 0
            if level:
                dropped.append(
                    f"The section “{block.title}” was left out, because it lists sources or links."
                )
        if not level or isinstance(block, PageBlock):
            kept.append(block)
    return kept, dropped


def _sample(blocks: list[Block]) -> str:
    words: list[str] = []
    for block in blocks:
        if isinstance(block, (ParagraphBlock, ItemBlock)):
            words.append(block.text)
        elif isinstance(block, TableBlock):
            words += [cell for row in block.rows for cell in row]
        elif isinstance(block, HeadingBlock):
            words.append(block.title)
    return "\n".join(words)


def _title(converted: Converted, blocks: list[Block], uri: str) -> str:
    first = next((block for block in blocks if not isinstance(block, PageBlock)), None)
    top = [block for block in blocks if isinstance(block, HeadingBlock) and block.level == 1]
    if top and top[0] is first and (len(top) == 1 or not converted.title):
        return top[0].title
    if converted.title:
        return converted.title
    name = uri.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    stem = name.rsplit(".", 1)[0] or name
    return stem.replace("_", " ").strip() or uri
