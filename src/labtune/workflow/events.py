"""Events of a run: the same stream for the live view and, as JSONL, for whoever follows or reads later."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from labtune.types import Emit, Json

EVENTS = "events.jsonl"


class EventLog:
    """Appends each event to a file and passes it on. A line is written whole, so a follower can tail it."""

    def __init__(self, path: Path, then: Emit) -> None:
        self._path = path
        self._then = then

    def __call__(self, event: str, fields: Mapping[str, Json]) -> None:
        """Log and pass on one event."""
        line = json.dumps(
            {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **fields},
            ensure_ascii=False,
        )
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(line + "\n")
        self._then(event, fields)
