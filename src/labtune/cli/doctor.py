"""`labtune doctor`: what this machine can do."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labtune.cli.document import print_document
from labtune.cli.options import HERE, JsonOption, KeyOption, LabOption, ModelOption, SetOption
from labtune.cli.text import has_colours, printable

if TYPE_CHECKING:
    from labtune.workflow.doctor import Check

COLOURS = {"ok": typer.colors.GREEN, "warn": typer.colors.YELLOW, "fail": typer.colors.RED}


def doctor(
    lab: LabOption = HERE,
    endpoint: Annotated[
        str | None,
        typer.Option(
            "--endpoint", metavar="URL", help="Check a teacher's endpoint instead.", show_default=False
        ),
    ] = None,
    model: ModelOption = None,
    key_env: KeyOption = None,
    student: Annotated[
        str | None,
        typer.Option(
            "--student",
            metavar="ID|PATH",
            help="Show what each tuning method could do here for this student.",
            show_default=False,
        ),
    ] = None,
    sets: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check this machine and the lab, or an endpoint; each line is ok, warn or fail, with what mends it.

    With --student: a table of the tuning methods, whether they fit into this machine's memory and how; of a
    student on the hub only the shapes are fetched.

    Exit code 1 when something is broken that the embedded default needs, or no method fits; 3 when the
    endpoint or the student cannot be used.
    """
    from labtune.workflow.doctor import examine, examine_endpoint

    if student is not None:
        _show_prospects(lab, student, sets or (), as_json=as_json)
        return
    if endpoint is None:
        lines = examine(lab, overrides=sets or ())
    else:
        lines = examine_endpoint(lab, endpoint, model=model, key_env=key_env, overrides=sets or ())
    checks = []
    for check in lines:
        checks.append(check)
        if not as_json:
            _print(check)
    broken = any(check.state == "fail" for check in checks)
    if as_json:
        print_document("doctor", {"healthy": not broken, "checks": checks})
    raise typer.Exit(1 if broken else 0)


def _print(check: Check) -> None:
    state = check.state.ljust(4)
    if has_colours(sys.stdout):
        state = typer.style(state, fg=COLOURS[check.state], bold=True)
    typer.echo(f"{state}  {check.name:16}  {printable(check.found)}")
    if check.mend:
        typer.echo(f"{'':22}  -> {printable(check.mend)}")


def _show_prospects(folder: Path, reference: str, overrides: Sequence[str], *, as_json: bool) -> None:
    from labtune.cli.prospects import fields_of, lines_of
    from labtune.workflow.doctor import examine_student

    outlook = examine_student(folder, reference, overrides=overrides)
    if as_json:
        print_document("doctor", fields_of(outlook))
    else:
        typer.echo("\n".join(printable(line) for line in lines_of(outlook)))
    raise typer.Exit(0 if any(one.fits for one in outlook.prospects) else 1)
