"""Where a student's files lie, and under which licence.

Weights are safetensors or nothing; code from model folders never runs.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

import yaml

from labtune.config.lab import StudentConfig
from labtune.errors import LabtuneError, ModelError
from labtune.models.hub import HubModel, fetch
from labtune.models.weights import check_weights
from labtune.types import Emit, Json, no_events

BUILTIN_PREFIX = "builtin:"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_CARD_BYTES = 1 << 20
_LICENCES = ("LICENSE", "NOTICE", "USE_POLICY")


@dataclass(frozen=True, slots=True)
class Origin:
    """What a student is, for whoever has to answer for it.

    Attributes:
        name: as the lab names it.
        folder: where its files lie.
        revision: commit of the hub; None for what did not come from there.
        licence: as its card says, or the name of its licence file; None = it does not say.
    """

    name: str
    folder: Path
    revision: str | None
    licence: str | None

    def event(self) -> dict[str, Json]:
        """The fields of the event `train.student`."""
        return {
            "student": self.name,
            "folder": str(self.folder),
            "revision": self.revision,
            "licence": self.licence,
        }


def resolve_student(
    student: StudentConfig | str, *, base: Path | None = None, emit: Emit = no_events
) -> Path:
    """The folder of `builtin:NAME`, of a local path, or of a hub id (fetched when the cache lacks it).

    Args:
        student: the setting, or its `model` alone.
        base: folder that a relative path is looked for in first; the working directory comes after it.
        emit: told how far a download is (`student.fetch`).

    Raises:
        ModelError: no such model, the hub cannot be reached, or the folder holds no sound safetensors.
    """
    setting = StudentConfig(model=student) if isinstance(student, str) else student
    folder = _find(setting, base, emit)
    check_folder(folder)
    return folder


def is_hub_id(reference: str) -> bool:
    """Whether a student is meant that has to come from a hub: no folder of this name is here."""
    return bool(_HUB_ID.fullmatch(reference)) and not Path(reference).exists()


def check_folder(folder: Path) -> None:
    """Raise ModelError unless `folder` is a model folder with whole safetensors weights."""
    if not folder.is_dir():
        raise ModelError(
            f"there is no model folder {folder}",
            hint="give builtin:nano, an existing folder, or a hub id such as org/name",
        )
    if not (folder / "config.json").is_file():
        raise ModelError(
            f"{folder} is not a model folder: it has no config.json",
            hint="give the folder that config.json, tokenizer.json and *.safetensors lie in",
        )
    check_weights(folder)


def origin_of(student: StudentConfig, folder: Path) -> Origin:
    """Name, revision and licence of a student whose files lie in `folder`."""
    commit = folder.name if _COMMIT.fullmatch(folder.name) else None
    return Origin(student.name, folder, commit, licence_of(folder))


def is_here(student: StudentConfig, base: Path) -> bool:
    """Whether a student's files can be looked at without asking a hub."""
    if not is_hub_id(student.model) or (base / student.model).exists():
        return True
    try:
        fetch(replace(_on_hub(student), offline=True))
    except LabtuneError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Licences:
    """The licence files of a model, to be saved beside what was made from it."""

    folder: Path

    def save_pretrained(self, target: Path) -> None:
        """Copy them; the name is the one under which transformers saves its parts."""
        for path in sorted(self.folder.iterdir()):
            if path.is_file() and path.name.startswith(_LICENCES):
                shutil.copyfile(path, target / path.name)


def licence_of(folder: Path) -> str | None:
    """The licence that a model's card names, else the name of its licence file, else None."""
    card = _card(folder / "README.md")
    for key in ("license_name", "license"):
        if isinstance(found := card.get(key), str) and found not in ("", "other"):
            return found
    return next((path.name for path in sorted(folder.glob("LICENSE*"))), None)


def _find(student: StudentConfig, base: Path | None, emit: Emit) -> Path:
    reference = student.model
    if reference.startswith(BUILTIN_PREFIX):
        name = reference.removeprefix(BUILTIN_PREFIX)
        folder = Path(str(files("labtune.builtin"))) / name
        if not re.fullmatch(r"\w+", name) or not folder.is_dir():
            raise ModelError(f"there is no built-in student {reference!r}", hint="student: builtin:nano")
        return folder
    folder = Path(reference).expanduser()
    if base is not None and (base / folder).exists():
        return base / folder
    if not is_hub_id(reference):
        return folder
    return fetch(_on_hub(student), emit)


def _on_hub(student: StudentConfig) -> HubModel:
    return HubModel(student.model, student.revision, student.mirror, student.offline)


def _card(file: Path) -> Mapping[str, object]:
    """The metadata at the head of a model card; nothing when there is none that can be read."""
    try:
        with file.open(encoding="utf-8") as stream:
            text = stream.read(_CARD_BYTES)
    except (OSError, UnicodeDecodeError):
        return {}
    if not text.startswith("---\n"):
        return {}
    try:
        value = yaml.safe_load(text[4:].partition("\n---")[0])
    except (yaml.YAMLError, RecursionError):
        return {}
    return value if isinstance(value, Mapping) else {}
