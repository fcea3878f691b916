"""Conversations kept by name: one small JSON file each, replaced as a whole after every turn."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from labtune.artifact import write_json
from labtune.errors import DataError, UserError
from labtune.types import Message

SCHEMA = 1
_NAME = re.compile(r"\w[\w.-]{0,63}")
_ROLES = ("user", "assistant")


@dataclass(frozen=True, slots=True)
class Conversation:
    """What is kept of a chat.

    Attributes:
        name: its name.
        system: system prompt, or None.
        turns: questions and answers, oldest first.
        live: the model that answered last, in one line.
        unanswered: a last question that no answer was kept for, or None.
    """

    name: str
    system: str | None
    turns: tuple[Message, ...]
    live: str
    unanswered: str | None = None


class ConversationStore:
    """The conversations in a folder, which is made when the first is kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, name: str) -> Path:
        """The file of a conversation.

        Raises:
            UserError: the name could not be a file's everywhere.
        """
        if not _NAME.fullmatch(name):
            raise UserError(
                f"{name!r} is no name for a conversation",
                hint="letters, digits, _, - and ., beginning with a letter or digit, at most 64",
            )
        return self.folder / f"{name}.json"

    def names(self) -> list[str]:
        """All names, the one changed last at the end."""
        found = [path for path in self.folder.glob("*.json") if _NAME.fullmatch(path.stem)]
        return [path.stem for path in sorted(found, key=lambda path: (path.stat().st_mtime_ns, path.stem))]

    def save(self, name: str, *, system: str | None, turns: Sequence[Message], live: str) -> Path:
        """Keep a conversation, in place of what was kept under this name."""
        path = self.path(name)
        write_json(
            path,
            {
                "schema": SCHEMA,
                "system": system,
                "messages": [asdict(turn) for turn in turns],
                "model": live,
                "saved_at": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            },
        )
        return path

    def load(self, name: str) -> Conversation:
        """Read a conversation; a last question without an answer is taken off and told apart.

        Raises:
            UserError: there is none of this name.
            DataError: its file is damaged.
        """
        path = self.path(name)
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
            turns = [_turn(item) for item in value["messages"]]
            system, live = value["system"], str(value["model"])
        except FileNotFoundError as error:
            known = ", ".join(self.names()) or "none yet"
            raise UserError(f"there is no conversation {name!r}", hint=f"kept: {known}") from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path} holds no conversation that can be read: {error}") from error
        unanswered = turns.pop().content if turns and turns[-1].role == "user" else None
        return Conversation(name, system or None, tuple(turns), live, unanswered)


def _turn(value: Any) -> Message:
    if value["role"] not in _ROLES or not isinstance(value["content"], str):
        raise ValueError("a message is neither a question nor an answer")
    return Message(value["role"], value["content"])
