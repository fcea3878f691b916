"""`labtune mix`: put the phases' training sets together, and write them for InstructLab."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from labtune.cli.options import HERE, JsonOption, LabOption, SetOption
from labtune.cli.stage import bring_up_to_date
from labtune.errors import UserError


def mix(
    lab: LabOption = HERE,
    sets: SetOption = None,
    export: Annotated[
        Path | None,
        typer.Option(
            "--export-instructlab",
            metavar="FOLDER",
            help="Also write the rows as InstructLab's messages files.",
            show_default=False,
        ),
    ] = None,
    system_prompt: Annotated[
        str | None,
        typer.Option(
            "--system-prompt",
            metavar="TEXT",
            help="System turn of every row that is exported.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Put the training sets of the phases together, with everything they need before."""
    if system_prompt is not None and export is None:
        raise UserError("--system-prompt is for exported rows", hint="add --export-instructlab FOLDER")
    if export is None:
        bring_up_to_date("mix", lab, sets or (), as_json=as_json)
        return
    bring_up_to_date(
        "mix", lab, sets or (), as_json=as_json, then=lambda run: _export(run, export, system_prompt)
    )


def _export(run: Path, folder: Path, system_prompt: str | None) -> dict[str, object]:
    from labtune.artifact import Dataset
    from labtune.mixing.export import export_instructlab

    try:
        rows = export_instructlab(Dataset(run / "mix"), folder, system_prompt=system_prompt)
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror or error}") from error
    for name, count in rows.items():
        typer.echo(f"{folder / name}  {count:,} rows for InstructLab", err=True)
    return {"exported": [{"path": folder / name, "rows": count} for name, count in rows.items()]}
