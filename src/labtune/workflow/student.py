"""A lab's student: its folder, fetched before any stage begins when it comes from a hub."""

from __future__ import annotations

from pathlib import Path

from labtune.types import Emit, no_events
from labtune.workflow.lab import Lab


def locate_student(lab: Lab, emit: Emit = no_events) -> Path:
    """The folder of the model that the lab tunes; a relative path is looked for in the lab first.

    Raises:
        ModelError: see `models.student.resolve_student`.
    """
    from labtune.models.student import resolve_student

    return resolve_student(lab.config.lab.student, base=lab.root, emit=emit)
