"""All leaves taught by a model: side by side in one event loop, under one limiter, each from its cache."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from labtune.artifact import Curated, content_hash
from labtune.config.lab import GenerateConfig
from labtune.errors import BudgetReached, LabtuneError
from labtune.generation.asked import AskedModel
from labtune.generation.board import Board
from labtune.generation.branch import OpenModels, Syllabus, branch_makers, open_branches
from labtune.generation.flow.pipeline import FlowPipeline
from labtune.generation.lesson import Lesson
from labtune.generation.lexicon import lexicon_hash
from labtune.generation.outcome import check_floors, outcome, write_results
from labtune.generation.result import LeafResult, read_result, write_result
from labtune.generation.teach import TEACHING_VERSION, LeafEnd, LeafTeaching, School
from labtune.models.usage import Usage
from labtune.protocols import AsyncChatModel, Host, OpenExecutor
from labtune.types import Chunk, ExamQuestion, Json, RunContext, StageOutcome, no_events

LEAVES_AT_ONCE = 64
TEACHER_SETTINGS = (
    "target",
    "rounds",
    "examples",
    "temperature",
    "max_tokens",
    "max_failed_fraction",
    "near_duplicate",
    "coverage_floor",
    "phrasings",
    "skill_variants",
)
"""Settings that the samples of a teacher model depend on; the pipeline enters by its content."""


@dataclass(frozen=True, slots=True)
class Faculty:
    """The models of a run, opened: who writes and who judges (often the same).

    `in_flight` counts requests that wait for an answer, `slots` how many the endpoints take at once by now.
    """

    teacher: AsyncChatModel
    judge: AsyncChatModel
    in_flight: Callable[[], int]
    slots: Callable[[], int]


OpenFaculty = Callable[[], AbstractAsyncContextManager[Faculty]]


def lessons_of(curated: Curated) -> list[Lesson]:
    """All leaves with their chunks, documents and exam questions, by path."""
    documents = {document.id: document for document in curated.documents()}
    chunks: dict[str, list[Chunk]] = {}
    for chunk in curated.chunks():
        chunks.setdefault(chunk.leaf, []).append(chunk)
    exam: dict[str, list[ExamQuestion]] = {}
    for question in curated.exam():
        exam.setdefault(question.leaf, []).append(question)
    return [
        Lesson(leaf, tuple(chunks.get(leaf.path, ())), documents, tuple(exam.get(leaf.path, ())))
        for leaf in sorted(curated.leaves(), key=lambda leaf: leaf.path)
    ]


def generate_with_models(
    curated: Curated,
    *,
    config: GenerateConfig,
    run: RunContext,
    pipeline: FlowPipeline,
    open_faculty: OpenFaculty,
    away: Away | None = None,
) -> StageOutcome:
    """Write samples.jsonl, rejected.jsonl, funnel.json and coverage.json to `run.out_dir`.

    All leaves are worked on, whatever becomes of one. When the budget is reached, the endpoint is lost or the
    user interrupts, complete leaves are in the cache and all replies in the journal: the same call goes on.

    Args:
        curated: the leaves.
        config: how samples are made.
        run: where they go.
        pipeline: what each row walks.
        open_faculty: opens teacher and judge in this process.
        away: teaches on the workers of an engine instead; the samples are the same.

    Raises:
        ConfigError: the pipeline has no section for a leaf's type.
        GenerationError: leaves ended below `config.min_samples`, or too much of them failed.
        BudgetReached: the budget is spent.
        EndpointError: the endpoint cannot be used.
        EngineError: workers were lost too often.
        KeyboardInterrupt: the user interrupted; what was in flight was finished (once) or dropped (twice).
    """
    lessons = lessons_of(curated)
    for lesson in lessons:
        # Before anything is sent: the pipeline has something for each leaf.
        pipeline.section(lesson.leaf)
    term = _Term(lessons, config, run, pipeline)
    if away is None or not any(term.cached(lesson, away.names) is None for lesson in lessons):
        return asyncio.run(term.hold(partial(_at_home, open_faculty)))
    with away.open_executor() as executor, executor.host([away.make_ledger], near=True) as (ledger,):
        syllabus = Syllabus(config, replace(run, emit=no_events), away.pipeline, away.open_models)
        n_branches = min(executor.workers, away.most)
        with executor.host(branch_makers(syllabus, ledger, n_branches)) as hosts:
            return asyncio.run(term.hold(partial(_in_branches, hosts, ledger, away.names)))


@dataclass(frozen=True, slots=True)
class Away:
    """How to teach on workers.

    Attributes:
        open_executor: opens the engine; it is opened when a leaf has to be taught.
        make_ledger: makes the `Ledger` that keeps journal and budget, on this machine.
        open_models: opens teacher and judge in a worker.
        names: of teacher and judge, as the models would tell them.
        pipeline: name, or absolute path of a file that workers can read.
        most: largest number of workers among which the endpoints' bounds can be shared out.
    """

    open_executor: OpenExecutor
    make_ledger: Callable[[], object]
    open_models: OpenModels
    names: tuple[str, str]
    pipeline: str
    most: int = 1 << 20


class Classroom(Protocol):
    """Where leaves are taught: in this process, or in branches elsewhere."""

    async def teach(self, lesson: Lesson) -> LeafEnd:
        """All rounds of a leaf; never raises what may happen to it."""
        ...


@dataclass(frozen=True, slots=True)
class _Room:
    """A classroom with what identifies its models, and how many leaves it takes at once."""

    classroom: Classroom
    names: tuple[str, str]
    places: int


OpenRoom = Callable[["_Term", asyncio.Event, Board], AbstractAsyncContextManager[_Room]]


@asynccontextmanager
async def _at_home(
    open_faculty: OpenFaculty, term: _Term, drain: asyncio.Event, board: Board
) -> AsyncIterator[_Room]:
    async with open_faculty() as faculty:
        board.in_flight = faculty.in_flight
        yield _Room(
            _Home(faculty, term, drain, board), (faculty.teacher.name, faculty.judge.name), LEAVES_AT_ONCE
        )


@asynccontextmanager
async def _in_branches(
    hosts: Sequence[Host],
    ledger: Host,
    names: tuple[str, str],
    term: _Term,
    drain: asyncio.Event,
    board: Board,
) -> AsyncIterator[_Room]:
    async with open_branches(hosts, ledger, board, term.usage, term.run, drain) as branches:
        yield _Room(branches, names, LEAVES_AT_ONCE * len(hosts))


@dataclass(frozen=True, slots=True)
class _Home:
    """The classroom in this process."""

    faculty: Faculty
    term: _Term
    drain: asyncio.Event
    board: Board

    async def teach(self, lesson: Lesson) -> LeafEnd:
        """All rounds of a leaf."""
        own, term = Usage(), self.term
        usages, config = (term.usage, own), term.config
        school = School(
            config,
            term.run,
            term.pipeline,
            AskedModel(self.faculty.teacher, usages, config.temperature, config.max_tokens),
            AskedModel(self.faculty.judge, usages),
            self.drain,
            self.board,
        )
        taught = await LeafTeaching(lesson, school).teach()
        # What failed for a passing reason is asked again next time; all else comes from the journal.
        return LeafEnd(taught.result, taught.complete and not own.transient, taught.failure)


@dataclass(slots=True)
class _Term:
    """One run over all leaves."""

    lessons: Sequence[Lesson]
    config: GenerateConfig
    run: RunContext
    pipeline: FlowPipeline
    usage: Usage = field(default_factory=Usage)
    results: dict[str, LeafResult] = field(default_factory=dict)
    failures: list[LabtuneError] = field(default_factory=list)

    async def hold(self, open_room: OpenRoom) -> StageOutcome:
        drain = asyncio.Event()
        board = Board(self.run.emit, self.usage, [lesson.leaf.path for lesson in self.lessons])
        with _termination(), _interrupts(drain, self.run):
            async with open_room(self, drain, board) as room, board.shown():
                await self._all(room, board)
        board.show()
        write_results(self.run.out_dir, self.results)
        if self.failures:
            raise self._worst()
        if drain.is_set():
            raise KeyboardInterrupt
        check_floors([lesson.leaf for lesson in self.lessons], self.results, self.config)
        return self._outcome()

    def cached(self, lesson: Lesson, names: tuple[str, str]) -> LeafResult | None:
        """The leaf's result of an earlier run."""
        return read_result(self._file(lesson, names))

    async def _all(self, room: _Room, board: Board) -> None:
        places = asyncio.Semaphore(room.places)
        async with asyncio.TaskGroup() as group:
            for lesson in self.lessons:
                group.create_task(self._leaf(lesson, room, board, places))

    async def _leaf(self, lesson: Lesson, room: _Room, board: Board, places: asyncio.Semaphore) -> None:
        path = lesson.leaf.path
        async with places:
            result = self.cached(lesson, room.names)
            if result is None:
                end = await room.classroom.teach(lesson)
                result = end.result
                if end.failure is not None:
                    self.failures.append(end.failure)
                if end.keeps:
                    write_result(self._file(lesson, room.names), result)
            self.results[path] = result
        board.ended(path, result, self.config)

    def _file(self, lesson: Lesson, names: tuple[str, str]) -> Path:
        """Where the leaf's result is cached: under everything that its samples depend on."""
        key = content_hash(
            lesson.leaf,
            lesson.chunks,
            lesson.exam,
            self.config.model_dump(include=set(TEACHER_SETTINGS)),
            self.pipeline.name,
            self.pipeline.section(lesson.leaf).version,
            names,
            self.run.seed,
            TEACHING_VERSION,
            lexicon_hash(),
        )
        return self.run.cache_dir / "generate" / f"{key}.jsonl"

    def _worst(self) -> LabtuneError:
        """The failure to tell: a lost endpoint before a spent budget; with what is kept."""
        failure = min(self.failures, key=lambda error: isinstance(error, BudgetReached))
        done = sum(result.funnel.get("end") not in ("stopped", None) for result in self.results.values())
        made = sum(int(result.funnel.get("generated", 0)) for result in self.results.values())
        told = f"{done} of {len(self.lessons)} leaves are done, {made:,} samples of the teacher so far"
        return type(failure)(f"{failure.message} ({told}; every reply is kept)", hint=failure.hint)

    def _outcome(self) -> StageOutcome:
        plain = outcome(self.results, self.config)
        usage = self.usage
        counts: dict[str, Json] = {
            **plain.counts,
            "requests": usage.requests - usage.cached,
            "replies_from_journal": usage.cached,
            "prompt_tokens": usage.prompt_tokens,
            "tokens": usage.tokens,
            "cost": None if usage.unpriced else round(usage.cost, 6),
            "currency": usage.currency,
        }
        paid = f", {usage.cost:.2f} {usage.currency}" if usage.cost and not usage.unpriced else ""
        sent = usage.requests - usage.cached
        asked = f"{sent:,} requests, {usage.tokens + usage.prompt_tokens:,} tokens{paid}"
        return StageOutcome(counts, f"{plain.summary}; {asked if sent else 'no request was sent'}")


@contextmanager
def _interrupts(drain: asyncio.Event, run: RunContext) -> Iterator[None]:
    """Ctrl-C once: what is in flight is finished; twice: everything is dropped."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def interrupted() -> None:
        if not drain.is_set():
            drain.set()
            run.emit("notice", {"text": "finishing what is in flight; Ctrl-C again stops at once"})
        elif task is not None:
            task.cancel()

    loop.add_signal_handler(signal.SIGINT, interrupted)
    try:
        yield
    except asyncio.CancelledError as error:
        if not drain.is_set():
            # Something else ends the process (a SIGTERM): that has its own way out.
            raise
        raise KeyboardInterrupt from error
    finally:
        loop.remove_signal_handler(signal.SIGINT)


@contextmanager
def _termination() -> Iterator[None]:
    """SIGTERM: everything is dropped, then the program's own handler is called.

    That handler raises: called at once it would end whichever task runs just then, with an untold exception.
    """
    handler = signal.getsignal(signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield
        return
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    ended = False

    def terminated() -> None:
        nonlocal ended
        ended = True
        if task is not None:
            task.cancel()

    loop.add_signal_handler(signal.SIGTERM, terminated)
    try:
        yield
    except (asyncio.CancelledError, KeyboardInterrupt):
        if ended:
            handler(signal.SIGTERM, None)
        raise
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
        signal.signal(signal.SIGTERM, handler)
