"""What labtune ships so that it works with nothing else: a small student, its general exam, a replay set."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

_HERE = Path(str(files(__package__)))

NANO = _HERE / "nano"
GENERAL_EXAM = _HERE / "general_exam.jsonl"
REPLAY = _HERE / "replay.jsonl.gz"
