"""`labtune init`: make a lab."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from labtune.cli.document import print_document
from labtune.cli.options import HERE, JsonOption
from labtune.cli.text import printable


def init(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Folder of the new lab.", show_default="this folder")
    ] = HERE,
    example: Annotated[
        str | None,
        typer.Option("--example", metavar="NAME", help="Start from a shipped example (see --list)."),
    ] = None,
    taxonomy: Annotated[
        str | None,
        typer.Option("--taxonomy", metavar="URL", help="Start from a git repository with a taxonomy."),
    ] = None,
    list_examples: Annotated[bool, typer.Option("--list", help="List the examples.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a lab in FOLDER: from an example, from a taxonomy in git, or empty.

    Nothing that exists is overwritten.
    """
    from labtune.workflow.init import example_names, init_lab

    if list_examples:
        names = example_names()
        if as_json:
            print_document("init", {"examples": names})
        else:
            typer.echo("\n".join(names))
        return
    made = init_lab(folder, example=example, taxonomy=taxonomy)
    if as_json:
        print_document("init", {"lab": folder.resolve(), "made": made})
        return
    for path in made:
        typer.echo(f"made {printable(str(path))}")
    enter = "" if folder.resolve() == Path.cwd() else f"cd {folder} && "
    start = "labtune run" if example or taxonomy else "labtune new knowledge PATH --document FILE"
    typer.echo(f"\nnext: {enter}{start}")
