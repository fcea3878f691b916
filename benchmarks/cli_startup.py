"""CPU time of each command's help: the least of several runs, since a busy machine only adds to it.

    python benchmarks/cli_startup.py --runs 7

Prints one JSON document; exit code 1 when one of them takes longer than the budget.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys

from labtune.cli.main import COMMANDS

BUDGET_S = 0.2


def cpu_seconds(arguments: list[str]) -> float:
    """User plus system time of one process."""
    process = subprocess.Popen([sys.executable, "-m", "labtune", *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"labtune {' '.join(arguments)} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    runs = parser.parse_args().runs
    verbs = [[], *([name] for name in COMMANDS), ["config", "explain"]]
    least = {
        " ".join(["labtune", *verb, "--help"]): round(
            min(cpu_seconds([*verb, "--help"]) for _ in range(runs)), 3
        )
        for verb in verbs
    }
    print(json.dumps({"budget_s": BUDGET_S, "cpu_s": least}, indent=1))
    raise SystemExit(max(least.values()) > BUDGET_S)


if __name__ == "__main__":
    main()
