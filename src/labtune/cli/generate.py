"""`labtune generate`: expand the taxonomy into samples."""

from __future__ import annotations

from labtune.cli.options import HERE, JsonOption, LabOption, SetOption
from labtune.cli.stage import bring_up_to_date


def generate(lab: LabOption = HERE, sets: SetOption = None, as_json: JsonOption = False) -> None:
    """Read the taxonomy and expand its leaves into samples.

    Leaves that did not change keep what they have.
    """
    bring_up_to_date("generate", lab, sets or (), as_json=as_json)
