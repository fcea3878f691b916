"""Scores as a table that fits a terminal, is readable in a log file, and lines up in any script."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from labtune.cli.text import cells, printable

Style = Callable[[str, str], str]
"""(text, verdict) -> the text in the verdict's colour, or as it is."""

LEAST_LEAF, MOST_LEAF = 16, 60
"""Columns of the leaf's name."""
HEADER = ("leaf", "n", "base", "tuned", "95 %", "choice", "F1", "stops", "verdict")
LEFT = (0, 8)
GAP = "  "


def score_table(scores: Mapping[str, Any], style: Style, width: int) -> list[str]:
    """Lines of the table: a row for each leaf, the total, and what was kept.

    `base` and `tuned` are shares of right answers, `95 %` is the interval of `tuned`; `choice` (multiple
    choice), `F1` and `stops` (answers that ended by themselves) are the tuned student's. Leaves' paths are
    cut at their beginning where a line would be longer than `width` columns.
    """
    rows = [_row(path, entry) for path, entry in sorted(scores["leaves"].items())]
    if len(rows) > 1:
        rows.append(_row("all", scores["total"]))
    table = [HEADER, *rows]
    widths = [max(cells(row[column]) for row in table) for column in range(len(HEADER))]
    room = width - sum(widths[1:]) - len(GAP) * (len(widths) - 1)
    widths[0] = min(widths[0], max(LEAST_LEAF, min(MOST_LEAF, room)))
    lines = [_line((ending(row[0], widths[0]), *row[1:]), widths, style) for row in table]
    return [*lines, "", kept_line(scores)]


def kept_line(scores: Mapping[str, Any]) -> str:
    """What the student kept of what it knew before."""
    kept = scores["retention"]
    if kept.get("ratio") is None:
        return "kept: not measured, the general exam has no question"
    return (
        f"kept: general exam {_percent(kept['base'])} right before, {_percent(kept['tuned'])} after; "
        f"retention {kept['ratio']:.1%}"
    )


def _row(path: str, entry: Mapping[str, Any]) -> tuple[str, ...]:
    base, tuned = entry["base"], entry["tuned"]
    return (
        printable(path),
        str(tuned["n"]),
        _percent(base["right"]),
        _percent(tuned["right"]),
        _interval(tuned),
        _percent(tuned.get("mc")),
        _decimal(tuned.get("f1")),
        _percent(tuned.get("stop_rate")),
        str(entry.get("verdict") or "").replace("_", " "),
    )


def _interval(score: Mapping[str, Any]) -> str:
    bounds = score.get("right_interval")
    return f"{100 * bounds[0]:.0f}-{100 * bounds[1]:.0f}" if bounds else ""


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.0%}"


def _decimal(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def ending(path: str, width: int) -> str:
    """The end of a path, which tells more than its beginning."""
    if cells(path) <= width:
        return path
    kept = path
    while cells(kept) > width - 1:
        kept = kept[1:]
    return "…" + kept


def _line(row: Sequence[str], widths: Sequence[int], style: Style) -> str:
    parts = []
    for column, (text, width) in enumerate(zip(row, widths, strict=True)):
        padding = " " * (width - cells(text))
        shown = style(text, text) if column == len(row) - 1 else text
        parts.append(shown + padding if column in LEFT else padding + shown)
    return GAP.join(parts).rstrip()
