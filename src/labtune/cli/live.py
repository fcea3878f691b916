"""The live view of a run, on stderr: a moving block on a terminal, one throttled line at a time elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from labtune.cli.noise import libraries_to
from labtune.cli.progress import Progress
from labtune.cli.text import duration, one_line, printable
from labtune.types import Json

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

PLAIN_SECONDS = 5.0
"""Least time between two progress lines where there is no terminal."""

LOG_WIDTH = 120

Listener = Callable[["View", str, Mapping[str, Json]], None]


class View:
    """Shows events as they come and prints lines that stay above them.

    Args:
        console: where to draw.
        listeners: called with each event after the state took it in; they print what should stay.
        clock: seconds, for throttling.
    """

    def __init__(
        self, console: Console, listeners: Sequence[Listener], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.console = console
        self.progress = Progress(clock)
        self._listeners = listeners
        self._clock = clock
        self._moving = console.is_terminal and not console.is_dumb_terminal
        self._printed = float("-inf")
        self._status = ""

    @property
    def width(self) -> int:
        """Columns that a line should not exceed; a log file has more of them than many terminals."""
        return self.console.width if self._moving else LOG_WIDTH

    def emit(self, event: str, fields: Mapping[str, Json]) -> None:
        """Take in one event (this is the sink that stages get)."""
        self.progress.update(event, fields)
        for listen in self._listeners:
            listen(self, event, fields)
        if not self._moving:
            self._print_now_and_then(event)

    def say(self, text: str = "", style: str = "") -> None:
        """Print a line that stays. Control characters are shown, never obeyed."""
        from rich.text import Text

        self.console.print(Text(printable(text), style=style), soft_wrap=not self._moving, highlight=False)

    @contextmanager
    def shown(self) -> Iterator[View]:
        """Draw while the block runs."""
        if not self._moving:
            yield self
            return
        from rich.live import Live

        with Live(
            get_renderable=self._render,
            console=self.console,
            transient=True,
            refresh_per_second=8,
            redirect_stdout=False,
            redirect_stderr=False,
        ):
            yield self

    def _print_now_and_then(self, event: str) -> None:
        if event in ("stage.start", "train.phase") or self._clock() - self._printed >= PLAIN_SECONDS:
            status = self.progress.status()
            if status and status != self._status:
                self.console.print(status, soft_wrap=True, markup=False, highlight=False)
                self._printed, self._status = self._clock(), status

    def _render(self) -> RenderableType:
        from rich.console import Group
        from rich.text import Text

        progress, width = self.progress, self.console.width
        if not progress.stage:
            return Text()
        frame = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"[int(self._clock() * 8) % 10]
        elapsed = duration(progress.elapsed)
        status = Text(f"{frame} ", "green").append(progress.status(width - len(elapsed) - 6), "bold")
        lines: list[RenderableType] = [status.append(f" · {elapsed}", "dim")]
        if progress.share is not None:
            length = min(50, width - 10)
            full = round(progress.share * length)
            bar = Text("  ").append("━" * full, "green").append("─" * (length - full), "dim")
            lines.append(bar.append(f" {progress.share:4.0%}"))
        for entry in progress.leaves:
            told = f"{entry.get('leaf')}: {entry.get('kept')} of {entry.get('target')}"
            lines.append(Text(f"  {one_line(told, width - 3)}", style="dim", no_wrap=True))
        if progress.sample is not None:
            question, answer = progress.sample
            lines.append(Text(f"  Q {one_line(question, width - 5)}", style="dim", no_wrap=True))
            lines.append(Text(f"  A {one_line(answer, width - 5)}", style="dim", no_wrap=True))
        return Group(*lines)


@contextmanager
def live_view(log: Path, listeners: Sequence[Listener] = ()) -> Iterator[View]:
    """A view on the real stderr, while everything that libraries print goes to `log`."""
    from rich.console import Console

    with libraries_to(log) as stream, View(Console(file=stream, highlight=False), listeners).shown() as view:
        yield view
