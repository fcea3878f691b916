"""Generation with a teacher that fails in every way, and `labtune generate` killed at random moments.

    python -m benchmarks.teacher_faults --share 0.05 --kills 100 --out docs/measurements

Faults: each hits the given share of requests. All leaves must complete, each row must leave each step or be
rejected with a reason, the teacher must not have answered any body twice, and a second run must ask nothing.
Faults of the transport alone must not change a single sample.

Kills: SIGKILL at random moments until the given number is reached; each time the journal must be readable and
lack at most what was in flight. The samples must be those of an uninterrupted run, and no more bodies
answered again than were in flight at the kills. Prints one JSON document; exit code 1 when anything fails.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.simulated_teacher import Faults, TeacherConfig, TeacherProcess, teacher_process

from labtune.artifact import file_hash
from labtune.generation.flow.pipeline import load_flow
from labtune.generation.screen import screened
from labtune.models.journal_file import JOURNAL_FILE, JournalFile, PruneRule

SLOTS = 16
ANY_TIME_S = 4.0
SENDING_S = 2.0
FILES = ("samples.jsonl", "rejected.jsonl")


@dataclass(frozen=True, slots=True)
class Setting:
    """Which lab is generated with which pipeline."""

    example: str
    pipeline: str
    target: int | None


@dataclass(slots=True)
class Storm:
    """What the kills did."""

    places: list[str] = field(default_factory=list)
    in_flight: list[int] = field(default_factory=list)
    answered_again: int = 0
    abandoned: int = 0
    rounds: int = 0
    same: bool = True


def run_labtune(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "labtune", *arguments], capture_output=True, text=True, check=False
    )


@contextmanager
def new_lab(setting: Setting, url: str) -> Iterator[Path]:
    """A fresh lab whose teacher is at `url`."""
    with tempfile.TemporaryDirectory() as folder:
        lab = Path(folder) / "lab"
        done = run_labtune("init", str(lab), "--example", setting.example)
        if done.returncode:
            raise RuntimeError(done.stderr)
        teacher = f"teacher: {{endpoint: '{url}', model: simulated-teacher, max_concurrency: {SLOTS}}}"
        lines = (lab / "labtune.yaml").read_text(encoding="utf-8").replace("teacher: builtin", teacher)
        bound = f", target: {setting.target}" if setting.target else ""
        lines += f"\ngenerate: {{pipeline: {setting.pipeline}{bound}}}\n"
        (lab / "labtune.yaml").write_text(lines, encoding="utf-8")
        yield lab


def generate(lab: Path) -> dict[str, Any]:
    """One run to its end; its JSON document."""
    result = run_labtune("generate", "--json", "--lab", str(lab))
    if result.returncode:
        raise RuntimeError(result.stderr[-3000:])
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def hashes(lab: Path) -> dict[str, str]:
    """SHA-256 of the files that generation made."""
    return {name: file_hash(lab / "runs" / "latest" / "generate" / name) for name in FILES}


def funnel(lab: Path) -> dict[str, Any]:
    path = lab / "runs" / "latest" / "generate" / "funnel.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def lost(funnels: dict[str, Any], pipeline: str) -> list[str]:
    """Places where rows went missing without a reason: what leaves a step must enter the next."""
    sections = load_flow(pipeline).sections
    walks = [screened(section.steps, lambda _row: None) for section in sections.values()]
    known = [[step.name for step in steps] for steps in walks]
    problems = []
    for leaf, entry in funnels.items():
        steps = entry["steps"]
        names = next(names for names in known if set(steps) <= set(names))
        walked = [name for name in names if name in steps]
        for before, after in itertools.pairwise(walked):
            if steps[before]["out"] != steps[after]["in"]:
                problems.append(
                    f"{leaf}: {steps[before]['out']} left {before}, {steps[after]['in']} reached {after}"
                )
        for name in walked:
            step = steps[name]
            if step["out"] < step["in"] - sum(step["rejected"].values()):
                problems.append(f"{leaf}: {name} dropped rows without a reason")
    return problems


def leaves_of(funnels: dict[str, Any]) -> dict[str, Any]:
    return {
        leaf: {key: entry.get(key) for key in ("produced", "generated", "kept", "end", "failed")}
        for leaf, entry in funnels.items()
    }


def with_faults(setting: Setting, share: float) -> dict[str, Any]:
    """Every fault at `share`, a second run, and the transport's faults alone."""
    every = Faults(
        **dict.fromkeys((*Faults.TRANSPORT, *Faults.CONTENT), share), retry_after_s=0.1, slow_factor=10
    )
    transport = replace(every, **dict.fromkeys(Faults.CONTENT, 0.0))
    config = TeacherConfig(slots=SLOTS, latency_ms=30, sigma=0.5)
    with teacher_process(config) as teacher, new_lab(setting, teacher.url) as lab:
        generate(lab)
        calm, calm_leaves = hashes(lab), leaves_of(funnel(lab))
    with teacher_process(replace(config, faults=transport)) as teacher, new_lab(setting, teacher.url) as lab:
        generate(lab)
        shaky, shaky_stats = hashes(lab), teacher.stats()
    with teacher_process(replace(config, faults=every)) as teacher, new_lab(setting, teacher.url) as lab:
        began = time.monotonic()
        generate(lab)
        seconds, stats = time.monotonic() - began, teacher.stats()
        leaves, problems = leaves_of(funnel(lab)), lost(funnel(lab), setting.pipeline)
        shutil.rmtree(lab / "runs")
        first = hashes_again(lab)
        later = teacher.stats()
    checks = {
        "all leaves gave samples": bool(leaves) and all(leaf["generated"] for leaf in leaves.values()),
        "nothing lost": not problems,
        "nothing paid twice": stats["answered_twice"] == 0 and shaky_stats["answered_twice"] == 0,
        "a second run asks nothing": later["requests"] == stats["requests"] and bool(first),
        "faults of the transport change nothing": calm == shaky,
    }
    return {
        "share": share,
        "seconds": round(seconds, 1),
        "teacher": stats,
        "leaves": leaves,
        "leaves_without_faults": calm_leaves,
        "problems": problems,
        "checks": checks,
    }


def hashes_again(lab: Path) -> dict[str, str]:
    """Generate once more without the finished runs; the leaves' own cache is put away as well."""
    for folder in (lab / ".labtune").iterdir():
        if folder.is_dir() and folder.name != "endpoints":
            shutil.rmtree(folder)
    generate(lab)
    return hashes(lab)


def kept(lab: Path) -> int:
    """Entries of the journal; raises when a kill left it unreadable."""
    path = lab / ".labtune" / JOURNAL_FILE
    if not path.exists():
        return 0
    with JournalFile(path) as journal:
        return journal.count(PruneRule())


def last_event(lab: Path) -> str:
    logs = sorted(lab.glob("runs/*/events.jsonl"))
    lines = logs[-1].read_text(encoding="utf-8").splitlines() if logs else []
    if not lines:
        return "before the first event"
    event = json.loads(lines[-1])
    return " ".join(str(event[key]) for key in ("event", "stage", "leaf") if key in event)


def wait_for_the_moment(
    process: subprocess.Popen[bytes], teacher: TeacherProcess, draw: random.Random
) -> None:
    """One kill of five falls at any time, the others while requests are on their way."""
    if draw.random() < 0.2:
        deadline = time.monotonic() + draw.uniform(0, ANY_TIME_S)
    else:
        before = teacher.stats()["requests"]
        while process.poll() is None and teacher.stats()["requests"] == before:
            time.sleep(0.02)
        deadline = time.monotonic() + draw.uniform(0, SENDING_S)
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)


def storm_round(lab: Path, teacher: TeacherProcess, storm: Storm, kills: int, draw: random.Random) -> None:
    """Kill generation again and again until it comes to its end or the kills are used up."""
    while len(storm.places) < kills:
        process = subprocess.Popen(
            [sys.executable, "-m", "labtune", "generate", "--json", "--lab", str(lab)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for_the_moment(process, teacher, draw)
        if process.poll() is None:
            process.kill()
            process.wait()
            # What the teacher finished after the kill was in flight, too.
            time.sleep(0.3)
            replies = kept(lab)
            storm.places.append(f"{last_event(lab)}, {replies} replies kept")
            storm.in_flight.append(teacher.stats()["answered_distinct"] - replies)
            print(f"kill {len(storm.places)}: {storm.places[-1]}", file=sys.stderr, flush=True)
            continue
        if process.returncode:
            raise RuntimeError(f"labtune generate ended with {process.returncode}")
        return


def with_kills(setting: Setting, kills: int, seed: int) -> dict[str, Any]:
    """Rounds of killed runs, each in a lab of its own, compared with an uninterrupted one."""
    config = TeacherConfig(slots=SLOTS, latency_ms=150, sigma=0.5)
    draw = random.Random(seed)
    storm = Storm()
    with teacher_process(config) as teacher:
        with new_lab(setting, teacher.url) as lab:
            generate(lab)
            calm, calls = hashes(lab), kept(lab)
            # The requests that find out about the endpoint itself are not the journal's.
            probes = teacher.stats()["answered_distinct"] - calls
        while len(storm.places) < kills:
            teacher.reset()
            with new_lab(setting, teacher.url) as lab:
                before = len(storm.in_flight)
                storm_round(lab, teacher, storm, kills, draw)
                generate(lab)
                stats = teacher.stats()
                again = stats["answered"] - stats["answered_distinct"]
                storm.in_flight[before:] = [max(0, n - probes) for n in storm.in_flight[before:]]
                storm.answered_again += again
                storm.rounds += 1
                storm.same = storm.same and hashes(lab) == calm and kept(lab) == calls
                storm.abandoned += stats["abandoned"]
                print(f"round {storm.rounds}: same {storm.same}, {again} again", file=sys.stderr, flush=True)
    checks = {
        "the same samples": storm.same,
        "at most the requests in flight lost": max(storm.in_flight, default=0) <= SLOTS,
        "nothing else answered again": storm.answered_again <= sum(storm.in_flight) + probes * storm.rounds,
    }
    return {
        "kills": len(storm.places),
        "rounds": storm.rounds,
        "calls_of_one_run": calls,
        "probes": probes,
        "answered_again": storm.answered_again,
        "abandoned_at_kills": storm.abandoned,
        "answered_but_not_kept_at_kills": storm.in_flight,
        "places": storm.places,
        "checks": checks,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--example", default="customer-service")
    parser.add_argument("--pipeline", default="full")
    parser.add_argument("--target", type=int, help="samples of each leaf; default: the pipeline's")
    parser.add_argument("--share", type=float, default=0.05, help="of requests that each fault hits; 0: skip")
    parser.add_argument("--kills", type=int, default=100, help="0: skip")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="folder for teacher-faults.json")
    options = parser.parse_args()
    setting = Setting(options.example, options.pipeline, options.target)
    document: dict[str, Any] = {"setting": f"{setting}"}
    if options.share:
        document["faults"] = with_faults(setting, options.share)
    if options.kills:
        document["kills"] = with_kills(setting, options.kills, options.seed)
    text = json.dumps(document, indent=1, ensure_ascii=False)
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / f"teacher-{'-'.join(list(document)[1:])}.json").write_text(text + "\n", "utf-8")
    print(text)
    parts = [document[name]["checks"] for name in ("faults", "kills") if name in document]
    sys.exit(0 if all(all(checks.values()) for checks in parts) else 1)


if __name__ == "__main__":
    main()
