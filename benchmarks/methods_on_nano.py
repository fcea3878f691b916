"""Full tuning, LoRA and OSFT on the nano student, each with and without replay: exam against retention.

    python benchmarks/methods_on_nano.py --out docs/measurements/methods-on-nano.json [--seeds 1 2 3]
    python benchmarks/methods_on_nano.py --out FILE --pilot          rates of LoRA and OSFT, one seed
    python benchmarks/methods_on_nano.py --out FILE --plot FILE.svg  draw what is there, run nothing

One lab for each seed; its stages are shared by the arms as far as their inputs are equal. A run that the JSON
already holds is not done again, so an interrupted series goes on. Exam = share of the test questions right
(typed answers), retention = general exam tuned / base. LAB's phases, questions without noise. Full tuning has
the settings that were chosen for it; LoRA and OSFT differ in the settings of METHODS, and after a pilot they
have the lowest rate whose development score is within NEAR of the best (of two that learn alike, the lower
forgets less). About 4 minutes a run on two idle cores; OSFT takes twice as long.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

METHODS: dict[str, dict[str, object]] = {
    "full": {},
    "lora": {"train.learning_rate": 5e-3, "train.lora.rank": 32, "train.lora.alpha": 64},
    "osft": {"train.learning_rate": 2e-3, "train.osft.preserve": 0.5, "train.replicas": 1},
}
RATES: dict[str, tuple[float, ...]] = {"lora": (2e-3, 5e-3, 1e-2), "osft": (1e-3, 2e-3, 4e-3)}
NEAR = 0.02
REPLAY: dict[str, dict[str, object]] = {"replay": {}, "no replay": {"mix.replay": False}}
ALWAYS: dict[str, object] = {
    "evaluate.retention_floor": 0,
    # LAB's phases without noise, and the mix and the rate of full tuning that were chosen for them.
    "recipe": "lab",
    "generate.short_share": 0.5,
    "mix.leaf_floor": 0,
    "mix.question_noise": 0,
    "train.learning_rate": 1e-3,
    "train.pull_back": 2,
}

COLOURS = {"full": "#24292f", "lora": "#0969da", "osft": "#bf3989"}
INK, GRID = "#24292f", "#d0d7de"


def run_once(
    lab: Path, example: str, method: str, replay: str, seed: int, extra: Mapping[str, object]
) -> dict[str, Any]:
    """One run in `lab`, which is made when it is not there."""
    command = [sys.executable, "-m", "labtune"]
    if not lab.exists():
        subprocess.run([*command, "init", str(lab), "--example", example], check=True, capture_output=True)
    settings = {**ALWAYS, "train.method": method, **METHODS[method], **REPLAY[replay], **extra, "seed": seed}
    flags = [word for key, value in settings.items() for word in ("--set", f"{key}={json.dumps(value)}")]
    done = subprocess.run(
        [*command, "run", "--json", "--lab", str(lab), *flags], capture_output=True, text=True
    )
    run = (lab / "runs" / "latest").resolve()
    if not (run / "evaluate" / "scores.json").exists():
        sys.exit(f"{method}, {replay}, seed {seed} failed:\n{done.stderr}")
    scores = json.loads((run / "evaluate" / "scores.json").read_text(encoding="utf-8"))
    metrics = json.loads((run / "train" / "metrics.json").read_text(encoding="utf-8"))
    tuned = scores["total"]["tuned"]
    return {
        "method": method,
        "replay": replay,
        "seed": seed,
        "rate": settings.get("train.learning_rate"),
        "base": scores["total"]["base"]["right"],
        "exam": tuned["right"],
        "mc": tuned["mc"],
        "retention": scores["retention"]["ratio"],
        "development": metrics["scores"][-1][2],
        "seconds": metrics["seconds"]["training"],
        "peak_memory_mib": metrics["peak_memory_mib"],
    }


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Means over the seeds, with the lowest and the highest."""
    lines = [
        "| method | replay | rate | seeds | exam right | retention | training s |",
        "|---|---|---|---|---|---|---|",
    ]
    for (method, replay, rate), mine in _arms(rows).items():
        shown = [_spread([row[key] for row in mine]) for key in ("exam", "retention")]
        seconds = statistics.mean(row["seconds"] for row in mine)
        start = f"| {method} | {replay} | {rate or 'profile'} | {len(mine)} |"
        lines.append(f"{start} {' | '.join(shown)} | {seconds:.0f} |")
    return "\n".join(lines)


def figure(rows: Sequence[Mapping[str, Any]]) -> str:
    """Exam (up) against retention (right): a dot a run, a ring a mean; filled with replay, hollow without.

    A pilot's other rates, which were not tried without replay, are left out.
    """
    chosen = {(row["method"], row["rate"]) for row in rows if row["replay"] == "no replay"}
    rows = [row for row in rows if not chosen or (row["method"], row["rate"]) in chosen]
    width, height, left, bottom, top, right = 760, 460, 60, 400, 40, 600
    lowest = min([0.5, *(row["retention"] for row in rows)])
    low = int(lowest * 10) / 10

    def at(row: Mapping[str, float]) -> tuple[float, float]:
        x = left + (right - left) * (row["retention"] - low) / (1.05 - low)
        return x, bottom - (bottom - top) * row["exam"]

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        f'font-size="12" fill="{INK}">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        _text(left, 22, "Exam right against retention; small: runs, large: means", weight="bold"),
        _text((left + right) / 2, bottom + 42, "retention: general exam, tuned / base", anchor="middle"),
    ]
    for tenth in range(0, 11, 2):
        y = bottom - (bottom - top) * tenth / 10
        parts.append(f'<line x1="{left}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="{GRID}"/>')
        parts.append(_text(left - 8, y + 4, f"{tenth / 10:.1f}", anchor="end"))
    for value in (low + step / 10 for step in range(round((1.0 - low) * 10) + 1)):
        x = left + (right - left) * (value - low) / (1.05 - low)
        parts.append(f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{bottom}" stroke="{GRID}"/>')
        parts.append(_text(x, bottom + 18, f"{value:.1f}", anchor="middle"))
    for number, ((method, replay, _), mine) in enumerate(_arms(rows).items()):
        colour = COLOURS[method]
        fill = colour if replay == "replay" else "white"
        mean = {key: statistics.mean(row[key] for row in mine) for key in ("exam", "retention")}
        for row, radius in (*((row, 3.0) for row in mine), (mean, 8.0)):
            x, y = at(row)
            parts.append(
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{fill}" stroke="{colour}" '
                'stroke-width="2" fill-opacity="0.8"/>'
            )
        y = top + 20 * number
        parts.append(f'<circle cx="620" cy="{y}" r="6" fill="{fill}" stroke="{colour}" stroke-width="2"/>')
        parts.append(_text(634, y + 4, f"{method}, {replay}"))
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


def _arms(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str, Any], list[Mapping[str, Any]]]:
    arms: dict[tuple[str, str, Any], list[Mapping[str, Any]]] = {}
    for row in rows:
        arms.setdefault((row["method"], row["replay"], row["rate"]), []).append(row)
    return arms


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def _text(x: float, y: float, text: str, *, anchor: str = "start", weight: str = "normal") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}">{text}</text>'


def _wanted(
    options: argparse.Namespace, rows: Sequence[Mapping[str, Any]]
) -> list[tuple[str, str, int, dict[str, object]]]:
    extra = dict(text.split("=", 1) for text in options.settings)
    typed = {key: json.loads(value) for key, value in extra.items()}
    if options.pilot:
        rates = [(method, rate) for method in options.methods for rate in RATES.get(method, ())]
        return [
            (method, "replay", options.seeds[0], {**typed, "train.learning_rate": rate})
            for method, rate in rates
        ]
    rates = {method: _best_rate(rows, method) for method in options.methods}
    chosen = {method: {"train.learning_rate": rate} if rate else {} for method, rate in rates.items()}
    arms = itertools.product(options.seeds, options.methods, REPLAY)
    return [(method, replay, seed, {**chosen[method], **typed}) for seed, method, replay in arms]


def _best_rate(rows: Sequence[Mapping[str, Any]], method: str) -> float | None:
    """The pilot's lowest rate with a development score near the best; None without a pilot."""
    mine = [row for row in rows if row["method"] == method and row["replay"] == "replay"]
    first = min((row["seed"] for row in mine), default=0)
    tried = {row["rate"]: row["development"] for row in mine if row["seed"] == first}
    if len(tried) < 2:
        return None
    return min(rate for rate, score in tried.items() if score >= max(tried.values()) - NEAR)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--example", default="customer-service")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="KEY=JSON")
    parser.add_argument("--pilot", action="store_true", help="one seed, with replay, over RATES")
    parser.add_argument("--labs", type=Path, help="where the labs lie (default: a folder that is deleted)")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    document: dict[str, Any] = {"example": options.example, "machine": machine, "runs": []}
    if options.out.exists():
        document = json.loads(options.out.read_text(encoding="utf-8"))
    rows = document["runs"]
    with tempfile.TemporaryDirectory() as folder:
        labs = options.labs or Path(folder)
        for method, replay, seed, extra in [] if options.plot and rows else _wanted(options, rows):
            rate = {**METHODS[method], **extra}.get("train.learning_rate")
            if any(
                (row["method"], row["replay"], row["seed"], row["rate"]) == (method, replay, seed, rate)
                for row in rows
            ):
                continue
            rows.append(run_once(labs / f"seed-{seed}", options.example, method, replay, seed, extra))
            print(rows[-1], file=sys.stderr, flush=True)
            options.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    if options.plot and rows:
        options.plot.write_text(figure(rows), encoding="utf-8")
    print(f"{options.example}, {document['machine']}\n\n{table(rows)}")


if __name__ == "__main__":
    main()
