"""Which servers of a lab are running: a small file for each, gone when the server is."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from labtune.artifact import write_json


@dataclass(frozen=True, slots=True)
class ServerRecord:
    """A running server.

    Attributes:
        pid: the labtune process that keeps it.
        url: base URL, ending in /v1.
        model: id under which clients ask for it.
        live: which model of which run that is, in one line.
        engine: name of its engine.
        run: number of the run, or None.
        key_env: environment variable with its API key, or None.
        log: file of its output.
    """

    pid: int
    url: str
    model: str
    live: str
    engine: str
    run: str | None
    key_env: str | None
    log: str


@contextmanager
def recorded(folder: Path, record: ServerRecord) -> Iterator[None]:
    """Keep the record while the block runs."""
    path = folder / f"{record.pid}.json"
    write_json(path, asdict(record))
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def running(folder: Path) -> list[ServerRecord]:
    """Servers whose process is alive, newest last; records of dead ones are removed."""
    found = []
    for path in sorted(folder.glob("*.json"), key=lambda item: item.stat().st_mtime_ns):
        record = _read(path)
        if record is not None and _is_alive(record.pid):
            found.append(record)
        else:
            path.unlink(missing_ok=True)
    return found


def _read(path: Path) -> ServerRecord | None:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        return ServerRecord(**{item.name: value[item.name] for item in fields(ServerRecord)})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        # It runs for somebody else.
        return True
    return True
