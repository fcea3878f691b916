"""How fast labtune's generation streams, side by side with the floor: the same calls with bare aiohttp.

    python -m benchmarks.generation_stream --out docs/measurements        all cases, about half an hour
    python -m benchmarks.generation_stream --case fixed --case lognormal --repeat 5

A chain of four dependent calls for each row. labtune runs its own flow (a pipeline file with prompts), the
journal (each reply committed before it is handed on) and the endpoint client; the floor posts the very same
bodies from a file and parses the replies. Teacher and clients are processes of their own; the teacher draws a
latency from each body, so that both meet the same latencies. Writes JSON and an SVG.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.simulated_teacher import TeacherConfig, teacher_process
from benchmarks.stream_client import Task
from benchmarks.stream_plot import figure

ROW = re.compile(r"(?:report|lake|nest) (\d+)")
STEP = re.compile(r"Step (\d) of 4")


@dataclass(frozen=True, slots=True)
class Case:
    """One setting. The floor is left out where only memory is asked for."""

    rows: int
    slots: int
    latency_ms: float
    sigma: float = 0.0
    steps: int = 4
    window: int = 1024
    with_floor: bool = True


CASES = {
    "fixed": Case(256, 32, 50),
    "lognormal": Case(256, 32, 500, 0.8),
    "wide": Case(20_000, 1024, 3000, 0.8, window=2048),
    "long": Case(200_000, 256, 100, 0.8, steps=1, with_floor=False),
}


def client(role: str, case: Case, url: str, folder: Path, chains: Path) -> dict[str, Any]:
    """Run one client to its end; its own measurements."""
    task = Task(role, url, str(folder), case.rows, case.slots, case.window, case.steps, str(chains))
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks.stream_client", json.dumps(asdict(task))],
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        raise RuntimeError(result.stderr)
    found: dict[str, Any] = json.loads(result.stdout)
    found["calls"] = case.rows * case.steps
    found["cpu_ms_per_call"] = round(1000 * found["cpu_s"] / found["calls"], 3)
    return found


def run_one(role: str, case: Case, chains: Path, log: bool) -> dict[str, Any]:
    """One client against a fresh teacher and a fresh journal; the teacher's counts are checked."""
    with tempfile.TemporaryDirectory() as folder:
        config = TeacherConfig(
            slots=case.slots,
            latency_ms=case.latency_ms,
            sigma=case.sigma,
            log=f"{folder}/bodies" if log else None,
        )
        with teacher_process(config) as teacher:
            found = client(role, case, teacher.url, Path(folder), chains)
            stats = teacher.stats()
        if log:
            write_chains(Path(folder) / "bodies", chains, case)
        found["journal_mib"] = round(size(Path(folder) / "journal.sqlite") / (1 << 20), 1)
    probes = stats["distinct"] - found["calls"]
    if stats["most_per_body"] != 1 or not 0 <= probes <= 3:
        raise RuntimeError(f"the teacher was not asked once for each of {found['calls']} calls: {stats}")
    print(
        f"  {role}: {found['wall_s']} s, {found['cpu_ms_per_call']} ms, {found['peak_mib']} MiB", flush=True
    )
    return found


def size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def write_chains(bodies: Path, chains: Path, case: Case) -> None:
    """The bodies that the teacher was sent, a JSON list for each row, for the floor to send again."""
    rows: dict[int, list[str]] = {}
    with bodies.open(encoding="utf-8") as lines:
        for line in lines:
            step, row = STEP.search(line), ROW.search(line)
            if step is not None and row is not None:
                rows.setdefault(int(row[1]), [""] * case.steps)[int(step[1]) - 1] = line.rstrip("\n")
    if len(rows) != case.rows or not all(all(chain) for chain in rows.values()):
        raise RuntimeError("the log of the teacher does not hold all calls")
    with chains.open("w", encoding="utf-8") as stream:
        for number in sorted(rows):
            stream.write(json.dumps(rows[number]) + "\n")


def run_case(name: str, case: Case, repeat: int) -> dict[str, Any]:
    """labtune and the floor in turn, `repeat` times; the ratio is the median of the pairs'."""
    print(name, case, flush=True)
    document: dict[str, Any] = {"name": name, **asdict(case), "labtune": [], "floor": []}
    with tempfile.TemporaryDirectory() as folder:
        chains = Path(folder) / "chains"
        for turn in range(repeat):
            log = case.with_floor and turn == 0
            document["labtune"].append(run_one("labtune", case, chains, log))
            if case.with_floor:
                document["floor"].append(run_one("floor", case, chains, False))
    runs = document["labtune"]
    document["labtune_s"] = statistics.median(run["wall_s"] for run in runs)
    document["cpu_ms_per_call"] = statistics.median(run["cpu_ms_per_call"] for run in runs)
    document["peak_mib"] = max(run["peak_mib"] for run in runs)
    if case.with_floor:
        document["floor_s"] = statistics.median(run["wall_s"] for run in document["floor"])
        document["ideal_s"] = case.rows * case.steps * case.latency_ms / 1000 / case.slots
        pairs = zip(runs, document["floor"], strict=True)
        document["ratios"] = [round(ours["wall_s"] / bare["wall_s"], 4) for ours, bare in pairs]
        document["ratio"] = statistics.median(document["ratios"])
    return document


def slim(case: Mapping[str, Any]) -> dict[str, Any]:
    """The case with memory samples of its first run only, thinned."""
    runs = [dict(run) for run in case["labtune"]]
    for run in runs[1:]:
        run["memory"] = []
    samples = runs[0]["memory"]
    runs[0]["memory"] = [*samples[:: max(1, len(samples) // 200)], samples[-1]]
    return {**case, "labtune": runs, "floor": [{**run, "memory": []} for run in case["floor"]]}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--case", action="append", choices=sorted(CASES), help="repeatable; without it, all")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--out", type=Path, help="folder for generation-stream.json and .svg")
    options = parser.parse_args()
    names = options.case or list(CASES)
    cases = []
    for name in names:
        repeat = options.repeat if CASES[name].rows < 1000 else 1
        cases.append(slim(run_case(name, CASES[name], repeat)))
    document = {
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cores": os.cpu_count(), "load_1_min": os.getloadavg()[0]},
        "cases": cases,
    }
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "generation-stream.json").write_text(json.dumps(document, indent=1) + "\n")
        (options.out / "generation-stream.svg").write_text(figure(document))
    shown = [{key: value for key, value in case.items() if key not in ("labtune", "floor")} for case in cases]
    print(json.dumps({**document, "cases": shown}, indent=1))


if __name__ == "__main__":
    main()
