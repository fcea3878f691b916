"""`--json`: exactly one JSON document on stdout."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import typer

SCHEMA = 1


def print_document(command: str, fields: Mapping[str, object]) -> None:
    """Print `{"schema": 1, "command": ..., **fields}` as UTF-8, whatever the terminal's encoding is.

    `schema` counts up when a field changes its meaning or goes away; new fields do not change it.
    """
    if hasattr(sys.stdout, "reconfigure"):
        # File names may hold undecodable bytes: they appear as \\udcXX, which JSON allows.
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    typer.echo(
        json.dumps(
            {"schema": SCHEMA, "command": command, **fields}, default=_plain, ensure_ascii=False, indent=1
        )
    )


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON")
