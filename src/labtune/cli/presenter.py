"""The one form in which people see what went wrong."""

from __future__ import annotations

import sys

import typer

from labtune.cli.text import has_colours, printable


def present(message: str, hint: str | None) -> None:
    """Print an error on stderr: what is wrong, and how to mend it."""
    red, bold, plain = ("\x1b[31m", "\x1b[1m", "\x1b[0m") if has_colours(sys.stderr) else ("", "", "")
    typer.echo(f"{red}{bold}error:{plain} {printable(message)}", err=True)
    if hint:
        typer.echo(f"{bold}hint:{plain}  {printable(hint)}", err=True)
