"""`labtune train`: tune the student."""

from __future__ import annotations

from labtune.cli.options import HERE, JsonOption, LabOption, SetOption
from labtune.cli.stage import bring_up_to_date


def train(lab: LabOption = HERE, sets: SetOption = None, as_json: JsonOption = False) -> None:
    """Tune the student phase by phase, with everything it needs before.

    An interrupted training goes on where it stopped.
    """
    bring_up_to_date("train", lab, sets or (), as_json=as_json)
