"""What the engine tests have their workers do. Importable by worker processes."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from labtune.errors import ModelError
from labtune.protocols import Host


def square(number: int) -> int:
    return number * number


def square_or_die(pair: tuple[int, Path]) -> int:
    """The square; whoever gets the 3 first dies of it."""
    number, marker = pair
    if number == 3:
        die_once(marker)
    return number * number


def refuse(number: int) -> int:
    raise ModelError(f"shard {number} is unusable", hint="mend it")


def die_once(marker: Path) -> None:
    """Kill this process the first time that it is asked for."""
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)


class Counter:
    def __init__(self, start: int = 0) -> None:
        self.count = start

    async def add(self, number: int) -> int:
        self.count += number
        return self.count

    def process(self) -> int:
        return os.getpid()

    def fail(self) -> None:
        raise ModelError("the counter is stuck")

    def die(self, marker: Path) -> str:
        die_once(marker)
        return "alive"

    def add_elsewhere(self, other: Host, number: int) -> int:
        return other.call("add", number).result()
