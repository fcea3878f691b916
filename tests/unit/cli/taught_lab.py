"""Labs with a teacher model behind a real server: what their tests share."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.simulated_teacher import TeacherProcess

from labtune.artifact import read_jsonl
from labtune.types import Json
from labtune.workflow.lab import Lab
from labtune.workflow.run import RunReport, run_lab


def settings(url: str, **generate: Json) -> str:
    values = {"pipeline": "simple", "target": 12, "rounds": 2, **generate}
    return json.dumps({"teacher": {"endpoint": url, "model": "simulated-teacher"}, "generate": values})


def generate(root: Path, budget: str = "") -> RunReport:
    return run_lab(Lab.open(root, budget=budget), until="generate")


def rows(root: Path, name: str = "samples") -> list[dict[str, Any]]:
    return list(read_jsonl(root / "runs" / "latest" / "generate" / f"{name}.jsonl"))


def samples_bytes(root: Path) -> bytes:
    return (root / "runs" / "latest" / "generate" / "samples.jsonl").read_bytes()


def taught(root: Path) -> list[dict[str, Any]]:
    return [row for row in rows(root) if row.get("lineage")]


def start(root: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "labtune", "generate"],
        cwd=root,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def wait_for(
    teacher: TeacherProcess, number: float, process: subprocess.Popen[str], what: str = "answered"
) -> None:
    deadline = time.monotonic() + 120
    while teacher.stats()[what] < number:
        assert process.poll() is None, "the run ended before it was stopped"
        assert time.monotonic() < deadline
        time.sleep(0.01)
