"""The end of a stage command: what was done, what was learned and kept, where it lies, what to type next."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shutil import get_terminal_size
from typing import Any

import typer

from labtune.cli.funnel import funnel_lines
from labtune.cli.tables import score_table
from labtune.cli.text import has_colours, one_line, printable
from labtune.errors import GateError

LOG_WIDTH = 120
SHOWN_ANSWERS = 3
COLOURS = {"learned": typer.colors.GREEN, "not learned": typer.colors.YELLOW, "forgotten": typer.colors.RED}
PLACES = (
    ("generate/samples.jsonl", "samples"),
    ("generate/rejected.jsonl", "what was dropped, and why"),
    ("mix", "training rows"),
    ("train/model", "tuned model"),
    ("evaluate/scores.json", "scores"),
    ("evaluate/answers.jsonl", "every question with its answers"),
)


@dataclass(frozen=True, slots=True)
class Result:
    """What a command brought about.

    Attributes:
        run_dir: folder of the run.
        stages: name, state, summary, seconds, counts and path of each stage.
        scores: the score report, once there is one.
        answers: rows of `answers.jsonl`.
        nothing_done: every stage was up to date.
        funnel: of each leaf, when the command was `generate`.
    """

    run_dir: Path
    stages: Sequence[Mapping[str, Any]]
    scores: Mapping[str, Any] | None
    answers: Sequence[Mapping[str, Any]]
    nothing_done: bool
    funnel: Mapping[str, Any] = field(default_factory=dict)

    def document(self, gate: GateError | None) -> dict[str, Any]:
        """The fields of the JSON document; `error` is there when a gate was missed."""
        fields: dict[str, Any] = {
            "run": self.run_dir.name,
            "path": self.run_dir,
            "up_to_date": self.nothing_done,
            "stages": list(self.stages),
        }
        if self.scores is not None:
            fields["scores"] = self.scores
        if self.funnel:
            fields["funnel"] = self.funnel
        if gate is not None:
            fields["error"] = {
                "kind": type(gate).__name__,
                "message": gate.message,
                "hint": gate.hint,
                "exit_code": gate.exit_code,
            }
        return fields

    def show(self) -> None:
        """Print it for people."""
        lines: list[str] = []
        if self.nothing_done:
            lines.append(f"everything is up to date: {_place(self.run_dir)}")
        if self.scores is not None:
            lines += [
                "",
                *score_table(self.scores, _coloured if has_colours(sys.stdout) else _plain, _width()),
            ]
            lines += ["", *self._told_answers()]
        lost = funnel_lines(self.funnel, _width())
        lines += ["", *lost] if lost else []
        lines += ["", *self._places(), "", f"next:  {self._next()}"]
        for line in lines:
            typer.echo(line)

    def _told_answers(self) -> list[str]:
        lines, width = [], _width()
        for row in pick_answers(self.answers, SHOWN_ANSWERS):
            lines.append(f"  {one_line(str(row['question']), width - 2)}")
            lines.append(f"    -> {one_line(str(row['tuned']['answer']), width - 15)} ({_mark(row)})")
        return ["questions to the tuned student:", *lines] if lines else []

    def _places(self) -> list[str]:
        found = [(name, what) for name, what in PLACES if (self.run_dir / name).exists()]
        folder = _place(self.run_dir)
        width = max((len(f"{folder}/{name}") for name, _ in found), default=0)
        return [f"{f'{folder}/{name}':{width}}  {what}" for name, what in found]

    def _next(self) -> str:
        if self.scores is not None:
            return 'labtune chat   or   labtune chat -q "..."'
        return "labtune run"


def pick_answers(rows: Sequence[Mapping[str, Any]], count: int) -> list[Mapping[str, Any]]:
    """Some of the tuned student's answers, evenly spread over the test questions, the same ones each time."""
    tested = [row for row in rows if row["split"] == "test"]
    if len(tested) <= count:
        return tested
    return [tested[(2 * index + 1) * len(tested) // (2 * count)] for index in range(count)]


def _mark(row: Mapping[str, Any]) -> str:
    return "right" if row["tuned"]["right"] else "wrong"


def _width() -> int:
    """Columns that a line should not exceed."""
    return get_terminal_size().columns if sys.stdout.isatty() else LOG_WIDTH


def _place(path: Path) -> str:
    """A path as one would type it here."""
    here = Path.cwd()
    return printable(str(path.relative_to(here) if path.is_relative_to(here) else path))


def _coloured(text: str, verdict: str) -> str:
    return typer.style(text, fg=COLOURS[verdict]) if verdict in COLOURS else text


def _plain(text: str, _verdict: str) -> str:
    return text
