"""How fast labtune's generation streams, side by side with the floor: the same calls with bare aiohttp.

    python -m benchmarks.generation_stream --out docs/measurements        all cases, about half an hour
    python -m benchmarks.generation_stream --case fixed --case lognormal --repeat 5

A chain of four dependent calls for each row. labtune runs its own flow (a pipeline file with prompts), the
journal (each reply committed before it is handed on) and the endpoint client; the floor posts the very same
bodies from a file and parses the replies. Teacher and clients are processes of their own; the teacher draws a
latency from each body, so that both meet the same ones, and others with each pair. Writes JSON and an SVG.
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
import time
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
TICKS = os.sysconf("SC_CLK_TCK")
QUIET = 0.15
"""Share of the machine that others may use while a pair counts."""


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


class Load:
    """How much of the machine other processes used since this was made."""

    def __init__(self, teacher: int) -> None:
        self._teacher = teacher
        self._began = time.monotonic()
        self._busy, self._own = busy_s(), self._own_s()

    def others(self) -> float:
        """Share of all cores, 0..1."""
        room = (time.monotonic() - self._began) * (os.cpu_count() or 1)
        return round(max(0.0, busy_s() - self._busy - (self._own_s() - self._own)) / room, 3)

    def _own_s(self) -> float:
        times = os.times()
        fields = Path(f"/proc/{self._teacher}/stat").read_text().rpartition(")")[2].split()
        teacher = (int(fields[11]) + int(fields[12])) / TICKS
        return teacher + times.user + times.system + times.children_user + times.children_system


def busy_s() -> float:
    """Seconds that all cores were busy since the machine started."""
    values = [int(value) for value in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return (sum(values) - values[3] - values[4]) / TICKS


def wait_for_quiet(share: float, deadline: float) -> None:
    """Wait until others use less than `share` of the machine for two seconds, at most to `deadline`."""
    while time.monotonic() < deadline:
        busy, began = busy_s(), time.monotonic()
        time.sleep(2)
        if (busy_s() - busy) / (time.monotonic() - began) / (os.cpu_count() or 1) < share:
            return


def run_one(role: str, case: Case, chains: Path, seed: int) -> dict[str, Any]:
    """One client against a fresh teacher and a fresh journal; the teacher's counts are checked.

    What labtune sends is written to `chains`, for the floor that comes after.
    """
    log = role == "labtune" and case.with_floor
    with tempfile.TemporaryDirectory() as folder:
        config = TeacherConfig(
            slots=case.slots,
            latency_ms=case.latency_ms,
            sigma=case.sigma,
            log=f"{folder}/bodies" if log else None,
            seed=seed,
        )
        with teacher_process(config) as teacher:
            load = Load(teacher.process.pid)
            found = client(role, case, teacher.url, Path(folder), chains)
            found["others"] = load.others()
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


def run_case(name: str, case: Case, repeat: int, patience_s: float) -> dict[str, Any]:
    """labtune and the floor in turn, `repeat` times; the ratio is the median of the pairs'.

    On a machine that others use, pairs during which others took much are measured again as long as
    `patience_s` lasts; all pairs are reported, the median is of those that count.
    """
    print(name, case, flush=True)
    measured = datetime.now(UTC).isoformat(timespec="seconds")
    document: dict[str, Any] = {
        "name": name,
        "measured": measured,
        **asdict(case),
        "labtune": [],
        "floor": [],
    }
    deadline = time.monotonic() + patience_s
    with tempfile.TemporaryDirectory() as folder:
        chains = Path(folder) / "chains"
        quiet = turn = 0
        while quiet < repeat and (turn < repeat or time.monotonic() < deadline):
            wait_for_quiet(QUIET, deadline)
            runs = [run_one("labtune", case, chains, turn)]
            document["labtune"].append(runs[0])
            if case.with_floor:
                runs.append(run_one("floor", case, chains, turn))
                document["floor"].append(runs[1])
            turn += 1
            quiet += all(run["others"] < QUIET for run in runs)
    return {**document, **summary(document, case)}


def summary(document: Mapping[str, Any], case: Case) -> dict[str, Any]:
    """Medians over the quiet pairs; over all where none was quiet."""
    ours, bare = document["labtune"], document["floor"] or document["labtune"]
    pairs = list(zip(ours, bare, strict=True))
    quiet = [pair for pair in pairs if all(run["others"] < QUIET for run in pair)]
    counted = quiet or pairs
    found: dict[str, Any] = {
        "pairs": len(pairs),
        "quiet_pairs": len(quiet),
        "others": statistics.median(run["others"] for pair in counted for run in pair),
        "labtune_s": statistics.median(run["wall_s"] for run, _ in counted),
        "cpu_ms_per_call": statistics.median(run["cpu_ms_per_call"] for run, _ in counted),
        "peak_mib": max(run["peak_mib"] for run in ours),
    }
    if case.with_floor:
        found["floor_s"] = statistics.median(run["wall_s"] for _, run in counted)
        found["ideal_s"] = case.rows * case.steps * case.latency_ms / 1000 / case.slots
        found["ratios"] = [round(one["wall_s"] / other["wall_s"], 4) for one, other in counted]
        found["ratio"] = statistics.median(found["ratios"])
    return found


def slim(case: Mapping[str, Any]) -> dict[str, Any]:
    """The case with memory samples of its first run only, thinned."""
    runs = [dict(run) for run in case["labtune"]]
    for run in runs[1:]:
        run["memory"] = []
    samples = runs[0]["memory"]
    runs[0]["memory"] = [*samples[:: max(1, len(samples) // 200)], samples[-1]]
    return {**case, "labtune": runs, "floor": [{**run, "memory": []} for run in case["floor"]]}


def merged(target: Path, cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """These cases and those of earlier runs that are not among them, in the order of `CASES`."""
    kept = json.loads(target.read_text("utf-8"))["cases"] if target.exists() else []
    found = {case["name"]: case for case in [*kept, *cases]}
    return [found[name] for name in CASES if name in found]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--case", action="append", choices=sorted(CASES), help="repeatable; without it, all")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument(
        "--patience-s", type=float, default=0.0, help="how long to wait and measure anew for a quiet machine"
    )
    parser.add_argument("--out", type=Path, help="folder for generation-stream.json and .svg")
    options = parser.parse_args()
    names = options.case or list(CASES)
    cases = []
    for name in names:
        repeat = options.repeat if CASES[name].rows < 1000 else 1
        cases.append(slim(run_case(name, CASES[name], repeat, options.patience_s)))
    document: dict[str, Any] = {"cores": os.cpu_count(), "cases": cases}
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        target = options.out / "generation-stream.json"
        document["cases"] = merged(target, cases)
        target.write_text(json.dumps(document, separators=(",", ":")) + "\n", "utf-8")
        (options.out / "generation-stream.svg").write_text(figure(document), "utf-8")
    shown = [{key: value for key, value in case.items() if key not in ("labtune", "floor")} for case in cases]
    print(json.dumps({**document, "cases": shown}, indent=1))


if __name__ == "__main__":
    main()
