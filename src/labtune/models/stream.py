"""One reply as it is being written."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field


@dataclass(slots=True)
class TextStream(Iterator[str]):
    """The pieces of a reply in the order they come; joined they are the reply.

    Attributes:
        n_prompt_tokens: tokens of the rendered chat; 0 until the first piece, or where it is not told.
        n_tokens: new tokens so far, the end token included once it came.
        stopped: whether the reply ended with its end token; known after the last piece.
    """

    n_prompt_tokens: int = 0
    n_tokens: int = 0
    stopped: bool = False
    pieces: Generator[str, None, None] | None = field(default=None, repr=False)

    def __next__(self) -> str:
        if self.pieces is None:
            raise StopIteration
        return next(self.pieces)

    def close(self) -> None:
        """Stop writing; what came so far stays."""
        if self.pieces is not None:
            self.pieces.close()
