"""`labtune mix`: put the phases' training sets together."""

from __future__ import annotations

from labtune.cli.options import HERE, JsonOption, LabOption, SetOption
from labtune.cli.stage import bring_up_to_date


def mix(lab: LabOption = HERE, sets: SetOption = None, as_json: JsonOption = False) -> None:
    """Put the training sets of the phases together, with everything they need before."""
    bring_up_to_date("mix", lab, sets or (), as_json=as_json)
