"""Kill `labtune run` with SIGKILL at random moments, let it go on, and compare with an uninterrupted run.

    python benchmarks/kill_anywhere.py --kills 20 --set train.max_tokens=150000

Prints one JSON document: where each kill fell, and whether every stage's content hash is the same.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def labtune(lab: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "labtune", *arguments, "--lab", str(lab)]


def stage_ids(lab: Path) -> dict[str, str]:
    run = (lab / "runs" / "latest").resolve()
    return {
        path.parent.name: json.loads(path.read_text())["id"] for path in sorted(run.glob("*/manifest.json"))
    }


def last_event(lab: Path) -> str:
    logs = sorted(lab.glob("runs/*/events.jsonl"))
    if not logs:
        return "before the first event"
    lines = logs[-1].read_text(encoding="utf-8").splitlines()
    event = json.loads(lines[-1])
    return " ".join(str(event[key]) for key in ("event", "stage", "phase", "step") if key in event)


def run_killed(lab: Path, settings: list[str], kills: int, longest_s: float, seed: int) -> list[str]:
    """Start the run again and again; each start but the last is killed after a random time."""
    draw = random.Random(seed)
    places = []
    while len(places) < kills:
        process = subprocess.Popen(
            [*labtune(lab, "run", "--json"), *settings], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + draw.uniform(0.5, longest_s)
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        if process.poll() is not None:
            # It came to its end before the kill: begin anew, so that every kill meets work.
            shutil.rmtree(lab / "runs")
            shutil.rmtree(lab / ".labtune", ignore_errors=True)
            continue
        process.kill()
        process.wait()
        places.append(last_event(lab))
        print(f"kill {len(places)}: {places[-1]}", file=sys.stderr, flush=True)
    return places


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument(
        "--longest-s", type=float, default=40.0, help="latest moment of a kill after the start"
    )
    parser.add_argument("--example", default="customer-service")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], dest="settings")
    options = parser.parse_args()
    settings = [word for text in options.settings for word in ("--set", text)]
    with tempfile.TemporaryDirectory() as folder:
        calm, stormy = Path(folder) / "calm", Path(folder) / "stormy"
        for lab in (calm, stormy):
            subprocess.run(
                [sys.executable, "-m", "labtune", "init", str(lab), "--example", options.example],
                check=True,
                capture_output=True,
            )
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run([*labtune(calm, "run", "--json"), *settings], check=False, **quiet)
        places = run_killed(stormy, settings, options.kills, options.longest_s, options.seed)
        subprocess.run([*labtune(stormy, "run", "--json"), *settings], check=False, **quiet)
        expected, found = stage_ids(calm), stage_ids(stormy)
    print(
        json.dumps(
            {"kills": places, "uninterrupted": expected, "killed": found, "same": expected == found}, indent=1
        )
    )
    sys.exit(0 if expected == found and len(expected) == 5 else 1)


if __name__ == "__main__":
    main()
