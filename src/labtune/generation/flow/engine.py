"""The stream: each row walks its steps as a task of its own, and what comes out does not depend on timing.

There is no barrier between steps: a child starts the moment its parent's reply is there. Two kinds of blocks
need an order, and say so: `siblings` (all rows of one source row that came so far, in the order of the walk)
and `leaf` (the same, and source rows one after another). Other source rows go on in the meantime.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any, Literal, Protocol

from labtune.errors import LabtuneError, RequestError
from labtune.generation.flow.context import FlowContext, StepContext, StepRecord, count_step
from labtune.generation.flow.rows import FlowRow
from labtune.models.endpoint.structured import MalformedReply
from labtune.types import Rejection

Order = Literal["any", "siblings", "leaf"]
AHEAD = 8
"""Windows of source rows begun at most beyond the one that is yielded next: a slow row must not empty the
endpoint's slots, and what came after it must not fill the memory."""
_SHOWN_REPLY = 160
"""Characters."""


class FlowBlock(Protocol):
    """One block: a row in, any number of rows out. It holds no state of its own; see `FlowContext.state`."""

    @property
    def order(self) -> Order:
        """Whether rows have to come in order, and among which rows."""
        ...

    async def __call__(self, row: FlowRow, context: StepContext) -> Sequence[FlowRow]:
        """What becomes of a row: nothing after `context.reject`, itself with more fields, or children.

        Raises:
            RequestError: the row is rejected.
            LabtuneError: any other ends the flow.
        """
        ...


@dataclass(frozen=True, slots=True)
class FlowStep:
    """A block with its name in the pipeline; rows that `when` is false for pass it untouched."""

    name: str
    block: FlowBlock
    when: Callable[[FlowRow], bool] | None = None

    @property
    def order(self) -> Order:
        """The block's."""
        return self.block.order


async def run(
    source: Iterable[FlowRow],
    steps: Sequence[FlowStep],
    context: FlowContext,
    *,
    window: int = 1024,
    drain: asyncio.Event | None = None,
    on_failure: Literal["drain", "stop"] = "drain",
) -> AsyncGenerator[FlowRow, None]:
    """Walk all rows; yield what comes out, in the order of the source rows and, in each, of the walk.

    A row that fails is a rejection and stops nothing. Cancelling the task that iterates cancels every walk.
    Close the iterator (`contextlib.aclosing`) when leaving it early.

    Args:
        source: rows, pulled as room is there.
        steps: the pipeline.
        context: what the leaf's rows share.
        window: most source rows at work; no row is started while more than that many rows are alive, children
            included. Several times the endpoint's slots. Rows that wait for an earlier one, to be yielded or
            to enter an ordered block, do not count; `AHEAD` bounds them.
        drain: when set, no step is begun any more; those that run end, and what is complete is yielded.
        on_failure: what a spent budget or a lost endpoint does. "drain": no source row is begun, the walks go
            on as far as they can (replies in the journal need no endpoint), then the error is raised.
            "stop": everything is cancelled and the error raised at once.

    Raises:
        EndpointError, BudgetReached: after what was complete was yielded (see `on_failure`).
        LabtuneError: a block cannot work at all.
    """
    engine = _Engine(steps, context, max(1, window), drain or asyncio.Event(), on_failure == "stop")
    rows = iter(source)
    tasks: deque[asyncio.Task[_Walk]] = deque()
    try:
        while True:
            engine.fill(rows, tasks)
            if not tasks:
                break
            if engine.failed_for_good():
                break
            if not tasks[0].done():
                await engine.changed()
                continue
            for row in engine.outcome(tasks.popleft().result()):
                yield row
        if engine.failure is not None:
            raise engine.failure
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Walk:
    """One source row and what became of it."""

    __slots__ = ("number", "rejected", "rows", "state", "unfinished")

    def __init__(self, number: int) -> None:
        self.number = number
        self.rows: list[FlowRow] = []
        self.rejected: list[tuple[tuple[int, ...], Rejection]] = []
        self.state: dict[str, dict[str, Any]] = {}
        self.unfinished = False


class _Engine:
    """One run: the segments between ordered blocks, and what keeps its bounds."""

    def __init__(
        self,
        steps: Sequence[FlowStep],
        context: FlowContext,
        window: int,
        drain: asyncio.Event,
        stop_at_failure: bool,
    ) -> None:
        self._segments = _segments(steps)
        self._gates = [_Gate() if order == "leaf" else None for order, _steps in self._segments]
        self._context = context
        self._window = window
        self._drain = drain
        self._stop_at_failure = stop_at_failure
        self._live = 0
        self._working = 0
        self._started = 0
        self._exhausted = False
        self._wake = asyncio.Event()
        self.failure: LabtuneError | None = None

    def fill(self, rows: Iterator[FlowRow], tasks: deque[asyncio.Task[_Walk]]) -> None:
        """Start source rows while there is room."""
        while (
            not self._exhausted
            and self.failure is None
            and not self._drain.is_set()
            and self._working < self._window
            and self._live < self._window
            and len(tasks) < self._window * AHEAD
        ):
            row = next(rows, None)
            if row is None:
                self._exhausted = True
                return
            task = asyncio.create_task(self._source(_Walk(self._started), row))
            task.add_done_callback(self._woken)
            self._started += 1
            self._working += 1
            tasks.append(task)

    def failed_for_good(self) -> bool:
        """Whether to stop at once."""
        return self._stop_at_failure and self.failure is not None

    async def changed(self) -> None:
        """Wait until a walk ended, room came or something failed."""
        self._wake.clear()
        await self._wake.wait()

    def _woken(self, _task: asyncio.Task[_Walk]) -> None:
        self._wake.set()

    def outcome(self, walk: _Walk) -> list[FlowRow]:
        """Hand on the walk's rejections; its rows in the order of the walk."""
        walk.rejected.sort(key=_first)
        for _place, rejection in walk.rejected:
            self._context.keep_rejection(rejection)
        if walk.unfinished:
            self._context.unfinished += 1
        return walk.rows

    async def _source(self, walk: _Walk, row: FlowRow) -> _Walk:
        rows = [row]
        try:
            for (order, steps), gate in zip(self._segments, self._gates, strict=True):
                if not rows:
                    break
                if order == "any":
                    self._live += len(rows)
                    rows = await self._branch(rows, steps, 0, walk)
                    rows.sort(key=attrgetter("place"))
                    continue
                if gate is not None:
                    await self._wait_at(gate, walk.number)
                rows = await self._in_order(rows, steps[0], walk)
                if gate is not None:
                    gate.leave(walk.number)
        finally:
            # Not in the task's callback: that may come only after the task was seen to be done.
            self._working -= 1
            for gate in self._gates:
                if gate is not None:
                    gate.leave(walk.number)
        walk.rows = rows
        walk.state.clear()
        return walk

    async def _wait_at(self, gate: _Gate, number: int) -> None:
        self._working -= 1
        self._wake.set()
        try:
            await gate.enter(number)
        finally:
            self._working += 1

    async def _in_order(self, rows: list[FlowRow], step: FlowStep, walk: _Walk) -> list[FlowRow]:
        out: list[FlowRow] = []
        for row in rows:
            out.extend((row,) if row.final else await self._step(step, row, walk))
        return out

    async def _branch(
        self, rows: Sequence[FlowRow], steps: Sequence[FlowStep], at: int, walk: _Walk
    ) -> list[FlowRow]:
        if len(rows) == 1:
            return await self._walk(rows[0], steps, at, walk)
        async with asyncio.TaskGroup() as group:
            others = [group.create_task(self._walk(row, steps, at, walk)) for row in rows[1:]]
            out = await self._walk(rows[0], steps, at, walk) if rows else []
        for task in others:
            out.extend(task.result())
        return out

    async def _walk(self, row: FlowRow, steps: Sequence[FlowStep], at: int, walk: _Walk) -> list[FlowRow]:
        """Walk the steps from `at`; the row counts as alive until here its way ends or parts."""
        try:
            while at < len(steps) and not row.final:
                rows = await self._step(steps[at], row, walk)
                at += 1
                if not rows:
                    return []
                if len(rows) > 1:
                    self._live += len(rows)
                    break
                row = rows[0]
            else:
                return [row]
        finally:
            self._live -= 1
            if self._live < self._window:
                self._wake.set()
        return await self._branch(rows, steps, at, walk)

    async def _step(self, step: FlowStep, row: FlowRow, walk: _Walk) -> Sequence[FlowRow]:
        if self._drain.is_set() or self.failed_for_good():
            walk.unfinished = True
            return ()
        state = walk.state.get(step.name)
        if state is None:
            state = walk.state[step.name] = {}
        context = StepContext(self._context, step.name, state)
        rows: Sequence[FlowRow] = ()
        try:
            if step.when is not None and not step.when(row):
                return (row,)
            rows = await step.block(row, context)
        except RequestError as error:
            if isinstance(error, MalformedReply):
                context.reject(step.name, "unparsable", row, f"{error.message}{_said(context)}")
            else:
                context.reject(step.name, "request_failed", row, error.message)
        except LabtuneError as error:
            walk.unfinished = True
            self._fail(error)
            return ()
        except Exception as error:  # noqa: BLE001 - the worker boundary: one row's bug costs one row
            context.reject(step.name, "block_failed", row, f"{type(error).__name__}: {error}")
        count_step(self._context.stats, step.name, len(rows), context)
        walk.rejected.extend(context.rejected)
        observe = self._context.observe
        if observe is not None:
            rejections = tuple(rejection for _place, rejection in context.rejected)
            observe(StepRecord(step.name, row, tuple(rows), tuple(context.calls), rejections))
        return rows

    def _fail(self, error: LabtuneError) -> None:
        if self.failure is None:
            self.failure = error
        self._wake.set()


class _Gate:
    """Lets source rows through one after another, in their order."""

    def __init__(self) -> None:
        self._turn = 0
        self._left: set[int] = set()
        self._waiting: dict[int, asyncio.Future[None]] = {}

    async def enter(self, number: int) -> None:
        """Wait until all rows before have left."""
        if number > self._turn:
            future = asyncio.get_running_loop().create_future()
            self._waiting[number] = future
            try:
                await future
            finally:
                self._waiting.pop(number, None)

    def leave(self, number: int) -> None:
        """This row will not come (any more)."""
        if number < self._turn:
            return
        self._left.add(number)
        while self._turn in self._left:
            self._left.discard(self._turn)
            self._turn += 1
        waiting = self._waiting.get(self._turn)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)


def _said(context: StepContext) -> str:
    """The beginning of the last reply, for people who wonder what a teacher does wrong."""
    text = " ".join(context.calls[-1].reply.text.split()) if context.calls else ""
    return f"; it said: {text[:_SHOWN_REPLY]}" if text else ""


def _segments(steps: Sequence[FlowStep]) -> list[tuple[Order, tuple[FlowStep, ...]]]:
    """Runs of free steps; each ordered step alone."""
    segments: list[tuple[Order, tuple[FlowStep, ...]]] = []
    for order, group in groupby(steps, key=attrgetter("order")):
        if order == "any":
            segments.append((order, tuple(group)))
        else:
            segments.extend((order, (step,)) for step in group)
    return segments


def _first(entry: tuple[tuple[int, ...], Rejection]) -> tuple[int, ...]:
    return entry[0]
