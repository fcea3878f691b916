"""Text that others wrote (taxonomies, documents, models), made fit for a terminal."""

from __future__ import annotations

import os
import unicodedata
from typing import TextIO

_KEPT = frozenset("\n\t")
# Bidirectional overrides and isolates: with them a line can read as something that it does not say.
_REORDERING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def printable(text: str) -> str:
    """Replace control characters, so that no text can move the cursor, recolour or retitle the terminal."""
    if text.isprintable():
        return text
    return "".join(
        "\ufffd" if unicodedata.category(character) == "Cc" and character not in _KEPT else character
        for character in text
        if character not in _REORDERING
    )


def cells(text: str) -> int:
    """Terminal columns that `text` takes: wide characters take two, combining ones none."""
    return sum(_cell(character) for character in text)


def _cell(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def one_line(text: str, width: int) -> str:
    """`text` on one line of at most `width` columns, cut with an ellipsis."""
    flat = " ".join(printable(text).split())
    if cells(flat) <= width:
        return flat
    kept, used = [], 0
    for character in flat:
        used += _cell(character)
        if used > width - 1:
            break
        kept.append(character)
    return "".join(kept).rstrip() + "…"


def duration(seconds: float) -> str:
    """`0.4 s`, `12 s`, `3:05 min`, `2:10:00 h`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d} h" if hours else f"{minutes}:{rest:02d} min"


def number(value: float) -> str:
    """A count with thousands separated, such as `12,408`."""
    return f"{value:,.0f}"


def has_colours(stream: TextIO) -> bool:
    """Whether colours fit: a terminal that knows them, and no NO_COLOR."""
    return stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
