"""How many requests a second one ledger serves to the workers of a Ray cluster on this machine.

    python -m benchmarks.ledger_speed --workers 2 --requests 4000

Each worker asks a model that answers at once, many at a time, so that what is measured is the way to the
ledger, its journal and back: two calls a request (claim, keep).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
import time
from functools import partial
from pathlib import Path

from labtune.config.engine import EngineConfig
from labtune.engine.engines import open_engine
from labtune.engine.site import Site
from labtune.models.ledger import Ledger, LedgerModel
from labtune.protocols import ChatRequest, Host, Reply, Sampling
from labtune.types import Message

TEXT = "word " * 300


class Echo:
    """A model that answers at once."""

    name = "echo"

    async def chat(self, request: ChatRequest) -> Reply:
        return Reply(TEXT, True, 800, 300)


class Asker:
    """A worker: asks `requests` different questions, `slots` at a time."""

    def __init__(self, worker: int, ledger: Host) -> None:
        self._worker = worker
        self._model = LedgerModel(Echo(), ledger, worker)

    async def run(self, requests: int, slots: int) -> float:
        places = asyncio.Semaphore(slots)

        async def ask(number: int) -> None:
            text = f"{self._worker} {number} {'passage ' * 400}"
            async with places:
                await self._model.chat(ChatRequest((Message("user", text),), Sampling()))

        began = time.perf_counter()
        await asyncio.gather(*(ask(number) for number in range(requests)))
        return time.perf_counter() - began

    def ready(self) -> bool:
        return True


def measure(workers: int, requests: int, slots: int) -> dict[str, float]:
    """Requests a second over all workers, from their common start to the last one's end."""
    config = EngineConfig(kind="ray", workers=workers)
    with tempfile.TemporaryDirectory() as folder, open_engine(config, Site(Path(folder))) as engine:
        journal = Path(folder) / "journal.sqlite"
        with engine.host([partial(Ledger, journal)], near=True) as (ledger,):
            makes = [partial(Asker, number, ledger) for number in range(workers)]
            with engine.host(makes) as hosts:
                for host in hosts:
                    host.call("ready").result()
                began = time.perf_counter()
                for running in [host.call("run", requests, slots) for host in hosts]:
                    running.result()
                seconds = time.perf_counter() - began
            ledger.call("close").result()
    return {
        "workers": workers,
        "requests": workers * requests,
        "slots": slots,
        "requests_per_s": round(workers * requests / seconds, 1),
        "cores": os.cpu_count() or 1,
        "load": round(os.getloadavg()[0], 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--requests", type=int, default=4000)
    parser.add_argument("--slots", type=int, default=64)
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments.workers, arguments.requests, arguments.slots)))


if __name__ == "__main__":
    main()
