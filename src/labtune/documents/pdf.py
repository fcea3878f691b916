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
from labtune.documents.lexicon import FUNCTION_WORDS

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
_CHAPTER = re.compile(
    r"^(?:chapter|part|appendix|kapitel|chapitre|capítulo)\s+[\dIVXA-Z]+\b.{0,60}$|^第[\d一二三四五六七八九十百]+[章节節部].{0,30}$",
    re.I,
)
_SOURCE = re.compile(r"https?://|\bdoi:|\bISBN\b|\bBibcode\b|\bRetrieved \d|\bArchived\b|\bPMID\b")
_END = re.compile(r"[.!?。！？…:：;；][\"'”’)\]」』）]*(?:\s?\[[\d,\s–-]+\])*$")


def read_pages(pages: list[str], title: str) -> Converted:
    """Blocks of a text PDF given the raw lines of each page."""
    losses: Counter[str] = Counter()
    lines = [[line.strip() for line in page.splitlines() if line.strip()] for page in pages]
    losses["blank_page"] += sum(1 for page in lines if not page)
    lines = _without_furniture(lines, losses)
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
    if hyphened.lower() in known or both or right[:1].isupper() or not left[-1:].isalpha():
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

    def page(self, lines: list[str]) -> None:
        """Take in the lines of the next page."""
        if self._lines and lines and self._runs_on(lines[0]):
            self._lines.append(_PAGE_MARK)
        else:
            self.flush()
            self.blocks.append(PageBlock())
        for index, line in enumerate(lines):
            self._line(lines, index, line)

    def _runs_on(self, line: str) -> bool:
        return not _END.search(self._lines[-1]) and not (_BULLET.match(line) or _NUMBERED.match(line))

    def _line(self, lines: list[str], index: int, line: str) -> None:
        following = lines[index + 1] if index + 1 < len(lines) else ""
        previous = next((text for text in reversed(self._lines) if text != _PAGE_MARK), "")
        if not previous or _END.search(previous) or _BULLET.match(line):
            level = _heading_level(line, following)
            if level:
                self.flush()
                self.blocks.append(HeadingBlock(level, clean_text(line, self._losses)))
                self._list_open = False
                return
        marker = _BULLET.match(line) or _NUMBERED.match(line)
        if marker and (_BULLET.match(line) or not previous or _END.search(previous) or self._item):
            self.flush()
            self._item = True
            line = line[marker.end() :]
        self._lines.append(line)
        near = [len(text) for text in lines[max(0, index - 2) : index + 3]]
        if _ends_paragraph(line, following, max(near)):
            self.flush()

    def flush(self) -> None:
        """Emit the lines collected so far."""
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
        elif item and _SOURCE.search(text):
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


def _heading_level(line: str, following: str) -> int:
    """The level of a line that is a heading, else 0."""
    if (
        not following
        or len(line) > 80
        or line.endswith((".", ",", ";", ":", "。", "，", "；", "：", "!", "?"))
    ):
        return 0
    if _CHAPTER.match(line):
        return 1
    if match := _SECTION.match(line):
        number = match.group(1) or match.group(2)
        words = match.group(3).split()
        if match.group(3)[:1].isupper() or re.match(f"[{CJK}]", match.group(3)):
            if "." in number:
                return number.count(".") + 1 if len(words) <= 10 else 0
            return (
                1 if len(words) <= 6 and not _NUMBERED.match(following) and len(following) > len(line) else 0
            )
        return 0
    return 2 if _looks_like_title(line, following) else 0


def _looks_like_title(line: str, following: str) -> bool:
    words = line.split()
    if (
        not (line[0].isupper() or re.match(f"[{CJK}]", line[0]))
        or len(words) > 8
        or re.search(r"\d{2}|[|=@/]", line)
    ):
        return False
    if re.match(f"[{CJK}]", line[0]):
        return len(line) <= 20 and len(following) > 1.5 * len(line) and not re.search("[。，；]", line)
    opens = following[0].isupper() or following[0] in "\"“'("
    return opens and len(following) > 1.4 * len(line) and words[-1].lower() not in FUNCTION_WORDS


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
