"""`labtune generate --preview N`: what a teacher is asked, what it says, what becomes of it, and the cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from labtune.cli.document import print_document
from labtune.cli.funnel import why_dropped
from labtune.cli.stage import LIBRARY_LOG, checked_budget
from labtune.cli.text import duration, number, one_line, printable

WIDTH = 116
LONGEST_TEXT = 1600
"""Characters of a prompt or reply that are shown; `--json` has all."""


def show_preview(folder: Path, overrides: Sequence[str], *, rows: int, budget: str, as_json: bool) -> None:
    """Try `rows` rows of each leaf and print every step."""
    from labtune.cli.live import live_view
    from labtune.workflow.lab import Lab
    from labtune.workflow.preview import preview

    lab = Lab.open(folder, overrides=overrides, budget=checked_budget(budget))
    with live_view(lab.cache_dir / LIBRARY_LOG) as view:
        found = preview(lab, rows=rows, emit=view.emit)
    if as_json:
        print_document("generate", {"preview": found})
        return
    for line in preview_lines(found):
        typer.echo(printable(line))


def preview_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """The preview for people. A prompt is shown in full the first time a step uses it, later in one line."""
    for leaf in found["leaves"]:
        yield f"== {leaf['leaf']} ({leaf['kind'].replace('_', ' ')}, pipeline {found['pipeline']})"
        told: set[str] = set()
        for index, row in enumerate(leaf["rows"]):
            yield ""
            yield f"-- row {index + 1} of {len(leaf['rows'])}"
            for step in row["steps"]:
                yield from _step_lines(step, told)
        yield ""
        yield from _outcome_lines(leaf)
        yield ""
    yield f"spent for this preview: {_amount(found['spent'])}"
    yield f"estimate for all leaves: {_estimate(found['estimate'])}"
    yield ""
    yield "next:  labtune generate   (these replies are kept: they are not asked or paid for again)"


def _step_lines(step: Mapping[str, Any], told: set[str]) -> Iterator[str]:
    if not (step["calls"] or step["rejected"] or any(step["made"])):
        # A row that only passed.
        return
    question = step["about"].get("question")
    yield f"[{step['step']}]{f' of: {one_line(str(question), WIDTH - 20)}' if question else ''}"
    for call in step["calls"]:
        first = step["step"] not in told
        told.add(step["step"])
        for message in call["messages"] if first else call["messages"][-1:]:
            yield from _text(message["role"], message["content"], whole=first)
        yield from _text(f"{call['role']} says", call["reply"], whole=first)
        yield f"    ({_paid(call)})"
    for verdict in step["verdicts"]:
        yield f"    verdict: {verdict['verdict']}. {one_line(verdict['reason'], WIDTH - 40)}"
    if not step["verdicts"]:
        for made in step["made"]:
            shown = "  ".join(f"{name}: {value}" for name, value in made.items())
            yield f"    made: {one_line(shown, WIDTH - 10)}"
    for rejected in step["rejected"]:
        yield f"    dropped: {rejected['reason']}. {one_line(why_dropped(rejected), WIDTH - 40)}"


def _text(name: str, text: str, *, whole: bool) -> Iterator[str]:
    if not whole:
        yield f"    {name}: {one_line(text, WIDTH - 6 - len(name))}"
        return
    cut = text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]} … ({number(len(text))} characters)"
    yield f"    {name}:"
    for line in cut.splitlines():
        yield f"      | {line}"


def _paid(call: Mapping[str, Any]) -> str:
    where = "from the journal" if call["cached"] else duration(call["seconds"])
    cost = f", {call['cost']:.5f} {call['currency']}" if call["cost"] is not None else ""
    return f"{number(call['prompt_tokens'])} + {number(call['tokens'])} tokens{cost}, {where}"


def _outcome_lines(leaf: Mapping[str, Any]) -> Iterator[str]:
    samples, rejected = leaf["samples"], leaf["rejected"]
    yield f"   kept {len(samples)}, dropped {len(rejected)}; {_amount(leaf['spent'])}"
    for sample in samples:
        turns = sample["messages"]
        yield f"   + {one_line(turns[0]['content'], WIDTH - 5)}"
        yield f"     -> {one_line(turns[-1]['content'], WIDTH - 8)}"
    for one in rejected:
        row = one["row"]
        detail = f" ({row['detail']})" if row.get("detail") else ""
        told = f"{one['reason']}{detail}: {row.get('question', '')}"
        yield f"   - {one_line(told, WIDTH - 5)}"
    yield f"   estimate for its {number(leaf['funnel']['target'])} samples: {_estimate(leaf['estimate'])}"


def _estimate(estimate: Mapping[str, Any] | None) -> str:
    if estimate is None:
        return "none, since nothing was kept of these rows"
    return f"about {_amount(estimate)}, {duration(estimate['seconds'])}"


def _amount(cost: Mapping[str, Any]) -> str:
    tokens = f"{number(cost['prompt_tokens'])} prompt and {number(cost['tokens'])} reply tokens"
    money = f"{cost['cost']:.4f} {cost['currency']}" if cost["cost"] is not None else "price not known"
    return f"{number(cost['requests'])} requests, {tokens}, {money}"
