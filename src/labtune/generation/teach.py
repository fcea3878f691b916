"""One leaf taught by a model: rounds of requests until its target is reached or nothing new comes.

A round asks about every passage (the first) or about what is still missing; its rows walk the pipeline as a
stream, then the checks that need no model take them in order. Rounds see only what earlier rounds kept, so a
leaf comes out the same whatever the timing was, and a run that stops goes on from the journal.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import groupby, islice
from operator import attrgetter
from typing import Any, Literal

from labtune.config.lab import GenerateConfig
from labtune.errors import LabtuneError
from labtune.generation.accept import Acceptance, Origin
from labtune.generation.asked import AskedModel
from labtune.generation.board import Board, LeafState
from labtune.generation.coverage import leaf_coverage
from labtune.generation.draws import Draw, Draws
from labtune.generation.flow.context import FlowContext, StepRecord
from labtune.generation.flow.engine import run as run_flow
from labtune.generation.flow.pipeline import FlowPipeline
from labtune.generation.flow.rows import FlowRow
from labtune.generation.funnel import Funnel
from labtune.generation.lesson import SOURCE_ROW, Lesson
from labtune.generation.quality.grounding import Fault
from labtune.generation.result import LeafResult, rejection_line, sample_line
from labtune.generation.rows import BlockContext
from labtune.generation.screen import screened
from labtune.generation.seeds import knowledge_seed_samples
from labtune.generation.skills import skill_samples
from labtune.protocols import AsyncChatModel, ChatRequest
from labtune.types import Leaf, Rejection, RunContext, Sample

TEACHING_VERSION = "2"
"""Goes up when code changes what a leaf gives from the same replies; pipelines enter by their content."""
REWORDINGS = 3
"""Rewordings of a seed that become samples, besides the seed."""
_FRAMED = ("en", "zh")
_PROBE = 32
_PER_PASSAGE, _PER_SKILL_ROW = 3.0, 6.0
_SURPLUS = 1.15
_LEAST_YIELD = 0.05
_LEAST_ENDED = 16
_GROWTH = 4

End = Literal["target", "rounds", "no_more_yield", "failed", "stopped", "nothing_to_ask"]


@dataclass(frozen=True, slots=True)
class School:
    """What a leaf needs of its run. `drain`, when set, lets what is in flight end and begins nothing."""

    config: GenerateConfig
    run: RunContext
    pipeline: FlowPipeline
    teacher: AskedModel
    judge: AskedModel
    drain: asyncio.Event
    board: Board
    observe: Callable[[StepRecord], None] | None = None


@dataclass(slots=True)
class Taught:
    """What a leaf gave so far. `failure` is what ended it early; then it is not complete."""

    result: LeafResult
    end: End
    failure: LabtuneError | None = None

    @property
    def complete(self) -> bool:
        """Whether it may be kept as the leaf's result."""
        return self.failure is None and self.end not in ("stopped", "failed")


@dataclass(frozen=True, slots=True)
class LeafEnd:
    """What came of a leaf, as its classroom hands it in: `keeps` says that the cache may have it."""

    result: LeafResult
    keeps: bool
    failure: LabtuneError | None = None

    @classmethod
    def never_begun(cls, failure: LabtuneError) -> LeafEnd:
        """A leaf that could not be taught at all."""
        return cls(LeafResult((), (), {"end": "stopped"}, {}), False, failure)


@dataclass(slots=True)
class _Progress:
    asked: int = 0
    generated: int = 0
    rounds: list[dict[str, int]] = field(default_factory=list)
    end: End = "rounds"
    failure: LabtuneError | None = None


class LeafTeaching:
    """Walks one leaf through its rounds."""

    def __init__(self, lesson: Lesson, school: School) -> None:
        self._lesson = lesson
        self._school = school
        leaf, config = lesson.leaf, school.config
        section = school.pipeline.section(leaf)
        self._steps = screened(section.steps, self._fault)
        self._asking: Sequence[Draw] = ()
        self._funnel = Funnel()
        self._rejected: list[str] = []
        self._samples: list[Sample] = []
        origin = Origin(
            school.pipeline.name,
            section.version,
            school.teacher.name,
            school.judge.name,
            config.temperature,
        )
        self._acceptance = Acceptance(leaf, lesson.documents, lesson.exam, config.near_duplicate, origin)
        self._draws = Draws(leaf, lesson.chunks, examples=config.examples, seed=school.run.seed)
        self._context = FlowContext(
            leaf.path,
            school.teacher,
            school.judge,
            seed=school.run.seed,
            on_reject=self._reject,
            observe=school.observe,
            reply_key=_reply_key,
        )
        self._state = _Progress()

    async def teach(self) -> Taught:
        """All rounds. What stops a leaf early (budget, endpoint) is in `failure`, never raised."""
        human = self._human()
        self._acceptance.know(human)
        state = self._state
        if self._lesson.can_be_taught:
            await self._rounds()
        else:
            state.end = "nothing_to_ask"
        return Taught(self._result(human), state.end, state.failure)

    async def try_out(self, rows: int) -> Taught:
        """Only the first rows of the first round, as a real run would ask them."""
        self._acceptance.know(self._human())
        if self._lesson.can_be_taught:
            draws = self._next_draws(0, self._lesson.target(self._school.config))
            await self._batch(0, draws[:rows])
        return Taught(self._result(()), "stopped", self._state.failure)

    def _human(self) -> list[Sample]:
        """The seeds that are not held out, with a few rewordings; more would drown the teacher's."""
        leaf, config, seed = self._lesson.leaf, self._school.config, self._school.run.seed
        # There are frames for two languages; an English "Thanks." does not belong behind a Japanese question.
        rewordings = REWORDINGS if leaf.language.split("-")[0] in _FRAMED else 0
        if leaf.kind != "knowledge":
            variants = min(config.skill_variants, rewordings)
            return list(
                skill_samples(leaf, variants=variants, seed=seed, teacher="builtin", pipeline="builtin")
            )
        samples = knowledge_seed_samples(leaf, config, seed, "builtin", "builtin")
        by_seed = groupby(samples, key=attrgetter("seed"))
        return [sample for _, group in by_seed for sample in islice(group, 1 + rewordings)]

    async def _rounds(self) -> None:
        config, state = self._school.config, self._state
        target = self._lesson.target(config)
        for number in range(config.rounds):
            draws = self._next_draws(number, target)
            if not draws:
                state.end = "target"
                return
            kept = 0
            for batch in _batches(draws, careful=not state.generated):
                kept += await self._batch(number, batch)
                if state.failure is not None or self._school.drain.is_set() or self._context.unfinished:
                    state.end = "stopped"
                    return
                if self._failing():
                    state.end = "failed"
                    return
            if kept < _LEAST_YIELD * len(draws) and state.asked >= _LEAST_ENDED:
                state.end = "target" if state.generated >= target else "no_more_yield"
                return
        state.end = "target" if state.generated >= target else "rounds"

    def _next_draws(self, number: int, target: int) -> list[Draw]:
        """The next round's rows; none when the target is reached and nothing more can be covered."""
        state, covered = self._state, self._acceptance.covered
        if number == 0:
            per_row = _PER_PASSAGE if self._lesson.chunks else _PER_SKILL_ROW
            return self._draws.first_round(min(_PROBE, math.ceil(target / per_row)))
        if state.generated < target:
            wanted = rows_wanted(target - state.generated, state.generated, state.asked)
            return self._draws.next_round(number, wanted, covered)
        if self._lesson.stated(covered) < self._school.config.coverage_floor:
            return self._draws.open_round(number, covered)
        return []

    async def _batch(self, number: int, draws: Sequence[Draw]) -> int:
        """One stream of source rows; returns how many samples it added."""
        school, state = self._school, self._state
        self._report(number)
        self._asking = draws
        source = (self._lesson.source(draw, index) for index, draw in enumerate(draws))
        flow = run_flow(source, self._steps, self._context, window=school.config.window, drain=school.drain)
        kept = 0
        try:
            async with aclosing(flow) as stream:
                async for row in stream:
                    kept += self._take(row, draws[_number(row)])
        except LabtuneError as error:
            state.failure = error
        state.asked += len(draws)
        state.rounds.append({"round": number, "asked": len(draws), "kept": kept})
        self._report(number)
        return kept

    def _fault(self, row: FlowRow) -> Fault | None:
        return self._acceptance.fault(row, self._asking[_number(row)])

    def _take(self, row: FlowRow, draw: Draw) -> int:
        """Check a finished row at once: in its turn, so the order does not depend on timing."""
        self._funnel.produced += 1
        self._show(row)
        found = self._acceptance.take(row, draw)
        if isinstance(found, Rejection):
            self._reject(found)
            return 0
        self._samples.append(found)
        self._state.generated += 1
        self._report(draw.round)
        return 1

    def _reject(self, rejection: Rejection) -> None:
        self._funnel.reject(rejection)
        self._rejected.append(rejection_line(rejection))

    def _failing(self) -> bool:
        """Whether too large a share of what ended so far came to nothing for no reason of content."""
        classes = self._funnel.classes()
        failed = classes["failed"] + classes["unparsable"]
        ended = failed + self._funnel.produced + classes["judged_out"]
        return ended >= _LEAST_ENDED and failed > self._school.config.max_failed_fraction * ended

    def _show(self, row: FlowRow) -> None:
        question, answer = str(row.fields.get("question") or ""), str(row.fields.get("answer") or "")
        self._school.board.finished_row(self._lesson.leaf.path, question, answer)

    def _report(self, number: int) -> None:
        target = self._lesson.target(self._school.config)
        state = LeafState(self._state.generated, target, number)
        self._school.board.working(self._lesson.leaf.path, state)

    def _result(self, human: Sequence[Sample]) -> LeafResult:
        leaf, state = self._lesson.leaf, self._state
        samples = [*self._samples, *human]
        self._funnel.asked = state.asked
        funnel = self._funnel.as_json(len(samples))
        funnel |= {
            "pipeline": self._school.pipeline.name,
            "seeds": len(human),
            "generated": state.generated,
            "target": self._lesson.target(self._school.config),
            "end": state.end,
            "rounds": state.rounds,
            "steps": {
                name: {
                    "in": stats.rows_in,
                    "out": stats.rows_out,
                    "rejected": dict(sorted(stats.rejected.items())),
                }
                for name, stats in self._context.stats.items()
            },
        }
        if state.generated < self._lesson.target(self._school.config):
            where, cause, remedy = self._funnel.cause(self._school.pipeline.name)
            funnel |= {"lost_at": where, "cause": cause, "remedy": remedy}
        return LeafResult(
            tuple(map(sample_line, samples)), tuple(self._rejected), funnel, self._coverage(leaf)
        )

    def _coverage(self, leaf: Leaf) -> dict[str, Any]:
        if leaf.kind != "knowledge":
            return {}
        lesson, school = self._lesson, self._school
        used = {chunk.document_id: lesson.documents[chunk.document_id] for chunk in lesson.chunks}
        context = BlockContext(leaf, used, lesson.chunks, school.config, school.run.seed)
        context.covered = self._acceptance.covered
        return leaf_coverage(context)


def rows_wanted(missing: int, kept: int, asked: int) -> int:
    """Source rows that will probably give what is missing, judged by what rows gave so far.

    While nothing was kept, only a few more are tried.
    """
    if missing <= 0:
        return 0
    if not kept:
        return max(_LEAST_ENDED, asked)
    per_row = max(kept / max(1, asked), _LEAST_YIELD)
    return max(1, min(math.ceil(_SURPLUS * missing / per_row), _GROWTH * max(asked, _PROBE)))


def _batches(draws: Sequence[Draw], *, careful: bool) -> list[Sequence[Draw]]:
    """Until a sample is kept, a large round begins with a few rows: total failure is found out soon."""
    if not careful or len(draws) <= 2 * _PROBE:
        return [draws]
    return [draws[:_PROBE], draws[_PROBE:]]


def _reply_key(model: AsyncChatModel, request: ChatRequest) -> str:
    assert isinstance(model, AskedModel)
    return model.key(request)


def _number(row: FlowRow) -> int:
    value = row.fields[SOURCE_ROW]
    assert isinstance(value, int)
    return value
