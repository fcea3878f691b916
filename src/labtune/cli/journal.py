"""`labtune journal`: look into the replies that teachers gave, take them out, and clean up."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labtune.cli.document import print_document
from labtune.cli.group import LightGroup
from labtune.cli.options import HERE, JsonOption, LabOption
from labtune.cli.text import one_line, printable
from labtune.errors import UserError

if TYPE_CHECKING:
    from labtune.models.journal_file import Entry, JournalFile, ModelTotals

UNITS = {"m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
LIST_WIDTH = 100
LISTED = 20

app = typer.Typer(cls=LightGroup, add_completion=False, rich_markup_mode=None, no_args_is_help=True)
ModelOption = Annotated[
    str | None, typer.Option("--model", metavar="NAME", help="Only this model's.", show_default=False)
]


@app.callback()
def _journal() -> None:
    """Look into the replies that teachers gave, take them out, and clean up."""


@app.command(short_help="Count replies, tokens and money by model.")
def stats(lab: LabOption = HERE, as_json: JsonOption = False) -> None:
    """Count replies, failures, tokens and money by model, and say how big the journal is."""
    from labtune.models.journal_file import JournalFile, size_bytes

    path = _path(lab)
    totals: list[ModelTotals] = []
    if path.exists():
        with JournalFile(path) as journal:
            totals = journal.totals()
    if as_json:
        models = [asdict(one) for one in totals]
        print_document("journal stats", {"path": path, "bytes": size_bytes(path), "models": models})
    elif not totals:
        typer.echo(f"no reply yet: no endpoint was asked in this lab ({path})")
    else:
        typer.echo("\n".join(_table(totals)))
        typer.echo(f"\n{path}   {_bytes(size_bytes(path))}")


@app.command(short_help="Show a request and its reply.")
def show(
    key: Annotated[str, typer.Argument(metavar="KEY", help="Key of a reply, or how it begins.")],
    lab: LabOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Show a request and its reply. A prefix that fits several keys lists them."""
    if not re.fullmatch(r"[0-9a-fA-F]{1,32}", key):
        raise UserError(f"{key!r} is no key: keys are up to 32 hex digits", hint="labtune journal export")
    with _open(lab) as journal:
        entries = journal.find(key, LISTED + 1)
    if not entries:
        raise UserError(f"the journal has no reply whose key begins with {key}", hint="labtune journal stats")
    if as_json:
        print_document("journal show", {"entries": [entry.document() for entry in entries[:LISTED]]})
    elif len(entries) == 1:
        typer.echo(_page(entries[0]))
    else:
        typer.echo("\n".join(_line(entry) for entry in entries[:LISTED]))
        if len(entries) > LISTED:
            typer.echo(f"... and more: give more digits than {key}")


@app.command(short_help="Write all replies as JSON lines.")
def export(
    target: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="Where to; without it, stdout.", show_default=False)
    ] = None,
    lab: LabOption = HERE,
    model: ModelOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write all requests and replies as JSON lines, in the order in which they came.

    --json tells of the file that was written; without FILE the lines themselves are the output.
    """
    if as_json and target is None:
        raise UserError("--json needs a FILE, since the lines are on stdout otherwise")
    with _open(lab) as journal:
        if target is not None:
            number = journal.export(target, model)
            if as_json:
                print_document("journal export", {"path": target, "replies": number})
            typer.echo(f"wrote {number:,} replies to {target}", err=True)
            return
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]
        for entry in journal.entries(model):
            sys.stdout.write(json.dumps(entry.document(), ensure_ascii=False) + "\n")


@app.command(short_help="Forget replies by age, model or last use.")
def prune(
    older_than: Annotated[
        str | None,
        typer.Option("--older-than", metavar="AGE", help="Given longer ago than: 90m, 12h, 30d, 8w."),
    ] = None,
    unused_for: Annotated[
        str | None,
        typer.Option("--unused-for", metavar="AGE", help="Not used by any run for: 90m, 12h, 30d, 8w."),
    ] = None,
    model: ModelOption = None,
    failed: Annotated[
        bool, typer.Option("--failed", help="Only failures, so that they are asked again.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
    lab: LabOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Forget the replies for which all given conditions hold; what a run needs of them is paid for again."""
    from labtune.models.journal_file import Pruned, PruneRule, size_bytes

    if older_than is None and unused_for is None and model is None and not failed:
        raise UserError("say what to forget", hint="labtune journal prune --unused-for 30d")
    rule = PruneRule(_before(older_than, "--older-than"), _before(unused_for, "--unused-for"), model, failed)
    with _locked(lab), _open(lab) as journal:
        if dry_run:
            gone, size = journal.count(rule), size_bytes(journal.path)
            pruned = Pruned(gone, journal.count(PruneRule()) - gone, size, size)
        else:
            pruned = journal.prune(rule)
    if as_json:
        print_document("journal prune", {"dry_run": dry_run, **asdict(pruned)})
        return
    done = "would forget" if dry_run else "forgot"
    typer.echo(f"{done} {pruned.removed:,} replies, {pruned.left:,} left")
    if not dry_run:
        typer.echo(f"{_bytes(pruned.bytes_before)} before, {_bytes(pruned.bytes_after)} now")


def _path(folder: Path) -> Path:
    from labtune.models.journal_file import JOURNAL_FILE
    from labtune.workflow.lab import Lab

    return Lab.open(folder).cache_dir / JOURNAL_FILE


def _open(folder: Path) -> JournalFile:
    from labtune.models.journal_file import JournalFile

    path = _path(folder)
    if not path.exists():
        raise UserError(f"there is no journal yet: no endpoint was asked in this lab ({path})")
    return JournalFile(path)


def _locked(folder: Path) -> AbstractContextManager[None]:
    from labtune.workflow.lab import Lab

    return Lab.open(folder).locked()


def _before(age: str | None, flag: str) -> float | None:
    if age is None:
        return None
    match = re.fullmatch(r"(\d{1,6})([mhdw])", age.strip())
    if match is None:
        raise UserError(
            f"{flag} {age!r} is no age", hint=f"such as {flag} 30d (m minutes, h hours, d days, w weeks)"
        )
    return time.time() - int(match[1]) * UNITS[match[2]]


def _table(totals: Sequence[ModelTotals]) -> list[str]:
    header = ("model", "replies", "failed", "prompt tokens", "tokens", "cost", "mean s", "newest")
    rows = [header]
    for one in totals:
        cost = f"{one.cost:,.2f} {one.currency}" if one.unpriced < one.replies else "not priced"
        rows.append(
            (
                one_line(one.model, 50), f"{one.replies:,}", f"{one.failures:,}", f"{one.prompt_tokens:,}",
                f"{one.tokens:,}", cost, f"{one.mean_latency_s:.2f}", one.newest,
            )
        )  # fmt: skip
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    return [
        "  ".join(
            text.ljust(width) if column == 0 else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def _line(entry: Entry) -> str:
    answer = entry.error or entry.reply.text
    return one_line(f"{entry.key}  {entry.model}  {answer}", LIST_WIDTH)


def _page(entry: Entry) -> str:
    request, reply = json.loads(entry.request), entry.reply
    cost = "not priced" if reply.cost is None else f"{reply.cost:.6f} {reply.currency}"
    sampling = ", ".join(f"{name} {value}" for name, value in request["sampling"].items())
    document = entry.document()
    lines = [
        f"key       {entry.key}",
        f"model     {entry.model}" + (f" (served as {reply.model})" if reply.model else ""),
        f"asked     {document['created']}, {reply.latency_s:.2f} s; last used {document['used']}",
        f"sampling  {sampling}, index {request['index']}",
        f"tokens    {reply.n_prompt_tokens:,} prompt, {reply.n_tokens:,} completion; cost {cost}",
        f"finish    {reply.finish or ('stop' if reply.stopped else 'length')}",
    ]
    if request["schema"] is not None:
        lines.append(f"schema    {json.dumps(request['schema'], ensure_ascii=False)}")
    for message in request["messages"]:
        lines += ["", f"--- {message['role']}", message["content"]]
    lines += ["", "--- failed" if entry.error else "--- reply", entry.error or reply.text]
    return printable("\n".join(lines))


def _bytes(size: int) -> str:
    if size < 1 << 20:
        return f"{size / 1024:.0f} KiB"
    return f"{size / (1 << 20):.1f} MiB" if size < 1 << 30 else f"{size / (1 << 30):.2f} GiB"
