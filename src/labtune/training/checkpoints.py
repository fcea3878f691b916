"""What survives a `kill -9`: resume points with a marker written last, and the best weights of a phase.

Layout under `.resume/` of the stage's folder: `<phase>/checkpoint-<step>/` as the HF Trainer writes it, plus
the marker; `best/<phase>-<step>/` with what the method keeps of them, renamed into place when complete.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from labtune.artifact import read_json, write_json
from labtune.models.quiet import no_warnings

MARKER = "complete.json"


def mark_complete(folder: Path) -> None:
    """Make a resume point valid; it names each file with its size."""
    files = sorted(path for path in folder.iterdir() if path.name != MARKER)
    write_json(folder / MARKER, {"sizes": {path.name: path.stat().st_size for path in files}})


def is_complete(folder: Path) -> bool:
    """True when the marker is there and every file has the size it names."""
    if not (folder / MARKER).exists():
        return False
    sizes: dict[str, int] = read_json(folder / MARKER)["sizes"]
    return all(
        (folder / name).is_file() and (folder / name).stat().st_size == size for name, size in sizes.items()
    )


def latest_resume_point(folder: Path) -> Path | None:
    """The newest valid resume point of a phase; invalid and older ones are deleted."""
    found = None
    for path in sorted(folder.glob("checkpoint-*"), key=step_of, reverse=True):
        if found is None and is_complete(path):
            found = path
        else:
            shutil.rmtree(path)
    return found


def step_of(path: Path) -> int:
    """The step in a folder's name; -1 when it has none."""
    match = re.search(r"-(\d+)$", path.name)
    return int(match.group(1)) if match else -1


def best_folder(root: Path, phase: str, step: int) -> Path:
    """Where the weights of a phase at a step are kept while they are its best."""
    return root / "best" / f"{phase}-{step}"


def save_best(root: Path, phase: str, step: int, write: Callable[[Path], None]) -> None:
    """Keep what `write` puts into a folder; the phase's earlier best stays until `drop_other_best`."""
    write_folder(best_folder(root, phase, step), write)


def drop_other_best(root: Path, phase: str, keep: int) -> None:
    """Delete all kept weights of a phase but those of step `keep`."""
    for path in (root / "best").glob(f"{phase}-*"):
        if step_of(path) != keep:
            shutil.rmtree(path)


def save_folder(folder: Path, *parts: Any) -> None:
    """`save_pretrained` of each part; the folder is whole or absent."""

    def write(fresh: Path) -> None:
        with no_warnings():
            for part in parts:
                part.save_pretrained(fresh)

    write_folder(folder, write)


def write_folder(folder: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a neighbour, then rename: the folder is whole or absent."""
    fresh = folder.with_name(f".{folder.name}.new")
    if fresh.exists():
        shutil.rmtree(fresh)
    fresh.mkdir(parents=True)
    write(fresh)
    for path in fresh.iterdir():
        # safetensors writes files that only their owner can read.
        path.chmod(0o644)
    if folder.exists():
        shutil.rmtree(folder)
    fresh.rename(folder)
