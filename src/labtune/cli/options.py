"""Options that all commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from labtune.workflow.lab import Lab

LabOption = Annotated[
    Path,
    typer.Option("--lab", metavar="DIR", help="The lab, or a folder inside it.", show_default="this folder"),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="A.B=VALUE",
        help="Override a setting for this command; repeatable.",
        show_default=False,
    ),
]
BudgetOption = Annotated[
    str,
    typer.Option(
        "--budget",
        metavar="5USD|2h|1Mtok",
        help="Stop asking teacher models at this much money, time or tokens; the same command goes on.",
        show_default=False,
    ),
]
ModelOption = Annotated[
    str | None,
    typer.Option("--model", metavar="NAME", help="The endpoint's model.", show_default="its only one"),
]
KeyOption = Annotated[
    str | None,
    typer.Option(
        "--key-env",
        metavar="NAME",
        help="Variable that holds the endpoint's API key.",
        show_default="none",
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on stdout; all else goes to stderr.")
]
HERE = Path()


def lab_if_any(folder: Path, sets: list[str] | tuple[str, ...]) -> Lab | None:
    """The lab that holds `folder`; None when there is none here and none was named.

    Raises:
        UserError: --lab names a folder outside of any lab, or a setting is wrong.
    """
    from labtune.workflow.lab import Lab, find_lab

    if folder == HERE and find_lab(folder) is None:
        return None
    return Lab.open(folder, overrides=sets)
