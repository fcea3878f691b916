"""One client process of `generation_stream`: labtune's flow, or the floor, a bare aiohttp stream.

    python -m benchmarks.stream_client '{"role": "labtune", "url": ..., "rows": 256, "slots": 32, ...}'

Prints one JSON document: wall time, CPU time and memory of this process.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

SAMPLES_S = 0.5
PAGE = os.sysconf("SC_PAGE_SIZE")

STEPS = {
    "facts": (
        "view",
        "{{ passage | block('passage') }}\n\nStep 1 of 4. Put what the passage says into `view`.",
    ),
    "question": ("question", "{{ view | block('passage') }}\n\nStep 2 of 4. Ask one thing in `question`."),
    "answer": (
        "answer",
        "{{ passage | block('passage') }}\n\n{{ question | block('question') }}\n\n"
        "Step 3 of 4. Give the `answer` in the words of the passage.",
    ),
    "check": (
        "reason",
        "{{ passage | block('passage') }}\n\n{{ question | block('question') }}\n\n"
        "{{ answer | block('answer') }}\n\nStep 4 of 4. Say in `reason` whether the passage says so.",
    ),
}
SENTENCES = (
    "The heron of report {n} stands in shallow water for hours and waits. ",
    "In report {n} it eats fish and frogs, sometimes a mouse, now and then a young duck. ",
    "Its nest lies in a tall tree near lake {n} and is used again each year. ",
    "The young of nest {n} fly after fifty days and leave the lake in the ninth month. ",
)


@dataclass(frozen=True, slots=True)
class Task:
    """What to do. `steps` of the chain are walked; `chains` is the floor's file of bodies, a row a line."""

    role: str
    url: str
    folder: str
    rows: int
    slots: int
    window: int = 1024
    steps: int = 4
    chains: str = ""


@dataclass(slots=True)
class Memory:
    """Resident memory of this process over time, MiB."""

    rows: Callable[[], int]
    began: float = field(default_factory=time.perf_counter)
    samples: list[tuple[float, int, float]] = field(default_factory=list)

    async def watch(self) -> None:
        while True:
            resident = int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / (1 << 20)
            self.samples.append((round(time.perf_counter() - self.began, 2), self.rows(), round(resident, 1)))
            await asyncio.sleep(SAMPLES_S)


def peak_mib() -> float:
    """Peak resident memory of this process since it began its program."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return round(int(line.split()[1]) / 1024, 1)
    raise OSError("/proc/self/status has no VmHWM")


def passage(number: int) -> str:
    """A passage of about 1,200 characters that no other row has."""
    return "".join(text.format(n=number) for text in SENTENCES) * 4


def write_pipeline(folder: Path, steps: int) -> Path:
    """The four-stage chain as a pipeline file with prompts of its own."""
    lines = ["name: chain", "about: A chain of dependent calls.", "version: 1", "knowledge:"]
    for name, (reply, prompt) in list(STEPS.items())[:steps]:
        home = folder / "prompts" / name
        home.mkdir(parents=True, exist_ok=True)
        (home / "en.md").write_text(f"# system\nYou work on reports about birds.\n\n# user\n{prompt}\n")
        lines += [f"  - name: {name}", "    type: prompt"]
        lines.append(f"    config: {{prompt: ./prompts/{name}, reply: {{{reply}: text}}, max_tokens: 512}}")
    if steps < len(STEPS):
        lines += ["  - name: done", "    type: map", "    config: {set: {question: view, answer: view}}"]
    path = folder / "chain.yaml"
    path.write_text("\n".join(lines) + "\n")
    return path


async def measure(work: Awaitable[None], memory: Memory) -> dict[str, Any]:
    """Wall and CPU seconds of `work`, and the memory meanwhile."""
    watcher = asyncio.create_task(memory.watch())
    cpu, wall = time.process_time(), time.perf_counter()
    await work
    result = {
        "wall_s": round(time.perf_counter() - wall, 4),
        "cpu_s": round(time.process_time() - cpu, 4),
        "rows": memory.rows(),
    }
    watcher.cancel()
    return {**result, "peak_mib": peak_mib(), "memory": memory.samples}


async def labtune(task: Task) -> dict[str, Any]:
    """labtune's own flow over its journal and its endpoint client, as `labtune generate` uses them."""
    from labtune.generation.flow.context import FlowContext
    from labtune.generation.flow.engine import run
    from labtune.generation.flow.pipeline import load_flow
    from labtune.generation.flow.rows import source_row

    steps = load_flow(str(write_pipeline(Path(task.folder), task.steps))).sections["knowledge"].steps
    done = 0

    def rows() -> Iterator[Any]:
        for number in range(task.rows):
            fields = {"language": "en", "passage": passage(number)}
            yield source_row("knowledge/birds", (str(number),), fields)

    async with _journaled(task) as model:
        context = FlowContext("knowledge/birds", model, model)

        async def work() -> None:
            nonlocal done
            async with aclosing(run(rows(), steps, context, window=task.window)) as stream:
                async for _row in stream:
                    done += 1

        result = await measure(work(), Memory(lambda: done))
    stats = {name: asdict(entry) for name, entry in context.stats.items()}
    return {**result, "rejected": len(context.rejections), "stats": stats}


@asynccontextmanager
async def _journaled(task: Task) -> AsyncIterator[Any]:
    from labtune.config.endpoint import EndpointConfig
    from labtune.models.endpoint.teacher import open_teacher
    from labtune.models.journal import Journal, JournaledModel

    config = EndpointConfig(endpoint=task.url, model="simulated-teacher", max_concurrency=task.slots)
    folder = Path(task.folder)
    with Journal(folder / "journal.sqlite") as journal:
        async with open_teacher(config, cache_dir=folder / "endpoints") as client:
            # What is found out once per endpoint is not part of the stream; the floor knows it all.
            await client.prepare(json_mode=True)
            yield JournaledModel(client, journal)


async def floor(task: Task) -> dict[str, Any]:
    """The same bodies in the same order of dependence, with aiohttp and nothing else."""
    import aiohttp

    done = 0
    slots = asyncio.Semaphore(task.slots)

    async def walk(chains: Iterator[str], session: aiohttp.ClientSession) -> None:
        nonlocal done
        for line in chains:
            for body in json.loads(line):
                async with slots, session.post(f"{task.url}/chat/completions", data=body.encode()) as reply:
                    value = json.loads(await reply.read())
                assert value["choices"][0]["message"]["content"]
            done += 1

    with Path(task.chains).open(encoding="utf-8") as chains:
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=task.slots), headers={"Content-Type": "application/json"}
        ) as session:

            async def work() -> None:
                walkers = min(task.window, task.rows)
                await asyncio.gather(*(walk(chains, session) for _ in range(walkers)))

            return await measure(work(), Memory(lambda: done))


def main() -> None:
    task = Task(**json.loads(sys.argv[1]))
    print(json.dumps(asyncio.run(labtune(task) if task.role == "labtune" else floor(task))))


if __name__ == "__main__":
    main()
