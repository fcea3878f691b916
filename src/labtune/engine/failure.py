"""How an error comes home from a process that another program started: as a small file."""

from __future__ import annotations

from pathlib import Path

from labtune import errors
from labtune.artifact import read_json, write_json
from labtune.errors import EngineError, LabtuneError

LAST_LINES = 6


def keep_failure(path: Path, error: LabtuneError) -> None:
    """Write down an error, unless another process of the gang was first."""
    if not path.exists():
        write_json(path, {"kind": type(error).__name__, "message": error.message, "hint": error.hint})


def kept_failure(path: Path) -> LabtuneError | None:
    """The error that was written down."""
    if not path.exists():
        return None
    value = read_json(path)
    kind = getattr(errors, str(value["kind"]), EngineError)
    error: LabtuneError = kind(value["message"], hint=value["hint"])
    return error


def last_lines(log: Path) -> str:
    """The end of a log, on one line."""
    if not log.exists():
        return "it wrote nothing"
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    told = [line.strip() for line in lines if line.strip()][-LAST_LINES:]
    return " / ".join(told) or "it wrote nothing"
