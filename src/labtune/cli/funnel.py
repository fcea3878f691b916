"""The funnel of a generation with a teacher model, as a table with examples of what was dropped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from labtune.cli.tables import GAP, ending
from labtune.cli.text import cells, number, one_line, printable

COLUMNS = {
    "asked": "asked",
    "produced": "made",
    "unparsable": "no form",
    "failed": "failed",
    "judged_out": "judged out",
    "wrong_language": "language",
    "ungrounded": "ungrounded",
    "exam": "exam",
    "duplicate": "twice",
    "generated": "kept",
    "target": "target",
}
"""Keys of the funnel -> headers. `made` are the rows that left the pipeline."""
LEAST_LEAF = 16
SHOWN_LEAVES = 40
SHOWN = 3
NAMED = 0.9
"""Share of its target below which a leaf's likely cause is told."""


def funnel_lines(funnel: Mapping[str, Any], width: int) -> list[str]:
    """The table, leaves with too little and why, and up to three examples of each reason.

    Empty for a funnel of the built-in teacher, which has other steps.
    """
    taught = {path: entry for path, entry in funnel.items() if "end" in entry}
    if not taught:
        return []
    return [*_table(taught, width), *_causes(taught, width), *_reasons(taught, width)]


def _table(funnel: Mapping[str, Any], width: int) -> Iterator[str]:
    ordered = sorted(funnel, key=lambda path: (_share(funnel[path]), path))
    shown = sorted(ordered[:SHOWN_LEAVES])
    rows = [(printable(path), *(number(funnel[path][key]) for key in COLUMNS)) for path in shown]
    if len(funnel) > 1:
        total = (number(sum(entry[key] for entry in funnel.values())) for key in COLUMNS)
        rows.append(("all", *total))
    table = [("leaf", *COLUMNS.values()), *rows]
    widths = [max(cells(row[column]) for row in table) for column in range(len(table[0]))]
    room = width - sum(widths[1:]) - len(GAP) * (len(widths) - 1)
    widths[0] = min(widths[0], max(LEAST_LEAF, room))
    for name, *counts in table:
        leaf = ending(name, widths[0])
        yield GAP.join(
            [
                leaf + " " * (widths[0] - cells(leaf)),
                *(" " * (size - cells(text)) + text for text, size in zip(counts, widths[1:], strict=True)),
            ]
        )
    if len(funnel) > SHOWN_LEAVES:
        yield f"and {len(funnel) - SHOWN_LEAVES} more leaves with more of their target"


def _share(entry: Mapping[str, Any]) -> float:
    share: float = entry["generated"] / max(1, entry["target"])
    return share


def _causes(funnel: Mapping[str, Any], width: int) -> Iterator[str]:
    low = [path for path in sorted(funnel) if funnel[path].get("cause") and _share(funnel[path]) < NAMED]
    if low:
        yield ""
    for path in low[:SHOWN_LEAVES]:
        entry = funnel[path]
        got = f"{number(entry['generated'])} of {number(entry['target'])}"
        yield one_line(f"{path}: {got}, {entry['cause']}", width)
        yield one_line(f"  mend: {entry['remedy']}", width)


def _reasons(funnel: Mapping[str, Any], width: int) -> Iterator[str]:
    counts: Counter[str] = Counter()
    examples: dict[str, list[Mapping[str, Any]]] = {}
    for path in sorted(funnel):
        for name, count in funnel[path].items():
            if name.startswith("rejected:"):
                counts[name.removeprefix("rejected:")] += count
        for reason, rows in funnel[path]["examples"].items():
            examples.setdefault(reason, []).extend(rows)
    if counts:
        yield ""
        yield "dropped:"
    for reason, count in counts.most_common():
        yield f"  {reason}: {number(count)}"
        for row in examples.get(reason, [])[:SHOWN]:
            yield f"    {one_line(_example(row), width - 4)}"


def _example(row: Mapping[str, Any]) -> str:
    """Step, question, answer, and what exactly was wrong, as far as the row got."""
    parts = [f"[{row['step']}]", str(row.get("question") or row.get("context") or "")]
    if row.get("answer"):
        parts.append(f"-> {row['answer']}")
    why = why_dropped(row)
    if why:
        parts.append(f"({why})")
    return " ".join(part for part in parts if part)


def why_dropped(row: Mapping[str, Any]) -> str:
    """What exactly was wrong with a row, or what the judge said that dropped it; may be empty."""
    verdicts = row.get("verdicts") or []
    return str(row.get("detail") or (verdicts[-1].get("reason") if verdicts else ""))
