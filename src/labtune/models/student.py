"""Where a student's files lie. Weights are safetensors or nothing; code from model folders never runs."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

from labtune.errors import MissingDependencyError, ModelError

BUILTIN_PREFIX = "builtin:"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_WANTED = ("*.safetensors", "*.json", "*.jinja", "*.txt", "*.model", "LICENSE*")


def resolve_student(reference: str) -> Path:
    """The folder of `builtin:NAME`, of a local path, or of a hub id (fetched when the cache lacks it).

    Raises:
        ModelError: no such model, the hub cannot be reached, or the folder holds no safetensors weights.
    """
    if reference.startswith(BUILTIN_PREFIX):
        name = reference.removeprefix(BUILTIN_PREFIX)
        folder = Path(str(files("labtune.builtin"))) / name
        if not re.fullmatch(r"\w+", name) or not folder.is_dir():
            raise ModelError(f"there is no built-in student {reference!r}", hint="student: builtin:nano")
    else:
        folder = Path(reference).expanduser()
        if not folder.exists() and _HUB_ID.fullmatch(reference):
            folder = _fetch(reference)
    check_folder(folder)
    return folder


def check_folder(folder: Path) -> None:
    """Raise ModelError unless `folder` is a model folder with safetensors weights."""
    if not folder.is_dir():
        raise ModelError(
            f"there is no model folder {folder}",
            hint="give builtin:nano, an existing folder, or a hub id such as org/name",
        )
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder} is not a model folder: it has no config.json")
    if not any(folder.glob("*.safetensors")):
        pickled = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
        if pickled:
            raise ModelError(
                f"{folder} has only pickled weights ({pickled[0]}), which can run code when they are loaded",
                hint="convert them to safetensors, or choose a model that ships safetensors",
            )
        raise ModelError(f"{folder} has no weights (*.safetensors)")


def _fetch(hub_id: str) -> Path:
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    except ImportError as error:
        raise MissingDependencyError.for_extra("huggingface_hub", "train") from error
    try:
        return Path(snapshot_download(hub_id, allow_patterns=list(_WANTED)))
    except LocalEntryNotFoundError as error:
        raise ModelError(
            f"{hub_id} is not in the local cache and the hub cannot be reached",
            hint="connect to the network once, or give the model as a local folder",
        ) from error
    except HfHubHTTPError as error:
        raise ModelError(f"the hub refuses {hub_id}: {str(error).splitlines()[0]}") from error
    except OSError as error:
        raise ModelError(f"{hub_id} could not be fetched: {error}") from error
