"""What every reader hands over: a file as a flat list of blocks, before it becomes one text with offsets."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

Grid = tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class HeadingBlock:
    """A heading; level 1 is the top."""

    level: int
    title: str


@dataclass(frozen=True, slots=True)
class ParagraphBlock:
    """A paragraph on one line. `page_breaks` are the offsets in `text` at which a new page begins."""

    text: str
    page_breaks: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ItemBlock:
    """One item of a list, on one line. `first` marks the beginning of a list."""

    text: str
    first: bool = False


@dataclass(frozen=True, slots=True)
class TableBlock:
    """A table as a full grid (spans are filled in).

    `header_rows` counts the rows that name the columns; None when the format does not say.
    """

    rows: Grid
    header_rows: int | None = None


@dataclass(frozen=True, slots=True)
class PageBlock:
    """A new page (or slide) begins here."""


Block = HeadingBlock | ParagraphBlock | ItemBlock | TableBlock | PageBlock

LOSSES: dict[str, tuple[str, str]] = {
    "image": ("1 image was left out.", "{n} images were left out."),
    "footnote": (
        "1 footnote or reference mark was left out.",
        "{n} footnotes or reference marks were left out.",
    ),
    "formula": ("1 formula was left out.", "{n} formulas were left out."),
    "code": ("1 code block was left out.", "{n} code blocks were left out."),
    "media": ("1 embedded object was left out.", "{n} embedded objects were left out."),
    "navigation": ("1 navigation part was left out.", "{n} navigation parts were left out."),
    "template": ("1 wiki template was left out.", "{n} wiki templates were left out."),
    "gap": (
        "1 place looks as if an earlier conversion lost words (empty brackets, a blank before a comma).",
        "{n} places look as if an earlier conversion lost words (empty brackets, a blank before a comma).",
    ),
    "furniture": (
        "1 repeated page header, footer or page number was left out.",
        "{n} repeated page headers, footers and page numbers were left out.",
    ),
    "page_header": ("1 page header or footer was left out.", "{n} page headers or footers were left out."),
    "blank_page": (
        "1 page has no text (scanned or empty).",
        "{n} pages have no text (scanned or empty).",
    ),
    "stray_title": (
        "1 title at a page's end was left out, because its place is unknown.",
        "{n} titles at page ends were left out, because their places are unknown.",
    ),
    "table_row": (
        "1 line looks like a row of a table that could not be read; it stands as it is.",
        "{n} lines look like rows of tables that could not be read; they stand as they are.",
    ),
    "notes": (
        "The speaker notes of 1 slide were left out.",
        "The speaker notes of {n} slides were left out.",
    ),
    "source_line": (
        "1 line of the list of sources was left out.",
        "{n} lines of the list of sources were left out.",
    ),
    "unnamed_row": (
        "1 table row has no name in its first column; its cells are stated without one.",
        "{n} table rows have no name in their first column; their cells are stated without one.",
    ),
    "unnamed_columns": (
        "1 table has no header; its rows are stated as they stand.",
        "{n} tables have no header; their rows are stated as they stand.",
    ),
}


def loss_sentences(losses: Counter[str]) -> list[str]:
    """The losses as sentences with counts, in a fixed order."""
    sentences = []
    for kind, (one, many) in LOSSES.items():
        if count := losses.get(kind, 0):
            sentences.append(one if count == 1 else many.format(n=count))
    return sentences


@dataclass(slots=True)
class Converted:
    """A file as its reader saw it. `title` is empty when the file names none."""

    media_type: str
    title: str = ""
    blocks: list[Block] = field(default_factory=list)
    losses: Counter[str] = field(default_factory=Counter)
    remarks: list[str] = field(default_factory=list)
