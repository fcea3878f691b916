"""`labtune generate`: expand the taxonomy into samples."""

from __future__ import annotations

from typing import Annotated

import typer

from labtune.cli.options import HERE, BudgetOption, JsonOption, LabOption, SetOption
from labtune.cli.stage import bring_up_to_date


def generate(
    lab: LabOption = HERE,
    sets: SetOption = None,
    preview: Annotated[
        int,
        typer.Option(
            "--preview",
            metavar="N",
            min=0,
            help="Show every step for N rows of each leaf and what all would cost; write no samples.",
            show_default=False,
        ),
    ] = 0,
    budget: BudgetOption = "",
    as_json: JsonOption = False,
) -> None:
    """Read the taxonomy and expand its leaves into samples.

    Leaves that did not change keep what they have, and no reply of a teacher model is paid for twice.
    """
    if preview:
        from labtune.cli.preview import show_preview

        show_preview(lab, sets or (), rows=preview, budget=budget, as_json=as_json)
        return
    bring_up_to_date("generate", lab, sets or (), as_json=as_json, budget=budget)
