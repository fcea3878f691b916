"""Bytes of a file that a stranger wrote -> text, or the one finding that says why not."""

from __future__ import annotations

import re

from labtune.taxonomy.problems import Point, Problems

MAX_BYTES = 2 * 1024 * 1024
_UNPRINTABLE = re.compile(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def decode(data: bytes | str, problems: Problems) -> str | None:
    """The text without byte order mark, or None after recording why it cannot be read."""
    if isinstance(data, bytes):
        if len(data) > MAX_BYTES:
            problems.add(
                "Y102",
                Point(),
                f"{len(data):,} bytes",
                f"at most {MAX_BYTES:,} bytes",
                "move long texts into documents; a qna.yaml holds examples",
            )
            return None
        if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
            problems.add("Y103", Point(), "UTF-16 text", "UTF-8", "save the file as UTF-8")
            return None
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            column = error.start - data.rfind(b"\n", 0, error.start)
            problems.add(
                "Y103",
                Point(line, column),
                f"byte 0x{data[error.start]:02x}, which is not UTF-8",
                "UTF-8 text",
                "save the file as UTF-8",
            )
            return None
    else:
        text = data
    text = text.removeprefix("\ufeff")
    if len(text) > MAX_BYTES:
        return decode(text.encode("utf-8", "replace"), problems)
    unprintable = _UNPRINTABLE.search(text)
    if unprintable:
        at = unprintable.start()
        problems.add(
            "Y104",
            point_at(text, at),
            f"control character U+{ord(text[at]):04X}",
            "printable text",
            "delete the character",
        )
        return None
    return text


def point_at(text: str, offset: int) -> Point:
    """Line and column of an offset."""
    return Point(text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset))
