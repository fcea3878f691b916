"""Leaves taught on the workers of an engine: a branch of the school in each, one ledger for all.

A branch teaches its leaves as the school at home does, from the same lessons, and sends each result back;
what it asks and what it may spend goes through the ledger beside the lab's journal. A branch that is lost is
opened again, and its leaves go on from the journal.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

from labtune.config.lab import GenerateConfig
from labtune.errors import LabtuneError
from labtune.generation.asked import AskedModel
from labtune.generation.board import Board, LeafState
from labtune.generation.flow.pipeline import load_flow
from labtune.generation.lesson import Lesson
from labtune.generation.teach import LeafEnd, LeafTeaching, School
from labtune.models.usage import Usage
from labtune.protocols import AsyncChatModel, Host
from labtune.types import Emit, Json, RunContext

LOOK_S = 0.5

Models = tuple[AsyncChatModel, AsyncChatModel]
OpenModels = Callable[[Host, tuple[int, int], Emit], AbstractAsyncContextManager[Models]]
"""Opens teacher and judge in a worker: (ledger, (its number, number of workers), event sink). Can be sent."""


@dataclass(frozen=True, slots=True)
class Syllabus:
    """What all branches teach by; can be sent to a worker. `pipeline` is a name or an absolute path."""

    config: GenerateConfig
    run: RunContext
    pipeline: str
    open_models: OpenModels


class Branch:
    """Teaches leaves in a worker, many at once in one event loop."""

    def __init__(self, share: tuple[int, int], syllabus: Syllabus, ledger: Host) -> None:
        self._share = share
        self._syllabus = syllabus
        self._ledger = ledger
        self._pipeline = load_flow(syllabus.pipeline)
        self._drain = asyncio.Event()
        self._usage = Usage()
        self._events: list[tuple[str, dict[str, Json]]] = []
        self._board = Board(self._note, self._usage, [])
        self._stack = AsyncExitStack()
        self._opening: asyncio.Future[Models] | None = None

    async def teach(self, lesson: Lesson) -> LeafEnd:
        """All rounds of a leaf. What stops it early is in `failure`, never raised."""
        try:
            teacher, judge = await self._models()
        except LabtuneError as error:
            return LeafEnd.never_begun(error)
        own, config = Usage(), self._syllabus.config
        usages = (self._usage, own)
        school = School(
            config,
            self._syllabus.run,
            self._pipeline,
            AskedModel(teacher, usages, config.temperature, config.max_tokens),
            AskedModel(judge, usages),
            self._drain,
            self._board,
        )
        try:
            taught = await LeafTeaching(lesson, school).teach()
        finally:
            self._board.left(lesson.leaf.path)
        return LeafEnd(taught.result, taught.complete and not own.transient, taught.failure)

    def look(self) -> tuple[list[tuple[str, LeafState]], int, list[tuple[str, dict[str, Json]]]]:
        """How far the leaves are, how many requests wait for an answer, and what happened since."""
        self._board.show_sample()
        events, self._events = self._events, []
        return self._board.at_work(), self._usage.waiting, events

    def drain(self) -> None:
        """Let what is in flight end and begin nothing."""
        self._drain.set()

    async def close(self) -> None:
        """Close teacher and judge."""
        await self._stack.aclose()

    async def _models(self) -> Models:
        if self._opening is None:
            self._opening = asyncio.ensure_future(self._open())
        return await asyncio.shield(self._opening)

    async def _open(self) -> Models:
        await asyncio.wrap_future(self._ledger.call("enter", self._share[0]))
        models = self._syllabus.open_models(self._ledger, self._share, self._note)
        return await self._stack.enter_async_context(models)

    def _note(self, event: str, fields: Mapping[str, Json]) -> None:
        self._events.append((event, dict(fields)))


@dataclass(slots=True)
class _Seat:
    """A branch as home sees it."""

    host: Host
    leaves: int = 0
    waiting: int = 0


class Branches:
    """All branches: a `Classroom` whose leaves are taught elsewhere."""

    def __init__(self, hosts: Sequence[Host], ledger: Host, board: Board, usage: Usage, emit: Emit) -> None:
        self._seats = [_Seat(host) for host in hosts]
        self._ledger = ledger
        self._board = board
        self._usage = usage
        self._emit = emit
        board.in_flight = lambda: sum(seat.waiting for seat in self._seats)

    async def teach(self, lesson: Lesson) -> LeafEnd:
        """Have the branch with the fewest leaves teach it."""
        seat = min(self._seats, key=lambda one: one.leaves)
        seat.leaves += 1
        try:
            end: LeafEnd = await _answer(seat.host, "teach", lesson)
            return end
        except LabtuneError as error:
            return LeafEnd.never_begun(error)
        finally:
            seat.leaves -= 1

    @asynccontextmanager
    async def watched(self, drain: asyncio.Event) -> AsyncIterator[None]:
        """Bring home what the branches tell, and carry the wish to end to them."""
        tasks = [asyncio.create_task(self._watch(seat)) for seat in self._seats]
        tasks += [asyncio.create_task(self._count()), asyncio.create_task(self._end_when(drain))]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            with suppress(LabtuneError):
                # What happened since the last look.
                await asyncio.gather(*(self._look(seat) for seat in self._seats))
                await self._take_usage()

    async def _watch(self, seat: _Seat) -> None:
        with suppress(LabtuneError):
            while True:
                await self._look(seat)
                await asyncio.sleep(LOOK_S)

    async def _look(self, seat: _Seat) -> None:
        states, seat.waiting, events = await _answer(seat.host, "look")
        for path, state in states:
            self._board.working(path, state)
        for event, told in events:
            self._emit(event, told)

    async def _count(self) -> None:
        with suppress(LabtuneError):
            while True:
                await self._take_usage()
                await asyncio.sleep(LOOK_S)

    async def _take_usage(self) -> None:
        usage = await _answer(self._ledger, "usage")
        for one in fields(usage):
            setattr(self._usage, one.name, getattr(usage, one.name))

    async def _end_when(self, drain: asyncio.Event) -> None:
        await drain.wait()
        for seat in self._seats:
            seat.host.call("drain")


@asynccontextmanager
async def open_branches(
    hosts: Sequence[Host], ledger: Host, board: Board, usage: Usage, run: RunContext, drain: asyncio.Event
) -> AsyncIterator[Branches]:
    """Branches at work; closed with their models at the end of the block."""
    branches = Branches(hosts, ledger, board, usage, run.emit)
    try:
        async with branches.watched(drain):
            yield branches
    finally:
        for host in (*hosts, ledger):
            with suppress(LabtuneError):
                await _answer(host, "close")


def branch_makers(syllabus: Syllabus, ledger: Host, number: int) -> list[Callable[[], Branch]]:
    """What makes each branch in its worker."""
    return [partial(Branch, (one, number), syllabus, ledger) for one in range(number)]


async def _answer(host: Host, method: str, *arguments: object) -> Any:
    return await asyncio.wrap_future(host.call(method, *arguments))
