"""What a change costs with a teacher behind an endpoint: the teacher's own counts.

    python -m benchmarks.incremental

A lab of ten knowledge leaves, a pipeline of the lab's own (pairs, then a judge), a simulated teacher that
keeps all requests. Generates; changes one leaf's document; changes the judge's prompt; generates once more
with the teacher switched off, after runs and finished leaves were put away, so that only the journal is
left. Prints one JSON document; exit code 1 when a request was sent that the change does not explain.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.simulated_teacher import TeacherConfig, TeacherProcess, teacher_process

from labtune.artifact import file_hash

NAMES = ["Aspen", "Birch", "Cedar", "Dogwood", "Elder", "Fir", "Ginkgo", "Hazel", "Ivy", "Juniper"]
LEAF = Path("taxonomy/knowledge/home_appliances/pelluno_v3")
PIPELINE = """\
name: own
about: Pairs and one check.
version: 1
knowledge:
  - name: pairs
    type: prompt
    config: {prompt: knowledge/pairs, many: pairs, reply: {question: text, answer: text}}
  - name: check
    type: judge
    config: {prompt: ./prompts/check, criteria: {faithful: yes_no}}
"""
CHECK = """\
# user
A pair of {{ leaf_path | line }}:

{{ passage | block("passage") }}

{{ question | block("question") }}

{{ answer | block("answer") }}

Is the answer faithful? Give a `reason`, then `faithful` as true or false.
"""
OTHER_CHECK = CHECK.replace("Is the answer faithful?", "Does the passage say so?")


def labtune(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "labtune", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True)


def make_lab(lab: Path, url: str) -> None:
    """Ten copies of the example's knowledge leaf, each about a product of another name."""
    labtune("init", str(lab), "--example", "customer-service")
    shutil.rmtree(lab / "taxonomy" / "compositional_skills")
    for name in NAMES:
        leaf = lab / LEAF.parent / name.lower()
        shutil.copytree(lab / LEAF, leaf)
        for file in leaf.iterdir():
            file.write_text(file.read_text("utf-8").replace("Pelluno V3", f"Pelluno {name}"), "utf-8")
    shutil.rmtree(lab / LEAF)
    teacher = {"endpoint": url, "model": "simulated-teacher"}
    settings = {"teacher": teacher, "generate": {"pipeline": "own.yaml", "target": 30, "rounds": 1}}
    (lab / "labtune.yaml").write_text(json.dumps(settings), "utf-8")
    (lab / "own.yaml").write_text(PIPELINE, "utf-8")
    prompt(lab).parent.mkdir(parents=True)
    prompt(lab).write_text(CHECK, "utf-8")


def prompt(lab: Path) -> Path:
    return lab / "prompts" / "check" / "en.md"


def samples(lab: Path) -> str:
    return file_hash(lab / "runs" / "latest" / "generate" / "samples.jsonl")


def asked(teacher: TeacherProcess) -> Counter[str]:
    """Requests since the last reset by what they are, such as "pairs of aspen"; the teacher forgets them."""
    counts: Counter[str] = Counter()
    for body in teacher.requests():
        text = "\n".join(str(message["content"]) for message in body["messages"])
        step = "check" if "`faithful` as true or false" in text else "pairs"
        leaf = next((n.lower() for n in NAMES if n in text or f"/{n.lower()}:" in text), "")
        counts[f"{step} of {leaf}" if leaf else "probe"] += 1
    teacher.reset()
    return counts


def measure(lab: Path, teacher: TeacherProcess) -> dict[str, Any]:
    labtune("generate", "--lab", str(lab))
    everything = asked(teacher)
    labtune("generate", "--lab", str(lab))
    unchanged = asked(teacher)
    manual = lab / LEAF.parent / "dogwood" / "manual.md"
    said = manual.read_text("utf-8")
    manual.write_text(f"{said}\nThe Pelluno Dogwood folds flat for a suitcase.\n", "utf-8")
    labtune("generate", "--lab", str(lab))
    one_leaf = asked(teacher)
    prompt(lab).write_text(OTHER_CHECK, "utf-8")
    labtune("generate", "--lab", str(lab))
    return {"first": everything, "unchanged": unchanged, "one leaf": one_leaf, "judge": asked(teacher)}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        lab = Path(folder) / "lab"
        with teacher_process(TeacherConfig(keep=True)) as teacher:
            make_lab(lab, teacher.url)
            found = measure(lab, teacher)
        before = samples(lab)
        shutil.rmtree(lab / "runs")
        shutil.rmtree(lab / ".labtune" / "generate")
        labtune("generate", "--lab", str(lab))
        same = samples(lab) == before
    checks = {
        "the first run asks for every leaf": {name.split(" of ")[-1] for name in found["first"]}
        >= {name.lower() for name in NAMES},
        "nothing changed: nothing is sent": not found["unchanged"],
        "one leaf changed: requests for it only": bool(found["one leaf"])
        and all(name.endswith("dogwood") for name in found["one leaf"]),
        "a judge's prompt changed: judge requests only": bool(found["judge"])
        and all(name.startswith("check") for name in found["judge"]),
        "teacher switched off: the same samples": same,
    }
    told = {name: {"requests": counts.total(), **counts} for name, counts in found.items()}
    print(json.dumps({**told, "checks": checks}, indent=1))
    sys.exit(0 if all(checks.values()) else 1)


if __name__ == "__main__":
    main()
