"""All leaves taught by a model: side by side in one event loop, under one limiter, each from its cache."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, field

from labtune.artifact import Curated, content_hash
from labtune.config.lab import GenerateConfig
from labtune.errors import BudgetReached, LabtuneError
from labtune.generation.asked import AskedModel, Usage
from labtune.generation.board import Board
from labtune.generation.flow.pipeline import FlowPipeline
from labtune.generation.lesson import Lesson
from labtune.generation.lexicon import lexicon_hash
from labtune.generation.outcome import check_floors, outcome, write_results
from labtune.generation.result import LeafResult, read_result, write_result
from labtune.generation.teach import TEACHING_VERSION, LeafTeaching, School
from labtune.protocols import AsyncChatModel
from labtune.types import Chunk, ExamQuestion, Json, RunContext, StageOutcome

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
) -> StageOutcome:
    """Write samples.jsonl, rejected.jsonl, funnel.json and coverage.json to `run.out_dir`.

    All leaves are worked on, whatever becomes of one. When the budget is reached, the endpoint is lost or the
    user interrupts, complete leaves are in the cache and all replies in the journal: the same call goes on.

    Raises:
        ConfigError: the pipeline has no section for a leaf's type.
        GenerationError: leaves ended below `config.min_samples`, or too much of them failed.
        BudgetReached: the budget is spent.
        EndpointError: the endpoint cannot be used.
        KeyboardInterrupt: the user interrupted; what was in flight was finished (once) or dropped (twice).
    """
    lessons = lessons_of(curated)
    for lesson in lessons:
        # Before anything is sent: the pipeline has something for each leaf.
        pipeline.section(lesson.leaf)
    return asyncio.run(_Term(lessons, config, run, pipeline).hold(open_faculty))


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

    async def hold(self, open_faculty: OpenFaculty) -> StageOutcome:
        drain = asyncio.Event()
        board = Board(self.run.emit, self.usage, [lesson.leaf.path for lesson in self.lessons])
        with _interrupts(drain, self.run):
            async with open_faculty() as faculty:
                board.in_flight = faculty.in_flight
                async with board.shown():
                    await self._all(faculty, drain, board)
        board.show()
        write_results(self.run.out_dir, self.results)
        if self.failures:
            raise self._worst()
        if drain.is_set():
            raise KeyboardInterrupt
        check_floors([lesson.leaf for lesson in self.lessons], self.results, self.config)
        return self._outcome()

    async def _all(self, faculty: Faculty, drain: asyncio.Event, board: Board) -> None:
        places = asyncio.Semaphore(LEAVES_AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for lesson in self.lessons:
                group.create_task(self._leaf(lesson, faculty, drain, board, places))

    async def _leaf(
        self,
        lesson: Lesson,
        faculty: Faculty,
        drain: asyncio.Event,
        board: Board,
        places: asyncio.Semaphore,
    ) -> None:
        path = lesson.leaf.path
        async with places:
            own = Usage()
            school = self._school(faculty, own, drain, board)
            file = self.run.cache_dir / "generate" / f"{self._key(lesson, faculty)}.jsonl"
            result = read_result(file)
            if result is None:
                taught = await LeafTeaching(lesson, school).teach()
                result = taught.result
                if taught.failure is not None:
                    self.failures.append(taught.failure)
                # What failed for a passing reason is asked again next time; all else comes from the journal.
                if taught.complete and not own.transient:
                    write_result(file, result)
            self.results[path] = result
        board.ended(path, result, self.config)

    def _school(self, faculty: Faculty, own: Usage, drain: asyncio.Event, board: Board) -> School:
        usages = (self.usage, own)
        config = self.config
        return School(
            config,
            self.run,
            self.pipeline,
            AskedModel(faculty.teacher, usages, config.temperature, config.max_tokens),
            AskedModel(faculty.judge, usages),
            drain,
            board,
        )

    def _key(self, lesson: Lesson, faculty: Faculty) -> str:
        """Everything that a leaf's samples depend on."""
        return content_hash(
            lesson.leaf,
            lesson.chunks,
            lesson.exam,
            self.config.model_dump(include=set(TEACHER_SETTINGS)),
            self.pipeline.name,
            self.pipeline.section(lesson.leaf).version,
            (faculty.teacher.name, faculty.judge.name),
            self.run.seed,
            TEACHING_VERSION,
            lexicon_hash(),
        )

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
