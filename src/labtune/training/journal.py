"""The journal of a training: one JSON object a line, only ever appended, the memory of an interrupted run.

An event is known by its kind, phase and step. After a crash the steps since the last resume point are done
again; what the journal already holds is then not written twice, so that its decisions read like those of a
run that was never interrupted.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from labtune.errors import DataError
from labtune.types import Json

Event = dict[str, Json]


class Journal:
    """Events of one training, in order."""

    def __init__(self, path: Path, *, writes: bool = True) -> None:
        """Read `path` when it exists; a last line cut off by a crash is removed.

        Args:
            path: the file.
            writes: False in a process that only remembers what another one writes.

        Raises:
            DataError: a line in the middle is not JSON.
        """
        self._path = path
        self._writes = writes
        self._events: list[Event] = []
        self._known: set[tuple[Json, Json, Json]] = set()
        if path.exists():
            for event in self._recover():
                self._remember(event)

    def append(self, kind: str, *, phase: str | None = None, step: int | None = None, **fields: Json) -> None:
        """Write one event, unless an event of this kind, phase and step is already there."""
        event: Event = {"event": kind}
        event |= {"phase": phase} if phase is not None else {}
        event |= {"step": step} if step is not None else {}
        if _identity(event) in self._known:
            return
        event |= fields
        if self._writes:
            self._write(event)
        self._remember(event)

    def _write(self, event: Event) -> None:
        line = json.dumps(event, ensure_ascii=False) + "\n"
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as stream:
            stream.write(line.encode())
            stream.flush()
            os.fsync(stream.fileno())

    def find(self, kind: str | None = None, *, phase: str | None = None) -> Iterator[Event]:
        """Events (of a kind, of a phase), in order."""
        for event in self._events:
            if (kind is None or event["event"] == kind) and (phase is None or event.get("phase") == phase):
                yield event

    def last(self, kind: str, *, phase: str | None = None) -> Event | None:
        """The latest event of a kind (and phase), or None."""
        return next(iter(reversed(list(self.find(kind, phase=phase)))), None)

    def _recover(self) -> Iterator[Event]:
        data = self._path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            with self._path.open("r+b") as stream:
                stream.truncate(len(whole))
        for number, line in enumerate(whole.decode("utf-8", errors="replace").splitlines(), 1):
            try:
                yield json.loads(line)
            except json.JSONDecodeError as error:
                raise DataError(
                    f"{self._path}:{number} is not JSON: {error.msg}",
                    hint=f"delete {self._path.parent} to train from the beginning",
                ) from error

    def _remember(self, event: Event) -> None:
        self._events.append(event)
        self._known.add(_identity(event))


def _identity(event: Event) -> tuple[Json, Json, Json]:
    return event["event"], event.get("phase"), event.get("step")
