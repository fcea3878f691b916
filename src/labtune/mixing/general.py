"""The general replay set: chats about what a student already knows, so that tuning does not wash it away."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from labtune.artifact import read_jsonl
from labtune.errors import DataError
from labtune.types import Message


@dataclass(frozen=True, slots=True)
class GeneralRow:
    """One chat of the general set. `id` is its place in the file; category and language are its strata."""

    id: str
    messages: tuple[Message, ...]
    category: str
    language: str


def load_general(path: Path) -> list[GeneralRow]:
    """Read a replay set: JSONL (or .jsonl.gz) of `{"messages": [...], "category": ..., "language": ...}`.

    Raises:
        DataError: missing file, or a row that is no chat ending with an answer (file and row named).
    """
    return [_row(path, number, value) for number, value in enumerate(read_jsonl(path), 1)]


def load_questions(path: Path) -> list[str]:
    """The questions of a general exam file (JSONL with `question`), which no training row may ask.

    Raises:
        DataError: missing file, or a row without a question.
    """
    questions: list[str] = []
    for number, value in enumerate(read_jsonl(path), 1):
        question = value.get("question") if isinstance(value, dict) else None
        if not isinstance(question, str):
            raise DataError(f"{path} row {number} has no question")
        questions.append(question)
    return questions


def _row(path: Path, number: int, value: object) -> GeneralRow:
    turns = value.get("messages") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(turns, list) or not turns:
        raise DataError(f"{path} row {number} has no messages")
    messages: list[Message] = []
    for turn in turns:
        role = turn.get("role") if isinstance(turn, dict) else None
        content = turn.get("content") if isinstance(turn, dict) else None
        if role not in ("system", "user", "assistant") or not isinstance(content, str) or not content.strip():
            raise DataError(f"{path} row {number}: every message needs a role and content")
        messages.append(Message(role, content))
    if messages[-1].role != "assistant":
        raise DataError(f"{path} row {number} does not end with an answer")
    return GeneralRow(
        f"general-{number:06d}",
        tuple(messages),
        str(value.get("category", "general")),
        str(value.get("language", "en")),
    )
