"""What replay, noise and phases are worth: one lab with and without, several seeds, exam against retention.

    python benchmarks/ablations.py --seeds 1 2 3 --arms default no-replay no-noise phased

Prints a Markdown table (one row an arm and seed, then the means) and writes the rows as JSON with --out.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

_FREE = ["--set", "evaluate.retention_floor=0"]
ARMS: dict[str, list[str]] = {
    "default": _FREE,
    "no-replay": [*_FREE, "--set", "mix.replay=false"],
    "no-noise": [*_FREE, "--set", "mix.question_noise=0"],
    "phased": [*_FREE, "--set", "recipe=lab"],
    "phased-no-replay": [*_FREE, "--set", "recipe=lab", "--set", "mix.replay=false"],
}


def run_arm(
    folder: Path, example: str, arm: str, seed: int, extra: list[str]
) -> dict[str, float | str | int]:
    lab = folder / f"{arm}-{seed}"
    command = [sys.executable, "-m", "labtune"]
    subprocess.run([*command, "init", str(lab), "--example", example], check=True, capture_output=True)
    run = subprocess.run(
        [*command, "run", "--json", "--lab", str(lab), "--set", f"seed={seed}", *ARMS[arm], *extra],
        capture_output=True,
        text=True,
    )
    scores_file = lab / "runs" / "latest" / "evaluate" / "scores.json"
    if not scores_file.exists():
        sys.exit(f"{arm} seed {seed} failed:\n{run.stderr}")
    scores = json.loads(scores_file.read_text(encoding="utf-8"))
    manifest = json.loads((lab / "runs/latest/train/manifest.json").read_text(encoding="utf-8"))
    tuned = scores["total"]["tuned"]
    return {
        "arm": arm,
        "seed": seed,
        "base_right": scores["total"]["base"]["right"],
        "right": tuned["right"],
        "mc": tuned["mc"],
        "retention": scores["retention"]["ratio"],
        "train_seconds": manifest["seconds"],
    }


def table(rows: list[dict[str, float | str | int]]) -> str:
    lines = [
        "| arm | seed | exam right | multiple choice | retention | training s |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        lines.append(
            f"| {row['arm']} | {row['seed']} | {row['right']:.3f} | {row['mc']:.3f} | {row['retention']:.3f} "
            f"| {row['train_seconds']:.0f} |"
        )
    for arm in dict.fromkeys(row["arm"] for row in rows):
        mine = [row for row in rows if row["arm"] == arm]
        means = {
            key: statistics.mean(float(row[key]) for row in mine) for key in ("right", "mc", "retention")
        }
        lines.append(
            f"| **{arm}** | mean of {len(mine)} | {means['right']:.3f} | {means['mc']:.3f} "
            f"| {means['retention']:.3f} | |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--example", default="customer-service")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--set", action="append", default=[], dest="settings")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    extra = [word for text in options.settings for word in ("--set", text)]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in options.seeds:
            for arm in options.arms:
                rows.append(run_arm(Path(folder), options.example, arm, seed, extra))
                print(rows[-1], file=sys.stderr, flush=True)
                if options.out:
                    options.out.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    print(f"{options.example}, {machine}\n")
    print(table(rows))


if __name__ == "__main__":
    main()
