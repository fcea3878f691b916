"""What an engine may use of the machine that drives it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from labtune.types import Emit, no_events


@dataclass(frozen=True, slots=True)
class Site:
    """A folder for logs and what engines keep while they run, and who is told what happens."""

    scratch: Path
    emit: Emit = no_events
