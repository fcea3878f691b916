"""`labtune new`: a leaf to fill in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from labtune.cli.document import print_document
from labtune.cli.options import HERE, JsonOption, LabOption, SetOption
from labtune.cli.text import printable


def new(
    kind: Annotated[
        Literal["knowledge", "skill"], typer.Argument(metavar="KIND", help="knowledge or skill.")
    ],
    path: Annotated[
        str, typer.Argument(metavar="PATH", help="Folder of the leaf, such as science/animals/birds.")
    ],
    document: Annotated[
        Path | None,
        typer.Option("--document", metavar="FILE", help="Copied beside the leaf; drafts are quoted from it."),
    ] = None,
    language: Annotated[
        str, typer.Option("--language", metavar="CODE", help="Of comments and starter text: en or zh.")
    ] = "en",
    lab: LabOption = HERE,
    sets: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a valid leaf to start from, with draft questions quoted from the document."""
    from labtune.taxonomy.new import new_leaf
    from labtune.workflow.lab import Lab

    root = Lab.open(lab, overrides=sets or ()).taxonomy_root
    written = new_leaf(root, kind, path, document=document, language=language)
    if as_json:
        print_document("new", {"leaf": written.parent.relative_to(root).as_posix(), "qna": written})
        return
    here = Path.cwd()
    shown = printable(str(written.relative_to(here) if written.is_relative_to(here) else written))
    typer.echo(f"made {shown}\n\nnext: edit it, then   labtune check")
