"""Lines of PDF pages to paragraphs, items and headings.

A text PDF holds lines, not paragraphs, and the converter gives no reliable geometry. So the decisions here
rest on the lines themselves: their length beside their neighbours', how they end and how the next begins.
"""

from __future__ import annotations

import re
from collections import Counter

from labtune.documents.blocks import (
    Block,
    Converted,
    HeadingBlock,
    ItemBlock,
    PageBlock,
    ParagraphBlock,
)
from labtune.documents.clean import CJK, clean_text
from labtune.documents.lexicon import FUNCTION_WORDS, HYPHEN_PREFIXES, SOURCE_SECTION

_SOFT_HYPHEN = "\x02"
"""What PDFium writes for a hyphen at a line's end."""
_PAGE_MARK = "\ue000"
_EDGE_LINES = 3
_PAGE_NUMBER = re.compile(
    r"\W*(?:(?:page|seite|página|p\.)\s*)?\d{1,4}(?:\s*(?:/|of|von|de|sur)\s*\d{1,4})?\W*"
    r"|第\s*\d+\s*[页頁](?:.{0,6}\d+\s*[页頁])?",
    re.I,
)
_BULLET = re.compile(r"^[•●▪◦‣∙·■□○➢✓*–-]\s+(?=\S)")
_NUMBERED = re.compile(r"^\(?(?:\d{1,2}|[a-z])[.)]\s+(?=\S)")
_SECTION = re.compile(r"^(?:(\d{1,2}(?:\.\d{1,2})+)\.?|(\d{1,2})\.?)\s+([^\W\d_].*)$")
_DOTTED = re.compile(r"^\d{1,2}(?:\.\d{1,2})+\.?\s+[^\W\d_]")
_CHAPTER = re.compile(
    r"^(?:chapter|part|appendix|kapitel|chapitre|capítulo)\s+[\dIVXA-Z]+[.:]?(?:\s+[^\W\d][^\d]{0,60})?$"
    r"|^第[\d一二三四五六七八九十百]+[章节節部].{0,30}$",
    re.I,
)
_REFERENCE_MARK = re.compile(r"^(?:\[\d{1,3}\]\s*)+")
_SOURCE = re.compile(r"https?://|\bdoi:|\bISBN\b|\bBibcode\b|\bRetrieved \d|\bArchived\b|\bPMID\b")
_END = re.compile(r"[.!?。！？…:：;；][\"'”’)\]」』）]*(?:\s?\[[\d,\s–-]+\])*$")


def read_pages(pages: list[str], title: str) -> Converted:
    """Blocks of a text PDF given the raw lines of each page."""
    losses: Counter[str] = Counter()
    lines = [
        [line.strip() for line in page.replace(_PAGE_MARK, "").splitlines() if line.strip()] for page in pages
    ]
    losses["blank_page"] += sum(1 for page in lines if not page)
    lines = _without_stray_titles(_without_furniture(lines, losses), losses)
    known = _vocabulary(lines)
    builder = _PageReader(losses, known)
    for page in lines:
        builder.page(page)
    builder.flush()
    return Converted("application/pdf", title, builder.blocks, losses)


def _without_furniture(pages: list[list[str]], losses: Counter[str]) -> list[list[str]]:
    """Peel page numbers, and lines that stand at the edge of most pages, off both ends of each page."""
    keys: Counter[str] = Counter()
    for page in pages:
        keys.update({_edge_key(line) for line in page[:_EDGE_LINES] + page[_EDGE_LINES:][-_EDGE_LINES:]})
    full = sum(1 for page in pages if page)
    enough = max(2, (full + 1) // 2)
    repeated = {key for key, count in keys.items() if count >= enough and (full > 2 or "#" in key)}

    def peel(lines: list[str]) -> int:
        count = 0
        for line in lines[:_EDGE_LINES]:
            if _edge_key(line) not in repeated and not _PAGE_NUMBER.fullmatch(line):
                break
            count += 1
        return count

    kept = []
    for page in pages:
        top = peel(page)
        bottom = peel(page[top:][::-1])
        losses["furniture"] += top + bottom
        kept.append(page[top : len(page) - bottom])
    return kept


def _edge_key(line: str) -> str:
    """Digits stand for each other in running lines ("Page 3"), but chapter numbers tell headings apart."""
    return line if _CHAPTER.match(line) or _SECTION.match(line) else re.sub(r"\d+", "#", line)


def _without_stray_titles(pages: list[list[str]], losses: Counter[str]) -> list[list[str]]:
    """Drop titles that the file draws after the page's words, so that they stand inside its last sentence.

    A line that running prose ends a page with is full; a short, capitalised line without an end mark after an
    unfinished one is such a title. Titles of lists of sources go as well.
    """
    kept = []
    for number, page in enumerate(pages):
        end = len(page)
        while end > 1 and (SOURCE_SECTION.fullmatch(page[end - 1]) or _is_stray(page, end - 1)):
            end -= 1
        interrupted = number + 1 < len(pages) and end and not _END.search(page[end - 1])
        if not interrupted:
            end += next((k for k, line in enumerate(page[end:]) if SOURCE_SECTION.fullmatch(line)), 0)
        losses["stray_title"] += len(page) - end
        kept.append(page[:end])
    return kept


def _is_stray(page: list[str], index: int) -> bool:
    line, width = page[index], _typical_width(page)
    words = line.split()
    short = len(words) <= 4 and len(line) < 0.5 * width
    return (
        short
        and line[0].isupper()
        and not re.search(r"\d|[.!?,;:]$", line)
        and words[-1] not in FUNCTION_WORDS
    )


def _typical_width(page: list[str]) -> int:
    """The length of a full line: nine in ten lines are not longer."""
    lengths = sorted(map(len, page))
    return lengths[int(0.9 * (len(lengths) - 1))] if lengths else 0


def _vocabulary(pages: list[list[str]]) -> frozenset[str]:
    words: set[str] = set()
    for page in pages:
        for line in page:
            words.update(
                word.lower() for word in re.findall(r"(?<![\w-])[^\W\d_]+(?:-[^\W\d_]+)*(?![\w\x02-])", line)
            )
    return frozenset(words)


def join_hyphenated(left: str, right: str, known: frozenset[str]) -> str:
    """The word that a line end cut after a hyphen, with or without the hyphen.

    The document's own words decide; when they do not, the hyphen was the line end's.
    """
    whole, hyphened = f"{left}{right}", f"{left}-{right}"
    if whole.lower() in known:
        return whole
    both = left.lower() in known and right.lower() in known and min(len(left), len(right)) > 2
    kept = right[:1].isupper() or not left[-1:].isalpha() or len(left) == 1 or left.lower() in HYPHEN_PREFIXES
    if hyphened.lower() in known or both or kept:
        return hyphened
    return whole


class _PageReader:
    """Joins lines to blocks; a paragraph may run over a page's end."""

    def __init__(self, losses: Counter[str], known: frozenset[str]) -> None:
        self.blocks: list[Block] = []
        self._losses = losses
        self._known = known
        self._lines: list[str] = []
        self._item = False
        self._list_open = False
        self._sources = False
        self._last = ""
        self._row = False

    def page(self, lines: list[str]) -> None:
        """Take in the lines of the next page."""
        if self._lines and lines and self._runs_on(lines[0]) and not _CHAPTER.match(lines[0]):
            self._lines.append(_PAGE_MARK)
        else:
            self.flush()
            self.blocks.append(PageBlock())
            self._last = ""
        width = _typical_width(lines)
        for index, line in enumerate(lines):
            following = lines[index + 1] if index + 1 < len(lines) else ""
            near = max(len(text) for text in lines[max(0, index - 2) : index + 3])
            self._line(line, following, near, width)

    def _runs_on(self, line: str) -> bool:
        return not _END.search(self._lines[-1]) and not (_BULLET.match(line) or _NUMBERED.match(line))

    def _line(self, line: str, following: str, near: int, width: int) -> None:
        """Take in one line; `near` is the longest line around it, `width` that of a full line."""
        previous, self._last = self._last, line
        opens = not previous or not self._lines or bool(_END.search(previous))
        numbered_title = _CHAPTER.match(line) or (not self._lines and _DOTTED.match(line))
        may_head = not previous or bool(_END.search(previous)) or bool(numbered_title)
        if may_head and (level := _heading_level(line, following, width)):
            self.flush()
            self.blocks.append(HeadingBlock(level, clean_text(line, self._losses)))
            self._list_open, self._last = False, ""
            return
        bullet, numbered = _BULLET.match(line), _NUMBERED.match(line)
        marker = bullet or (numbered if opens or self._item else None)
        if marker:
            self.flush()
            self._item = True
            line = line[marker.end() :]
        elif not _SOURCE.search(line) and (mark := _REFERENCE_MARK.match(line)):
            self._losses["footnote"] += 1
            line = line[mark.end() :]
        if line:
            self._lines.append(line)
        if self._lines and self._ends_paragraph(line, following, near):
            self.flush()

    def _ends_paragraph(self, line: str, following: str, near: int) -> bool:
        was_row, self._row = self._row, _is_table_row(line)
        if self._row and (was_row or _is_table_row(following)):
            self._losses["table_row"] += 1
            return True
        return bool(line) and _ends_paragraph(line, following, near)

    def flush(self) -> None:
        """Emit the lines collected so far."""
        if not self._lines:
            return
        item, self._item = self._item, False
        lines, self._lines = self._lines, []
        text = clean_text(self._joined(lines), self._losses)
        text = re.sub(rf"(?<=[{CJK}]) ?{_PAGE_MARK} ?(?=[{CJK}])", _PAGE_MARK, text)
        breaks: list[int] = []
        while (at := text.find(_PAGE_MARK)) >= 0:
            before, after = text[:at], text[at + 1 :]
            text = before + after.lstrip() if before.endswith(" ") else before + after
            breaks.append(at)
        if not text:
            self.blocks += [PageBlock()] * len(breaks)
        elif (item or self._sources) and _SOURCE.search(text):
            self._sources = True
            self._losses["source_line"] += 1
            self.blocks += [PageBlock()] * len(breaks)
        elif item:
            self.blocks.append(ItemBlock(text, not self._list_open))
            self.blocks += [PageBlock()] * len(breaks)
        else:
            self.blocks.append(ParagraphBlock(text, tuple(breaks)))
        self._list_open = item

    def _joined(self, lines: list[str]) -> str:
        text = "\n".join(lines).replace(f"{_SOFT_HYPHEN}\n", _SOFT_HYPHEN)
        text = re.sub(r"(?<=[^\W\d_])[-‐]\n(?=[^\W\d_])", _SOFT_HYPHEN, text)
        cut = re.compile(rf"([^\W_]+){_SOFT_HYPHEN}({_PAGE_MARK}\n)?([^\W_]+)")
        text = cut.sub(lambda m: join_hyphenated(m[1], m[3], self._known) + (m[2] or ""), text)
        return text.replace(_SOFT_HYPHEN, "-")


def _heading_level(line: str, following: str, width: int) -> int:
    """The level of a line that is a heading, else 0; `following` is the next line."""
    if not following or len(line) > 80 or line.endswith(tuple(".,;:。，；：!?—–")):
        return 0
    if _CHAPTER.match(line):
        return 1
    if match := _SECTION.match(line):
        return _section_level(match, following, len(line))
    return 2 if _looks_like_title(line, following, width) else 0


def _section_level(match: re.Match[str], following: str, length: int) -> int:
    """The level of "1.2 Title": its numbers' depth. A lone number may also count a list's items."""
    number, title = match.group(1) or match.group(2), match.group(3)
    words = title.split()
    if not (title[0].isupper() or re.match(f"[{CJK}]", title)):
        return 0
    if "." in number:
        return number.count(".") + 1 if len(words) <= 10 else 0
    return int(len(words) <= 6 and not _NUMBERED.match(following) and len(following) > length)


def _looks_like_title(line: str, following: str, width: int) -> bool:
    """A short line of few words above a full one."""
    chinese = re.match(f"[{CJK}]", line)
    if len(following) < 0.75 * width or len(line) > 0.6 * width or re.search(r"\d{2}|[|=@/。，；]", line):
        return False
    if chinese:
        return len(line) <= 20
    words = line.split()
    opens = following[0].isupper() or following[0] in "\"“'("
    return line[0].isupper() and len(words) <= 8 and opens and words[-1].lower() not in FUNCTION_WORDS


def _is_table_row(line: str) -> bool:
    """Several short cells, one of them a number, and no end mark."""
    words = line.split()
    numbers = sum(bool(re.fullmatch(r"[-−+]?[\d.,]+[%°]?", word)) for word in words)
    return 2 <= len(words) <= 10 and numbers >= max(1, len(words) // 4) and not _END.search(line)


def _ends_paragraph(line: str, following: str, width: int) -> bool:
    """Whether the paragraph ends with this line; `width` is the longest line around it."""
    if not following:
        return False
    if _BULLET.match(following):
        return True
    if _END.search(line):
        return len(line) < 0.85 * width or bool(re.search(r"[:：]$", line))
    last = line.split()[-1].lower()
    goes_on = (
        following[0].islower()
        or line.endswith((",", "-", "–", "—", "(", _SOFT_HYPHEN))
        or last in FUNCTION_WORDS
    )
    return not goes_on and len(line) < 0.6 * width
