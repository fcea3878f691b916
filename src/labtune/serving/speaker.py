"""Whoever a chat is held with: a model in this process, or one that a server keeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from labtune.models.stream import TextStream
from labtune.protocols import Sampling
from labtune.types import Message


class Speaker(Protocol):
    """A model that one talks to."""

    @property
    def context_length(self) -> int | None:
        """Tokens that prompt and answer may have together; None when nobody says."""
        ...

    def count(self, chat: Sequence[Message]) -> int:
        """Tokens of a chat as the model sees it, up to the point where it begins to answer."""
        ...

    def stream(self, chat: Sequence[Message], sampling: Sampling) -> TextStream:
        """Answer a chat, piece by piece. Raises ModelError, with the first piece or later."""
        ...
