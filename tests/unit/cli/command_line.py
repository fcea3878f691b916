"""Runs `labtune` as people do, in a process of its own, on labs that look as if stages were done."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from labtune.artifact import Manifest, write_manifest


def labtune(
    *arguments: str, cwd: Path | None = None, stdin: str = "", environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "labtune", *arguments],
        cwd=cwd,
        input=stdin,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})},
        timeout=900,
        check=False,
    )


def document(result: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The one JSON document on stdout; anything before or after it is an error."""
    value = json.loads(result.stdout)
    assert isinstance(value, dict)
    assert value["schema"] == 1
    return value


def finish_stage(
    folder: Path, stage: str, *, summary: str = "", rows: int | None = None, seconds: float = 0.0
) -> None:
    """Write the manifest that a finished stage leaves in its folder."""
    manifest = Manifest(
        stage=stage,
        id="a",
        key="b",
        inputs={},
        config={},
        seed=1,
        code_version="0",
        files={},
        counts={} if rows is None else {"rows": rows},
        summary=summary,
        started_at="",
        seconds=seconds,
    )
    write_manifest(folder, manifest)
