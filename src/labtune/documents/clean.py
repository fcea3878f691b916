"""Words without markup: what is done to every paragraph, heading, item and table cell.

The same rules serve all formats, because the same residue (reference marks, ligatures, soft hyphens,
brackets emptied by an earlier conversion) turns up in all of them.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

CJK = r"\u2e80-\u2fdf\u3000-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef"
BREAK = "\x0b"
"""A line break the author asked for (`<br>`), as opposed to a wrapped line."""

_LIGATURES = str.maketrans(
    {
        "ﬀ": "ff",
        "ﬁ": "fi",
        "ﬂ": "fl",
        "ﬃ": "ffi",
        "ﬄ": "ffl",
        "ﬅ": "st",
        "ﬆ": "st",
        "\u00a0": " ",
        "\u202f": " ",
    }
)
_INVISIBLE = re.compile(r"[\u00ad\u200b\u200e\u200f\u2060\u2066-\u2069\u202a-\u202e\ufeff\ufffe\uffff]")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_WRAPPED_CJK = re.compile(rf"(?<=[{CJK}])[ \t]*\n[ \t\n]*(?=[{CJK}])")
_REFERENCE = re.compile(
    r"(?<=\S)\s?\[(?:\d{1,3}(?:\s?[,–-]\s?\d{1,3})*|(?:note|nb|注)\s?\d{1,3}"
    r"|citation needed|clarification needed|page needed|来源请求|來源請求)\](?::\d+(?:[–-]\d+)?)?"
    r"|(?<=[.,;:!?\"”')\]])\[[a-z]\]"
)
_EMPTY_BRACKETS = re.compile(r"\s*[(（][\s,;:，；、]*[)）]")
_GAP = re.compile(r"(?<=\w)\s+([,.])(?=\s|$)")
_OPEN_GAP = re.compile(r"([(（])[\s,;]+")
_CLOSE_GAP = re.compile(r"[\s,;]{1,9}([)）])")
_LINK = re.compile(r"!?\[([^\[\]]*)\]\((?:[^()\n]|\([^()\n]*\))*\)")
_STRONG = re.compile(r"(?<!\w)(\*{1,3}|__)(?=\S)([^*\n]+?)(?<=\S)\1(?!\w)|\*\*(?=\S)([^*\n]+?)(?<=\S)\*\*")
_WIKI_LINK = re.compile(r"\[\[(?:[^\[\]|\n]*\|)?([^\[\]|\n]*)\]\]")


def clean_text(raw: str, losses: Counter[str]) -> str:
    """One line of plain words; removed reference marks and suspicious gaps are counted in `losses`."""
    text = _CONTROL.sub("", _INVISIBLE.sub("", raw.replace("\r\n", "\n").translate(_LIGATURES)))
    text = _WRAPPED_CJK.sub("", unicodedata.normalize("NFC", text))
    text = re.sub(r"\s+", " ", text).strip()
    text, count = _REFERENCE.subn("", text)
    losses["footnote"] += count
    text, count = _EMPTY_BRACKETS.subn("", text)
    losses["gap"] += count
    text, count = _GAP.subn(r"\1", text)
    losses["gap"] += count
    text = _CLOSE_GAP.sub(r"\1", _OPEN_GAP.sub(r"\1", text))
    return re.sub(r"\s+", " ", text).strip()


def strip_leftover_markup(text: str) -> str:
    """Take away Markdown that a strict parser leaves as words.

    CommonMark does not see emphasis beside CJK punctuation, nor any Markdown inside HTML blocks, nor links
    whose target holds blanks.
    """
    text = _LINK.sub(r"\1", _WIKI_LINK.sub(r"\1", text))
    return _STRONG.sub(lambda match: match.group(2) or match.group(3), text)


def without_site(title: str) -> str:
    """A page's title without the encyclopedia's name that browsers print after it."""
    return re.sub(r"\s[-–—|]\s(?:Wikipedia|维基百科|維基百科|ウィキペディア|Wikipédia)\b.*$", "", title)


def break_lines(raw: str) -> list[str]:
    """Split at asked-for line breaks, unless the line plainly goes on (verse, a wrapped address)."""
    lines = raw.split(BREAK)
    merged = [lines[0]]
    for line in lines[1:]:
        before, after = merged[-1].rstrip(), line.lstrip()
        if before.endswith((".", "!", "?", "。", "！", "？", ":", "：")) and not after[:1].islower():
            merged.append(line)
        else:
            merged[-1] += "\n" + line
    return merged
