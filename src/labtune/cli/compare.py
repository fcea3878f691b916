"""Two models answer one question: side by side on a terminal, one after the other elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from labtune.cli.text import printable

if TYPE_CHECKING:
    from rich.console import RenderableType

    from labtune.models.stream import TextStream
    from labtune.protocols import Sampling
    from labtune.serving.session import ChatSession
    from labtune.workflow.voices import Voice

LEAST_COLUMNS = 60
"""Width below which two columns of text are no pleasure to read."""


@dataclass(slots=True)
class Reading:
    """One model's answer as far as it came. `dropped` earlier messages did not fit its context."""

    voice: Voice
    stream: TextStream
    dropped: int
    text: str = ""
    ended: bool = False

    def step(self) -> None:
        """Take the next piece in."""
        piece = next(self.stream, None)
        if piece is None:
            self.ended = True
        else:
            self.text += piece


def compare(
    voices: Sequence[Voice],
    session: ChatSession,
    question: str,
    sampling: Sampling,
    write: Callable[[str], None],
    *,
    drawn: bool = True,
) -> list[Reading]:
    """Ask all of `voices` and show their answers; `session` is not changed. Ctrl-C keeps what came so far.

    Args:
        voices: who answers.
        session: the conversation before the question.
        question: what both are asked.
        sampling: how answers are decoded.
        write: for what is no column.
        drawn: whether columns may be drawn on the terminal.

    Raises:
        UserError: the question does not fit the context of one of them.
        ModelError: one of them cannot answer.
    """
    readings = [_ask(voice, session, question, sampling) for voice in voices]
    with ExitStack() as stack:
        for reading in readings:
            stack.callback(reading.stream.close)
        in_columns = drawn and _has_room()
        with _shown(readings, in_columns) as refresh:
            try:
                # In turn, piece by piece: both columns grow together.
                while not all(reading.ended for reading in readings):
                    for reading in readings:
                        if not reading.ended:
                            reading.step()
                    refresh()
            except KeyboardInterrupt:
                write("(stopped)\n")
    if not in_columns:
        for reading in readings:
            write(f"{printable(reading.voice.live)}:\n{printable(reading.text)}\n")
    return readings


def _ask(voice: Voice, session: ChatSession, question: str, sampling: Sampling) -> Reading:
    own = replace(session, turns=list(session.turns))
    own.adopt(voice.speaker)
    prompt = own.ask(question)
    return Reading(voice, voice.speaker.stream(prompt.messages, sampling), prompt.dropped)


def _has_room() -> bool:
    from rich.console import Console

    console = Console()
    return console.is_terminal and not console.is_dumb_terminal and console.width >= LEAST_COLUMNS


@contextmanager
def _shown(readings: Sequence[Reading], in_columns: bool) -> Iterator[Callable[[], None]]:
    """Draw the columns while the block runs; they stay on the screen."""
    if not in_columns:
        yield lambda: None
        return
    from rich.console import Console
    from rich.live import Live

    with Live(
        columns(readings),
        console=Console(file=sys.stdout),
        refresh_per_second=8,
        redirect_stdout=False,
        redirect_stderr=False,
        vertical_overflow="visible",
    ) as live:
        yield lambda: live.update(columns(readings))


def columns(readings: Sequence[Reading]) -> RenderableType:
    """The answers as columns of equal width, each below its model."""
    from rich.table import Table
    from rich.text import Text

    table = Table(expand=True, show_edge=False, pad_edge=False)
    for reading in readings:
        table.add_column(Text(printable(reading.voice.live)), ratio=1, overflow="fold")
    table.add_row(*(Text(printable(reading.text)) for reading in readings))
    return table
