"""The seam of converters, and the reader of text formats.

Markdown, HTML and plain text are read directly: kreuzberg 4.10 hands Markdown through unread, and leaves row
spans, entities in titles and superscripts of HTML broken. What needs a real decoder (Office files, PDF) is in
`office.py`; another converter (docling) would stand beside it.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Protocol

from labtune.documents.blocks import Block, Converted, ItemBlock, ParagraphBlock
from labtune.documents.clean import clean_text
from labtune.documents.markup import read_html, read_markdown
from labtune.errors import DocumentError

_ITEM = re.compile(r"\s*(?:[-*•]|\d{1,2}[.)])\s+(?=\S)")


class Converter(Protocol):
    """Reads files of the suffixes it names (lower case, with dot)."""

    suffixes: frozenset[str]

    def read(self, data: bytes, *, suffix: str, name: str) -> Converted:
        """Blocks of one file. Raises DocumentError; `name` is how messages call the file."""
        ...


class TextConverter:
    """Markdown, HTML and plain text."""

    suffixes = frozenset({".md", ".markdown", ".txt", ".html", ".htm"})

    def read(self, data: bytes, *, suffix: str, name: str) -> Converted:
        """Decode (UTF-8, UTF-16 with mark, GB18030, else Windows-1252) and read."""
        text, remark = decode_text(data, name)
        if suffix in (".html", ".htm"):
            converted = read_html(text)
        elif suffix == ".txt":
            converted = read_plain(text)
        else:
            converted = read_markdown(text)
        if remark:
            converted.remarks.append(remark)
        return converted


def decode_text(data: bytes, name: str) -> tuple[str, str]:
    """Text of a file and a remark when it is not UTF-8.

    Raises:
        DocumentError: the bytes are not text.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return _newlines(data.decode("utf-16", errors="replace")), "The file is UTF-16, not UTF-8."
    if b"\0" in data:
        raise DocumentError(
            f"{name} holds binary data, not text", hint="give the file its right suffix or leave it out"
        )
    try:
        return _newlines(data.decode("utf-8-sig")), ""
    except UnicodeDecodeError:
        pass
    try:
        chinese = data.decode("gb18030")
    except UnicodeDecodeError:
        chinese = ""
    foreign = [char for char in chinese if char > "\x7f"]
    common = len("".join(foreign).encode("gb2312", errors="ignore").decode("gb2312"))
    # Any accented text is valid GB18030; only Chinese gives common characters throughout.
    if foreign and common > 0.9 * len(foreign):
        return _newlines(chinese), "The file is not UTF-8; it was read as GB18030."
    return _newlines(
        data.decode("cp1252", errors="replace")
    ), "The file is not UTF-8; it was read as Windows-1252."


def _newlines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_plain(source: str) -> Converted:
    """Plain text: blank lines part paragraphs; a text without any has one paragraph a line."""
    losses: Counter[str] = Counter()
    blocks: list[Block] = []
    by_line = not re.search(r"\n[ \t]*\n", source.strip())
    for part in source.splitlines() if by_line else re.split(r"\n[ \t]*\n", source):
        group: list[str] = []
        first = True
        for line in [*part.splitlines(), ""]:
            marker = _ITEM.match(line)
            if (marker or not line) and group:
                first = _emit_plain(blocks, group, losses, first)
                group = []
            if line:
                group.append(line)
    return Converted("text/plain", "", blocks, losses)


def _emit_plain(blocks: list[Block], lines: list[str], losses: Counter[str], first: bool) -> bool:
    marker = _ITEM.match(lines[0])
    raw = "\n".join(lines)
    text = clean_text(raw[marker.end() :] if marker else raw, losses)
    if text and marker:
        blocks.append(ItemBlock(text, first))
        return False
    if text:
        blocks.append(ParagraphBlock(text))
    return True
