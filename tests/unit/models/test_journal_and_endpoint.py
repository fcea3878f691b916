"""Journal, endpoint client and flow together against a teacher that fails in all its ways."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from benchmarks.simulated_teacher import Faults, SimulatedTeacher, TeacherConfig

from labtune.config.endpoint import EndpointConfig
from labtune.errors import EndpointError, RequestError
from labtune.generation.flow.context import FlowContext
from labtune.generation.flow.engine import run
from labtune.generation.flow.pipeline import load_flow
from labtune.generation.flow.rows import FlowRow, source_row
from labtune.models.endpoint.teacher import open_teacher
from labtune.models.journal import Journal, JournaledModel
from labtune.protocols import ChatRequest, Reply, Sampling
from labtune.types import Message

EVERY_FAULT = Faults(
    **dict.fromkeys((*Faults.TRANSPORT, *Faults.CONTENT), 0.1), retry_after_s=0.05, slow_factor=10
)
ROWS = 24


def passage(number: int) -> str:
    return (
        f"The heron of lake {number} stands in shallow water for hours. It eats {number} fish a day. "
        f"Its nest lies {number} metres above the ground. Young herons of lake {number} fly after fifty days."
    )


def sources(changed: int | None = None) -> list[FlowRow]:
    common = {
        "leaf_path": "knowledge/birds", "language": "en", "task_description": "", "domain": "birds",
        "outline": "", "examples": [], "number": 2, "heading": "", "title": "Herons",
    }  # fmt: skip
    texts = [passage(number + (1000 if number == changed else 0)) for number in range(ROWS)]
    return [
        source_row("knowledge/birds", (str(number),), {**common, "passage": text, "document": text})
        for number, text in enumerate(texts)
    ]


async def generate(
    teacher: SimulatedTeacher | str, folder: Path, rows: list[FlowRow]
) -> tuple[list[FlowRow], FlowContext]:
    url = teacher if isinstance(teacher, str) else teacher.url
    config = EndpointConfig(endpoint=url, model="simulated-teacher", max_concurrency=16, timeout_s=10)
    steps = load_flow("simple").sections["knowledge"].steps
    with Journal(folder / "journal.sqlite") as journal:
        async with open_teacher(config, cache_dir=folder) as client:
            model = JournaledModel(client, journal)
            context = FlowContext("knowledge/birds", model, model)
            async with aclosing(run(rows, steps, context)) as stream:
                return [row async for row in stream], context


def funnel_loses_nothing(context: FlowContext) -> bool:
    """Whoever came into a step went out of it or was rejected with a reason (a reply may have many rows)."""
    check = context.stats["check"]
    return check.rows_in == check.rows_out + sum(check.rejected.values()) and context.unfinished == 0


def test_with_every_fault_nothing_is_lost_and_nothing_paid_twice(tmp_path: Path) -> None:
    config = TeacherConfig(slots=16, latency_ms=5, faults=EVERY_FAULT)

    async def two_runs() -> tuple[Any, Any, dict[str, Any], dict[str, Any]]:
        async with SimulatedTeacher(config) as teacher:
            first = await generate(teacher, tmp_path, sources())
            paid = teacher.stats()
            return first, await generate(teacher, tmp_path, sources()), paid, teacher.stats()

    (rows, context), (again, _), paid, later = asyncio.run(two_runs())
    assert rows == again
    assert funnel_loses_nothing(context)
    assert len(rows) > ROWS
    assert paid["answered_twice"] == 0
    assert len(paid["faults"]) >= 8
    assert later["requests"] == paid["requests"]


def test_the_rows_are_the_same_with_and_without_faults_of_the_transport(tmp_path: Path) -> None:
    shaky = replace(EVERY_FAULT, **dict.fromkeys(Faults.CONTENT, 0.0))

    async def both() -> list[list[FlowRow]]:
        found = []
        for number, faults in enumerate((Faults(), shaky)):
            async with SimulatedTeacher(TeacherConfig(latency_ms=5, sigma=1, faults=faults)) as teacher:
                found.append((await generate(teacher, tmp_path / str(number), sources()))[0])
        return found

    calm, stormy = asyncio.run(both())
    assert calm == stormy


def test_a_second_run_needs_no_endpoint(tmp_path: Path) -> None:
    async def one() -> tuple[list[FlowRow], str]:
        async with SimulatedTeacher() as teacher:
            return (await generate(teacher, tmp_path, sources()))[0], teacher.url

    rows, url = asyncio.run(one())
    assert asyncio.run(generate(url, tmp_path, sources()))[0] == rows


def test_only_what_changed_is_asked_anew(tmp_path: Path) -> None:
    async def two_runs() -> SimulatedTeacher:
        async with SimulatedTeacher(TeacherConfig(keep=True)) as teacher:
            await generate(teacher, tmp_path, sources())
            teacher.reset_counts()
            await generate(teacher, tmp_path, sources(changed=7))
            return teacher

    teacher = asyncio.run(two_runs())
    assert teacher.requests
    assert all("lake 1007" in body["messages"][-1]["content"] for body in teacher.requests)


def test_what_may_pass_is_asked_again_by_a_later_run(tmp_path: Path) -> None:
    request = ChatRequest((Message("user", "What eats a heron?"),), Sampling())

    async def run(teacher: SimulatedTeacher, faults: Faults) -> Reply:
        """A run in which the endpoint is known to be well before the faults begin."""
        config = EndpointConfig(endpoint=teacher.url, model="simulated-teacher", attempts=2)
        with Journal(tmp_path / "journal.sqlite") as journal:
            async with open_teacher(config) as client:
                model = JournaledModel(client, journal)
                await client.chat(replace(request, index=1))
                teacher.config = replace(teacher.config, faults=faults)
                try:
                    return await model.chat(request)
                finally:
                    teacher.config = replace(teacher.config, faults=Faults())

    async def three_runs() -> tuple[Reply, Reply]:
        async with SimulatedTeacher(TeacherConfig(latency_ms=20)) as teacher:
            with pytest.raises((RequestError, EndpointError)):
                await run(teacher, Faults(cut=1.0))
            return await run(teacher, Faults()), await run(teacher, Faults(cut=1.0))

    reply, again = asyncio.run(three_runs())
    assert (reply.cached, reply.model, reply.finish) == (False, "simulated-teacher", "stop")
    assert reply.latency_s >= 0.02
    assert again == replace(reply, cached=True)


@pytest.mark.parametrize("json_schema", ["reject", "ignore"])
def test_a_teacher_without_schemas_that_breaks_its_format_half_of_the_time(
    tmp_path: Path, json_schema: str
) -> None:
    config = TeacherConfig(json_schema=json_schema, faults=Faults(malformed=0.5))

    async def one() -> tuple[list[FlowRow], FlowContext]:
        async with SimulatedTeacher(config) as teacher:
            return await generate(teacher, tmp_path, sources())

    rows, context = asyncio.run(one())
    assert len(rows) > ROWS / 2
    assert funnel_loses_nothing(context)
