"""Generation with teachers that are too weak: no leaf may end empty without a named cause.

    python -m benchmarks.weak_teacher
    python -m benchmarks.weak_teacher --serve src/labtune/builtin/nano
    python -m benchmarks.weak_teacher --endpoint http://localhost:8000/v1 --model NAME

Without options the teacher is simulated: it gets no schema and breaks its format in half of its replies.
`--serve` starts `transformers serve` (needs `transformers[serving]`) on a folder: a real OpenAI-compatible
server with a real model. Prints one JSON document by leaf: samples that the teacher made, how the leaf ended,
cause and remedy. Exit code 1 when a leaf below its target has no cause, or an empty one let the command pass.
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.simulated_teacher import Faults, TeacherConfig, teacher_process

READY_S = 120


@dataclass(frozen=True, slots=True)
class Lesson:
    """What the teacher is asked for. `max_concurrency` suits the server."""

    example: str = "customer-service"
    pipeline: str = "simple"
    target: int = 30
    max_concurrency: int = 8


def make_lab(folder: Path, lesson: Lesson, teacher: dict[str, Any]) -> None:
    command = [sys.executable, "-m", "labtune", "init", str(folder), "--example", lesson.example]
    subprocess.run(command, check=True, capture_output=True)
    file = folder / "labtune.yaml"
    lines = [line for line in file.read_text("utf-8").splitlines() if not line.startswith("teacher:")]
    teacher = {**teacher, "max_concurrency": lesson.max_concurrency}
    lines.append(f"teacher: {json.dumps(teacher)}")
    lines.append(f"generate: {{pipeline: {lesson.pipeline}, target: {lesson.target}}}")
    file.write_text("\n".join(lines) + "\n", "utf-8")


def examine(lesson: Lesson, teacher: dict[str, Any]) -> dict[str, Any]:
    """Generate once; how the command ended and what is known of each leaf."""
    with tempfile.TemporaryDirectory() as folder:
        lab = Path(folder) / "lab"
        make_lab(lab, lesson, teacher)
        command = [sys.executable, "-m", "labtune", "generate", "--lab", str(lab)]
        began = time.monotonic()
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        seconds = time.monotonic() - began
        files = sorted(lab.glob("runs/*/generate/funnel.json"))
        funnel = json.loads(files[-1].read_text("utf-8")) if files else {}
    leaves = {
        leaf: {key: entry.get(key) for key in ("asked", "generated", "target", "end", "cause", "remedy")}
        for leaf, entry in funnel.items()
    }
    unnamed = [
        leaf
        for leaf, entry in leaves.items()
        if entry["generated"] < entry["target"] and not (entry["cause"] and entry["remedy"])
    ]
    empty = [leaf for leaf, entry in leaves.items() if not entry["generated"]]
    return {
        "exit_code": done.returncode,
        "error": [line for line in done.stderr.splitlines() if line.startswith(("error:", "hint:"))],
        "seconds": round(seconds, 1),
        "leaves": leaves,
        "checks": {
            "every leaf was examined": bool(leaves),
            "every shortfall has a cause": not unnamed,
            "an empty leaf is an error that names it": all(leaf in done.stderr for leaf in empty)
            and bool(empty) == bool(done.returncode),
        },
    }


def with_simulated(lesson: Lesson, broken: float) -> dict[str, Any]:
    """A teacher that ignores schemas and breaks the given share of its replies."""
    config = TeacherConfig(json_schema="ignore", faults=Faults(malformed=broken))
    with teacher_process(config) as teacher:
        found = examine(lesson, {"endpoint": teacher.url, "model": config.model})
        return {**found, "teacher": teacher.stats()}


@contextmanager
def served(model: Path) -> Iterator[dict[str, Any]]:
    """`transformers serve` on a model's folder; gives the lab's `teacher`."""
    program = Path(sys.executable).with_name("transformers")
    port = free_port()
    command = [str(program), "serve", model.name, "--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen([*command, "--device", "cpu"], cwd=model.parent, stdout=sys.stderr)
    try:
        wait_until_ready(server, f"http://127.0.0.1:{port}/health")
        config = json.loads((model / "config.json").read_text("utf-8"))
        yield {
            "endpoint": f"http://127.0.0.1:{port}/v1",
            "model": model.name,
            "context_tokens": config["max_position_embeddings"],
        }
    finally:
        server.terminate()
        server.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until_ready(server: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + READY_S
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the server did not start; pip install 'transformers[serving]'") from None
        time.sleep(0.5)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--example", default="customer-service")
    parser.add_argument("--pipeline", default="simple")
    parser.add_argument("--target", type=int, default=30)
    parser.add_argument("--max-concurrency", type=int, default=2, help="of a real server")
    parser.add_argument("--broken", type=float, default=0.5, help="share of the simulated teacher's replies")
    parser.add_argument("--serve", type=Path, help="folder of a model")
    parser.add_argument("--endpoint")
    parser.add_argument("--model")
    options = parser.parse_args()
    lesson = Lesson(options.example, options.pipeline, options.target)
    real = Lesson(options.example, options.pipeline, options.target, options.max_concurrency)
    if options.endpoint:
        found = examine(real, {"endpoint": options.endpoint, "model": options.model})
    elif options.serve:
        with served(options.serve.resolve()) as teacher:
            found = examine(real, teacher)
    else:
        found = with_simulated(lesson, options.broken)
    print(json.dumps(found, indent=1, ensure_ascii=False))
    sys.exit(0 if all(found["checks"].values()) else 1)


if __name__ == "__main__":
    main()
