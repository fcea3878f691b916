"""`labtune check`: validate a taxonomy."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from labtune.cli.document import print_document
from labtune.cli.options import HERE, JsonOption, LabOption, SetOption
from labtune.cli.text import has_colours, printable

if TYPE_CHECKING:
    from labtune.taxonomy.check import CheckReport
    from labtune.taxonomy.fix import FixedFile

Format = Literal["text", "json", "github", "sarif"]
COLOURS = {"error": typer.colors.RED, "warning": typer.colors.YELLOW, "note": typer.colors.CYAN}


def check(
    path: Annotated[
        Path | None,
        typer.Argument(
            metavar="PATH", help="Taxonomy, folder, leaf or file.", show_default="the lab's taxonomy"
        ),
    ] = None,
    mend: Annotated[
        bool, typer.Option("--fix", help="Mend what is mechanical; comments and layout stay.")
    ] = False,
    form: Annotated[
        Format, typer.Option("--format", metavar="FORM", help="text, json, github or sarif.")
    ] = "text",
    lab: LabOption = HERE,
    sets: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Validate the taxonomy: each finding as file:line:column, what was found, expected, and how to mend it.

    Exit code 1 when there are errors; warnings do not count.
    """
    from labtune.taxonomy.check import check as examine
    from labtune.taxonomy.fix import fix

    target = path if path is not None else _taxonomy(lab, sets or ())
    root = None if path is not None else target
    fixed = fix(target, root=root) if mend else []
    report = examine(target, root=root)
    _print(report, fixed, "json" if as_json else form)
    raise typer.Exit(0 if report.passed else 1)


def _taxonomy(folder: Path, overrides: Sequence[str]) -> Path:
    from labtune.workflow.lab import Lab

    return Lab.open(folder, overrides=overrides).taxonomy_root


def _reference(root: Path) -> Path | None:
    """What paths are shown relative to: this folder, or nothing for a taxonomy that lies elsewhere."""
    here = Path.cwd()
    return here if root.is_relative_to(here) or here.is_relative_to(root) else None


def _print(report: CheckReport, fixed: Sequence[FixedFile], form: Format) -> None:
    from labtune.taxonomy.report import as_json, render

    here = _reference(report.root)
    if form == "json":
        mended = [{"path": item.path, "changes": item.changes} for item in fixed]
        print_document("check", {**as_json(report, relative_to=here), "fixed": mended})
        return
    for item in fixed:
        for change in item.changes:
            typer.echo(f"mended {printable(str(item.path))}: {printable(change)}", err=form != "text")
    if form == "text" and sys.stdout.isatty():
        _print_for_people(report, here)
    else:
        typer.echo(render(report, form, relative_to=here), nl=False)


def _print_for_people(report: CheckReport, here: Path | None) -> None:
    """A finding on four lines, which read better than one long one where lines are short."""
    from labtune.taxonomy.report import shown_path, summary

    colours = has_colours(sys.stdout)
    for finding in report.findings:
        source, severity = finding.source, str(finding.severity)
        where = f"{printable(shown_path(report, source.file, here))}:{source.line}:{source.column}"
        kind = typer.style(severity, fg=COLOURS[severity], bold=True) if colours else severity
        typer.echo(f"{where}: {kind} {finding.code}{' (--fix mends it)' if finding.fixable else ''}")
        typer.echo(f"    found     {printable(finding.found)}")
        typer.echo(f"    expected  {printable(finding.expected)}")
        typer.echo(f"    mend      {printable(finding.mend)}")
    typer.echo(summary(report))
