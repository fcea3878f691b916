"""Markdown and HTML to clean blocks.

Markdown is rendered to HTML by markdown-it-py (CommonMark and tables) and read back with the reader of
HTML: one reader then serves both, and HTML inside Markdown needs no second set of rules. The standard
library's tolerant HTML parser is enough, since only block structure, tables and words are wanted.
"""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser

from labtune.documents.blocks import (
    Block,
    Converted,
    HeadingBlock,
    ItemBlock,
    ParagraphBlock,
    TableBlock,
)
from labtune.documents.clean import BREAK, break_lines, clean_text, strip_leftover_markup, without_site
from labtune.documents.grid import GridBuilder

_FRONT_MATTER = re.compile(r"\A\ufeff?---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.S)
_FRONT_TITLE = re.compile(r"^title:[ \t]*(.+?)[ \t]*$", re.M | re.I)
_FOOTNOTE = re.compile(r"^ {0,3}\[\^[^\]\n]+\]:.*(?:\n(?:[ \t]+\S.*|[ \t]*(?=\n[ \t]+\S)))*", re.M)
_FOOTNOTE_MARK = re.compile(r"\[\^[^\]\s]+\]|\^\[[^\]\n]*\]")
_TEMPLATE = re.compile(r"\{\{[^{}]*\}\}")
_DISPLAY_FORMULA = re.compile(r"\$\$.{1,2000}?\$\$|\\\[(?=[^\]]{0,200}\\[a-z]).{1,2000}?\\\]", re.S)
_INLINE_FORMULA = re.compile(
    r"(?<![\\$\w])\$(?=\S)(?=[^$\n]*[\\^_{}])[^$\n]+(?<=\S)\$(?!\w)|\\\(.{1,200}?\\\)"
)
_TASK_BOX = re.compile(r"^\[[ xX]\]\s+")
_SUPERSCRIPTS = dict(zip("0123456789+-−=()n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ⁿ", strict=True))

_BLOCKS = frozenset(
    re.findall(
        r"\w+",
        """
        address article aside blockquote body caption center dd details dialog div dl dt fieldset figcaption
        figure footer form h1 h2 h3 h4 h5 h6 header hgroup hr html li main ol p pre section summary table
        tbody td tfoot th thead tr ul
        """,
    )
)
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_SKIPPED: dict[str, str] = {
    "script": "",
    "style": "",
    "template": "",
    "noscript": "",
    "select": "",
    "button": "",
    "textarea": "",
    "nav": "navigation",
    "footer": "navigation",
    "math": "formula",
    "svg": "image",
    "canvas": "image",
    "audio": "media",
    "video": "media",
    "object": "media",
    "iframe": "media",
}
_SKIPPED_CLASSES = {
    "mw-editsection": "",
    "toc": "navigation",
    "navbox": "navigation",
    "reference": "footnote",
    "footnotes": "footnote",
    "footnote-ref": "footnote",
    "reflist": "footnote",
    "noprint": "navigation",
    "mwe-math-element": "formula",
}
_INLINE_WORDS = {"br": BREAK, "q": '"'}
_VOID = frozenset(
    ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr")
)


def read_markdown(source: str) -> Converted:
    """Read Markdown (CommonMark, pipe tables, front matter, footnotes, wiki links, inline HTML)."""
    from markdown_it import MarkdownIt

    losses: Counter[str] = Counter()
    title = ""
    source = _without_comments(source)
    if match := _FRONT_MATTER.match(source):
        if found := _FRONT_TITLE.search(match.group(1)):
            title = found.group(1).strip("'\"")
        source = source[match.end() :]
    for pattern, kind in (
        (_FOOTNOTE, "footnote"),
        (_FOOTNOTE_MARK, ""),
        (_TEMPLATE, "template"),
        (_DISPLAY_FORMULA, "formula"),
        (_INLINE_FORMULA, "formula"),
    ):
        source, count = pattern.subn("", source)
        if kind:
            losses[kind] += count
    # Indented code is off: in documents that people write, four blanks are a slip of layout, not code.
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).disable("code")
    reader = _Reader(losses, markdown=True)
    reader.feed(parser.render(source))
    reader.close()
    return Converted("text/markdown", title, reader.blocks, losses)


def read_html(source: str) -> Converted:
    """Read an HTML page: the words of its body, without navigation, scripts and page furniture."""
    losses: Counter[str] = Counter()
    reader = _Reader(losses, markdown=False)
    reader.feed(_without_comments(source))
    reader.close()
    title = without_site(clean_text(reader.title, losses))
    return Converted("text/html", title, reader.blocks, losses)


def _without_comments(source: str) -> str:
    """Take comments out in linear time; the standard parser needs quadratic time for unclosed ones."""
    parts: list[str] = []
    position = 0
    while (start := source.find("<!--", position)) >= 0:
        end = source.find("-->", start + 2)
        if end < 0:
            break
        parts.append(source[position:start])
        position = end + 3
    rest = source[position:].replace("<!--", "") if start >= 0 else source[position:]
    return "".join([*parts, rest])


class _Reader(HTMLParser):
    """Collects words until a block ends, then emits the block. No recursion: depth is the author's."""

    def __init__(self, losses: Counter[str], *, markdown: bool) -> None:
        super().__init__(convert_charrefs=True)
        self.blocks: list[Block] = []
        self.title = ""
        self._losses = losses
        self._markdown = markdown
        self._words: list[str] = []
        self._heading = 0
        self._lists: list[int] = []
        self._term = ""
        self._in_item = 0
        self._raised: list[tuple[str, int]] = []
        self._skip: list[str] = []
        self._in_title = False
        self._code = False
        self._tables: list[GridBuilder] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._skip:
            if tag == self._skip[0]:
                self._skip.append(tag)
            return
        if (loss := self._skipped(tag, attrs)) is not None:
            if loss:
                self._losses[loss] += 1
            if tag not in _VOID:
                self._skip.append(tag)
            return
        self._open(tag, dict(attrs))

    def _open(self, tag: str, attrs: dict[str, str | None]) -> None:
        if tag in _BLOCKS:
            self._open_block(tag, attrs)
        elif tag == "title" and not self.blocks:
            self._in_title = True
        elif tag in ("img", "embed"):
            self._losses["image"] += 1
        elif tag in ("sup", "sub"):
            self._raised.append((tag, len(self._words)))
        elif tag in _INLINE_WORDS:
            self._words.append(_INLINE_WORDS[tag])

    def _skipped(self, tag: str, attrs: list[tuple[str, str | None]]) -> str | None:
        """The loss to count ("" for none) when this element is left out, None when it is read."""
        if tag in _SKIPPED:
            return _SKIPPED[tag]
        values = dict(attrs)
        if values.get("role") == "navigation":
            return "navigation"
        for name in (values.get("class") or "").split():
            if name in _SKIPPED_CLASSES and tag not in ("html", "body", "main", "article"):
                return _SKIPPED_CLASSES[name]
        return None

    def _open_block(self, tag: str, attrs: dict[str, str | None]) -> None:
        if self._tables:
            self._open_in_table(tag, attrs)
            return
        self._flush()
        if tag in _HEADINGS:
            self._heading = _HEADINGS[tag]
        elif tag in ("p", "ul", "ol", "dl", "table", "pre", "blockquote"):
            self._heading = 0
        if tag in ("ul", "ol", "dl"):
            self._lists.append(0)
        elif tag in ("li", "dd"):
            self._in_item += 1
        elif tag == "table":
            self._tables.append(GridBuilder())
        self._code = tag == "pre"

    def _open_in_table(self, tag: str, attrs: dict[str, str | None]) -> None:
        table = self._tables[-1]
        if tag == "table":
            self._tables.append(GridBuilder())
            self._words.append(" ")
        elif len(self._tables) > 1:
            self._words.append(" ")
        elif tag in ("td", "th", "tr", "thead", "tbody", "tfoot", "caption"):
            self._close_cell()
            if tag == "tr":
                table.open_row()
            elif tag == "thead":
                table.open_head()
            elif tag in ("tbody", "tfoot"):
                table.close_head()
            elif tag == "caption":
                table.in_caption = True
            else:
                table.open_cell(tag == "th", attrs.get("rowspan"), attrs.get("colspan"))
        elif self._words and tag != "p":
            self._words.append("; " if tag == "li" else " ")

    def _close_cell(self) -> None:
        table = self._tables[-1]
        text = clean_text(self._plain(), self._losses).lstrip("; ")
        self._words = []
        if table.in_caption:
            table.caption = text
            table.in_caption = False
        elif not table.close_cell(text) and text:
            self.blocks.append(ParagraphBlock(text))

    def handle_endtag(self, tag: str) -> None:
        if self._skip:
            if tag == self._skip[0]:
                self._skip.pop()
            return
        if tag == "title":
            self._in_title = False
        elif tag in ("sup", "sub"):
            self._close_raised(tag)
        elif tag == "q":
            self._words.append('"')
        elif tag in _BLOCKS:
            self._close_block(tag)

    def _close_block(self, tag: str) -> None:
        if self._tables:
            self._close_in_table(tag)
            return
        if tag == "dt":
            self._term = clean_text(self._plain(), self._losses)
            self._words = []
            return
        self._flush()
        if tag in _HEADINGS:
            self._heading = 0
        elif tag in ("ul", "ol", "dl"):
            self._lists = self._lists[:-1]
        elif tag in ("li", "dd"):
            self._in_item = max(0, self._in_item - 1)
        elif tag == "pre":
            self._code = False

    def _close_in_table(self, tag: str) -> None:
        if tag == "table":
            self._close_table()
        elif len(self._tables) == 1 and tag in ("td", "th", "tr", "caption", "thead"):
            self._close_cell()
            if tag == "thead":
                self._tables[-1].close_head()

    def _close_table(self) -> None:
        if len(self._tables) > 1:
            self._tables.pop()
            self._words.append(" ")
            return
        self._close_cell()
        table = self._tables.pop()
        if table.caption:
            self.blocks.append(ParagraphBlock(table.caption))
        rows = table.rows()
        if rows:
            self.blocks.append(TableBlock(rows, table.header_rows()))

    def _close_raised(self, tag: str) -> None:
        while self._raised:
            opened, start = self._raised.pop()
            if opened == tag:
                break
        else:
            return
        inner = "".join(self._words[start:]).strip()
        del self._words[start:]
        if re.fullmatch(r"\[.*\]", inner):
            self._losses["footnote"] += 1
        elif tag == "sup" and inner and all(char in _SUPERSCRIPTS for char in inner):
            self._words.append("".join(_SUPERSCRIPTS[char] for char in inner))
        elif tag == "sup" and re.fullmatch(r"[-−+]?[\d.,±\s]+", inner):
            self._words.append(f"^{inner}")
        else:
            self._words.append(inner)

    def handle_data(self, data: str) -> None:
        if self._skip:
            return
        if self._in_title:
            self.title += data
        else:
            self._words.append(data)

    def close(self) -> None:
        super().close()
        while self._tables:
            self._close_table()
        self._flush()

    def _plain(self) -> str:
        text = "".join(self._words)
        return strip_leftover_markup(text) if self._markdown else text

    def _flush(self) -> None:
        """Emit the collected words as the block they stand in."""
        if self._code and len([line for line in "".join(self._words).splitlines() if line.strip()]) > 1:
            self._losses["code"] += 1
            self._words = []
        self._raised = []
        raw, self._words = self._plain(), []
        lines = [clean_text(line, self._losses) for line in break_lines(raw)]
        for text in filter(None, lines):
            if self._heading:
                self.blocks.append(HeadingBlock(self._heading, text))
            elif self._in_item or (self._lists and self._term):
                self._emit_item(text)
            else:
                self.blocks.append(ParagraphBlock(text))

    def _emit_item(self, text: str) -> None:
        text = _TASK_BOX.sub("", text)
        if self._term:
            text, self._term = f"{self._term}: {text}", ""
        first = not self._lists or self._lists[-1] == 0
        if self._lists:
            self._lists[-1] += 1
        self.blocks.append(ItemBlock(text, first))
