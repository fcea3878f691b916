"""InstructLab's `messages` files: one JSON object a line with a chat, its metadata and its `unmask` flag.

A line is `{"messages": [{"content": .., "role": ..}], "metadata": "<JSON text>", "id": .., "unmask": ..}`.
Every field but `messages` may be absent. A row of plain text is a single turn of the role `pretraining`;
older files wrap a question and its answer in such a turn, and are read as the chat they mean.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labtune.artifact import content_hash, write_text
from labtune.errors import DataError
from labtune.types import Json, Message

SUFFIXES = (".jsonl", ".jsonl.gz")
PLAIN = "pretraining"
_ROLES = ("system", "user", "assistant")
_WRAPPED = re.compile(r"<\|user\|>\n(.*?)\n<\|assistant\|>\n(.*)", re.DOTALL)
_BINARY = {
    b"PAR1": "a Parquet file",
    b"\x80": "a Python pickle, which can run code when it is read",
    b"PK": "an archive",
    b"\x1f\x8b": "a gzip file",
}


@dataclass(frozen=True, slots=True)
class ChatRow:
    """One line of a messages file.

    Attributes:
        place: `file:line`.
        id: the line's own, or "".
        messages: the chat; empty for plain text.
        text: the plain text; empty for a chat.
        unmask: whether the user's turns are trained as well as the answers.
        columns: the line's JSON with null in place of what is trained, so that it can be written again.
    """

    place: str
    id: str
    messages: tuple[Message, ...]
    text: str
    unmask: bool
    columns: str

    @property
    def content(self) -> str:
        """Identity by what is trained: equal rows are one row."""
        return content_hash(self.messages, self.text, self.unmask)[:24]


def read_chats(path: Path, name: str) -> Iterator[ChatRow]:
    """Read a messages file line by line; blank lines are skipped.

    Args:
        path: `.jsonl` or `.jsonl.gz`.
        name: what messages call the file.

    Raises:
        DataError: the file cannot be read, or a line is no chat; the message names file and line.
    """
    for number, line in enumerate(_lines(path, name), 1):
        if line.strip():
            yield _row(_parse(line, f"{name}:{number}"), f"{name}:{number}")


def count_lines(path: Path, name: str) -> int:
    """Lines of a messages file that are not blank. Raises DataError when it cannot be read."""
    return sum(1 for line in _lines(path, name) if line.strip())


def write_chats(path: Path, rows: Iterable[Mapping[str, object]]) -> int:
    """Write rows as InstructLab does (compact, slashes escaped); returns how many there were."""
    lines = [encode(row) for row in rows]
    write_text(path, "".join(f"{line}\n" for line in lines))
    return len(lines)


def encode(row: Mapping[str, object]) -> str:
    """The line of a row, as pandas writes it for InstructLab: files stay equal byte by byte."""
    text = json.dumps(row, ensure_ascii=False, separators=(",", ":"))
    # In JSON a slash stands in strings only.
    return text.replace("/", "\\/")


def restore(columns: str, messages: Iterable[Message], text: str) -> dict[str, Any]:
    """The object of a line that was read: `columns` with what was taken out put back."""
    value: dict[str, Any] = json.loads(columns)
    contents = iter([turn.content for turn in messages])
    for turn in value["messages"]:
        if turn["content"] is None and turn["role"] == PLAIN:
            turn["content"] = text or f"<|user|>\n{next(contents)}\n<|assistant|>\n{next(contents)}"
        elif turn["content"] is None:
            turn["content"] = next(contents)
    return value


def _lines(path: Path, name: str) -> Iterator[bytes]:
    try:
        with path.open("rb") as raw:
            head = raw.read(4)
            raw.seek(0)
            zipped = path.suffix == ".gz"
            for magic, what in _BINARY.items():
                if head.startswith(magic) and not (zipped and magic == b"\x1f\x8b"):
                    raise DataError(
                        f"{name} is {what}; a source is JSON lines of messages", hint="write it as .jsonl"
                    )
            yield from gzip.GzipFile(fileobj=raw) if zipped else raw
    except FileNotFoundError as error:
        raise DataError(f"{name} is missing") from error
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{name} cannot be read: {error}") from error


def _parse(line: bytes, place: str) -> dict[str, Any]:
    try:
        value = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise DataError(f"{place} is not UTF-8 text") from error
    except json.JSONDecodeError as error:
        raise DataError(f"{place} is not JSON: {error.msg} (column {error.colno})") from error
    except RecursionError as error:
        raise DataError(f"{place} is nested too deeply") from error
    if not isinstance(value, dict):
        raise DataError(f"{place} is not an object with messages")
    return value


def _row(value: dict[str, Any], place: str) -> ChatRow:
    turns = value.get("messages")
    if not isinstance(turns, list) or not turns:
        raise DataError(f"{place} has no messages")
    unmask = value.get("unmask")
    if unmask is not None and not isinstance(unmask, bool):
        raise DataError(f"{place}: unmask is {json.dumps(unmask)[:40]}, not true or false")
    said = [_turn(turn, f"{place}: message {number}") for number, turn in enumerate(turns, 1)]
    frame = [dict(turn) for turn in turns]
    messages, text = _chat(said, frame, place)
    if frame[-1]["role"] == PLAIN:
        unmask = True
    columns = encode({**value, "messages": frame})
    try:
        columns.encode()
        "".join(content for _, content in said).encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{place} holds half a character (a lone surrogate)") from error
    return ChatRow(place, _text(value.get("id")), messages, text, bool(unmask), columns)


def _turn(turn: object, place: str) -> tuple[str, str]:
    if not isinstance(turn, dict):
        raise DataError(f"{place} is not an object with role and content")
    role, content = turn.get("role"), turn.get("content")
    if role not in (*_ROLES, PLAIN):
        raise DataError(
            f"{place} has the unknown role {json.dumps(role, ensure_ascii=False)[:40]}",
            hint=f"roles: {', '.join((*_ROLES, PLAIN))}",
        )
    if not isinstance(content, str):
        raise DataError(f"{place} has no content")
    if not content.strip() and role != "system":
        raise DataError(f"{place} ({role}) is empty")
    for key, extra in turn.items():
        if key not in ("role", "content") and extra:
            raise DataError(f"{place} has {key!r}, which labtune cannot train")
    return role, content


def _chat(
    said: list[tuple[str, str]], frame: list[dict[str, Json]], place: str
) -> tuple[tuple[Message, ...], str]:
    """What is trained; in `frame` its contents become null."""
    roles = [role for role, _ in said]
    if PLAIN in roles:
        if roles.index(PLAIN) != len(roles) - 1 or set(roles[:-1]) - {"system"}:
            raise DataError(f"{place}: a turn of the role {PLAIN} stands alone")
        frame[-1]["content"] = None
        wrapped = _WRAPPED.fullmatch(said[-1][1])
        if wrapped is None or not (wrapped[1].strip() and wrapped[2].strip()):
            return (), said[-1][1]
        return (Message("user", wrapped[1]), Message("assistant", wrapped[2])), ""
    if roles[-1] != "assistant":
        raise DataError(f"{place} does not end with an answer")
    if "user" not in roles:
        raise DataError(f"{place} asks nothing: it has no user's turn")
    messages = []
    for (role, content), turn in zip(said, frame, strict=True):
        # InstructLab keeps empty system turns; they say nothing to a student.
        if content.strip():
            messages.append(Message(role, content))  # type: ignore[arg-type]
            turn["content"] = None
    return tuple(messages), ""


def _text(value: object) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)
