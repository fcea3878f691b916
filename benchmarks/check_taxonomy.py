"""Time and memory of `check` on a generated taxonomy.

    python benchmarks/check_taxonomy.py --leaves 10000

The leaves are written to a temporary folder first (not timed): knowledge with contexts of 30 to 180 words and
three questions each, grounded and free skills, every tenth Chinese; 2 to 10 kB each. Memory is the peak of
this process, read before and after the check.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import resource
import sys
import tempfile
import time
from pathlib import Path

TEXT = """
river mountain engine valve pressure market harvest signal copper winter lantern bridge protein orbit glacier
teacher ledger harbour violin circuit forest journal mineral patient contract tunnel desert
"""
WORDS = TEXT.split()
CHARACTERS = "山水火土金木日月星云雨雪春夏秋冬东西南北城市医院学校工厂机器道路桥梁农田森林海洋河流"


def sentence(draw: random.Random, *, chinese: bool) -> str:
    """A made-up sentence with a number in it."""
    if chinese:
        text = "".join(draw.choice(CHARACTERS) for _ in range(draw.randint(12, 28)))
        return f"{text}{draw.randint(1, 9999)}。"
    words = " ".join(draw.choice(WORDS) for _ in range(draw.randint(8, 18)))
    return f"The {words} holds {draw.randint(1, 9999)} units."


def passage(draw: random.Random, count: int, *, chinese: bool) -> list[str]:
    """Some sentences."""
    return [sentence(draw, chinese=chinese) for _ in range(count)]


def knowledge_leaf(draw: random.Random, *, chinese: bool) -> str:
    """A knowledge leaf: five to seven contexts with three questions each."""
    lines = ["version: 3", "created_by: benchmark", "domain: test", "document_outline: made-up facts"]
    lines += ["document:", "  repo: https://example.org/none", f"  commit: {'ab' * 20}"]
    lines += ['  patterns: ["*.md"]', "seed_examples:"]
    for _ in range(draw.randint(5, 7)):
        facts = passage(draw, draw.randint(3, 9), chinese=chinese)
        lines.append("  - context: |")
        lines += [f"      {fact}" for fact in facts]
        lines.append("    questions_and_answers:")
        for fact in facts[:3]:
            ask = f"{fact[:-1]}吗？" if chinese else f"What does {' '.join(fact.split()[1:6])} hold?"
            lines += [f"      - question: {ask}", "        answer: |", f"          {fact}"]
    return "\n".join(lines) + "\n"


def skill_leaf(draw: random.Random, *, chinese: bool) -> str:
    """A skill leaf: five to eight examples, half of the leaves grounded."""
    grounded = draw.random() < 0.5
    lines = ["version: 2", "created_by: benchmark", "task_description: shorten a text", "seed_examples:"]
    for _ in range(draw.randint(5, 8)):
        facts = passage(draw, draw.randint(2, 6), chinese=chinese)
        question = "Shorten the text. " + ("" if grounded else facts[0])
        lines += [f"  - question: {json.dumps(question, ensure_ascii=False)}"]
        lines += [f"    answer: {json.dumps(' '.join(facts[:2]), ensure_ascii=False)}"]
        if grounded:
            lines += ["    context: >", *(f"      {fact}" for fact in facts)]
    return "\n".join(lines) + "\n"


def write_taxonomy(root: Path, leaves: int) -> int:
    """Write the taxonomy; returns the bytes of all `qna.yaml`."""
    size = 0
    for number in range(leaves):
        draw = random.Random(number)
        chinese, knowledge = number % 10 == 0, number % 3 != 0
        top = "knowledge" if knowledge else "compositional_skills"
        folder = root / top / f"group_{number // 100:03d}" / f"leaf_{number:05d}"
        folder.mkdir(parents=True)
        make = knowledge_leaf if knowledge else skill_leaf
        data = make(draw, chinese=chinese).encode()
        (folder / "qna.yaml").write_bytes(data)
        (folder / "attribution.txt").write_text("Title of work: none\nLicense of the work: CC0-1.0\n")
        size += len(data)
    return size


def peak_mib() -> float:
    """Peak resident memory of this process so far, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


def machine() -> str:
    """Processor, cores and Python."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        models = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        name = models[0].partition(":")[2].strip() if models else name
    return f"{name}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"


def main() -> None:
    """Generate, check, print."""
    parser = argparse.ArgumentParser(description="Time and memory of `check` on a generated taxonomy.")
    parser.add_argument("--leaves", type=int, default=10_000)
    parser.add_argument("--no-lint", action="store_true", help="rules of the format only")
    options = parser.parse_args()

    from labtune.taxonomy.check import check

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        size = write_taxonomy(root, options.leaves)
        before = peak_mib()
        start, cpu = time.perf_counter(), time.process_time()
        report = check(root, lint=not options.no_lint)
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
    result = {
        "leaves": report.leaves,
        "bytes_per_leaf": round(size / options.leaves),
        "lint": not options.no_lint,
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu_seconds, 2),
        "leaves_per_second": round(report.leaves / seconds),
        "peak_mib": round(peak_mib(), 1),
        "peak_mib_before": round(before, 1),
        "findings": len(report.findings),
        "machine": machine(),
        "load_average": round(os.getloadavg()[0], 1),
    }
    print(json.dumps(result))
    print(
        f"{report.leaves:,} leaves ({size / 1e6:.0f} MB) in {seconds:.1f} s ({cpu_seconds:.1f} s CPU), "
        f"{report.leaves / seconds:,.0f} a second, peak {peak_mib():.0f} MiB ({before:.0f} MiB before)",
        file=sys.stderr,
    )


if __name__ == "__main__":
    main()
