"""What is known about a training before it starts: the student's shapes, the data's size, the defaults."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labtune.artifact import read_json
from labtune.config.defaults import Facts
from labtune.config.layers import LoadedConfig
from labtune.errors import LabtuneError
from labtune.models.student import BUILTIN_PREFIX, resolve_student
from labtune.training.anatomy import read_anatomy
from labtune.workflow.lab import Lab

if TYPE_CHECKING:
    from labtune.training.anatomy import Anatomy

MIX_FILE = "mix.json"


def informed(lab: Lab, *, student: Path | None = None, dataset: Path | None = None) -> LoadedConfig:
    """The lab's settings with the defaults that depend on the student's size and on the mixed data.

    A student that is not on this machine yet, or cannot be read, decides nothing: the stage that needs it
    says what is wrong.

    Args:
        lab: whose settings.
        student: folder of its student; None = as far as it lies on this machine.
        dataset: the mix stage's folder; None = that of the newest run, if it is there.
    """
    if lab.config.lab.student.model.startswith(BUILTIN_PREFIX):
        # Built-in students have a measured profile.
        return lab.config
    folder = student or student_at_hand(lab)
    if folder is None:
        return lab.config
    try:
        anatomy = read_anatomy(folder)
    except LabtuneError:
        return lab.config
    method = lab.config.lab.train.method
    return lab.config.informed(facts_of(anatomy, method, dataset or lab.runs_dir / "latest" / "mix"))


def facts_of(student: Anatomy, method: str, dataset: Path | None) -> Facts:
    """What decides the defaults; rows are those of the largest phase of a mixed dataset."""
    path = dataset / MIX_FILE if dataset is not None else None
    phases: Mapping[str, Any] = read_json(path)["phases"] if path is not None and path.is_file() else {}
    rows, tokens = max(
        ((int(one["total_rows"]), int(one["total_tokens"])) for one in phases.values()), default=(0, 0)
    )
    if not rows:
        return Facts(student.parameters, method)
    return Facts(student.parameters, method, rows, tokens / rows)


def student_at_hand(lab: Lab) -> Path | None:
    """The folder of the lab's student, if it lies on this machine; nothing is fetched."""
    try:
        return resolve_student(lab.config.lab.student.model_copy(update={"offline": True}), base=lab.root)
    except LabtuneError:
        return None
