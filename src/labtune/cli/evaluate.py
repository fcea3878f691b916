"""`labtune evaluate`: score what was learned and kept."""

from __future__ import annotations

from labtune.cli.options import HERE, JsonOption, LabOption, SetOption
from labtune.cli.stage import bring_up_to_date


def evaluate(lab: LabOption = HERE, sets: SetOption = None, as_json: JsonOption = False) -> None:
    """Score what the student learned and kept, with everything that needs before."""
    bring_up_to_date("evaluate", lab, sets or (), as_json=as_json)
