"""Options that all commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on stdout; all else goes to stderr.")
]
HERE = Path()
