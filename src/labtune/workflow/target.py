"""Which model a command means by RUN or PATH."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from labtune.artifact import Checkpoint
from labtune.errors import ModelError, UserError
from labtune.serving.engines import Kind
from labtune.workflow.ask import find_tuned
from labtune.workflow.lab import LAB_FILE, Lab
from labtune.workflow.student import locate_student

BASE = "base"
TUNED = "tuned"


@dataclass(frozen=True, slots=True)
class Target:
    """A model on this machine.

    Attributes:
        path: a folder in Hugging Face layout, or a GGUF file.
        kind: which of them.
        name: short id for clients, fit for a URL.
        live: which model of which run that is, in one line.
        run: number of the run that tuned it, or None.
    """

    path: Path
    kind: Kind
    name: str
    live: str
    run: str | None = None


def find_target(lab: Lab | None, text: str | None) -> Target:
    """The model that `text` means: a run's number, `tuned` (the newest), `base`, or a path.

    Args:
        lab: where runs are looked for; None outside of any lab.
        text: None = `tuned`.

    Raises:
        UserError: there is no such run or path, or no lab to look in.
        ModelError: the path holds no model that can be served.
    """
    name = text or TUNED
    if lab is not None and name == BASE:
        return _base(lab)
    if lab is not None and (name == TUNED or name.isdigit()):
        return _tuned(lab, None if name == TUNED else name)
    path = Path(name).expanduser()
    if path.exists():
        return _at(path)
    if lab is None and (name in {BASE, TUNED} or name.isdigit()):
        raise UserError(
            f"there is no {LAB_FILE} in {Path.cwd()} or above it",
            hint="cd into a lab, name one with --lab, or give the path of a model",
        )
    raise UserError(
        f"{name} is neither a run of this lab nor a file or folder",
        hint="a run's number, tuned, base, or the path of a model folder or GGUF file",
    )


def _tuned(lab: Lab, run: str | None) -> Target:
    folder = find_tuned(lab, run)
    return Target(
        Checkpoint(folder / "train").model_dir,
        "safetensors",
        _fit(f"{lab.root.name}-{folder.name}"),
        f"{lab.config.lab.student} tuned in run {folder.name}",
        folder.name,
    )


def _base(lab: Lab) -> Target:
    student = lab.config.lab.student
    return Target(
        locate_student(lab),
        "safetensors",
        _fit(f"{lab.root.name}-{BASE}"),
        f"{student} (untuned)",
    )


def _at(path: Path) -> Target:
    path = path.resolve()
    if path.is_file():
        if path.suffix != ".gguf":
            raise ModelError(
                f"{path} is no model that can be served", hint="a .gguf file, or a folder with safetensors"
            )
        return Target(path, "gguf", _fit(path.stem), str(path))
    if (path / "train" / "model").is_dir():
        path = path / "train" / "model"
    if any(path.glob("*.safetensors")):
        return Target(path, "safetensors", _fit(path.name), str(path))
    found = sorted(path.glob("*.gguf"))
    if len(found) == 1:
        return Target(found[0], "gguf", _fit(found[0].stem), str(found[0]))
    if found:
        raise UserError(
            f"{path} holds {len(found)} GGUF files", hint=f"name one of them, such as {found[0].name}"
        )
    raise ModelError(
        f"{path} holds no model that can be served", hint="a .gguf file, or a folder with safetensors"
    )


def _fit(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name).strip("-") or "model"
