"""Trying a pipeline on a few rows of each leaf: every step with prompt, reply and verdict, and the cost.

The rows are the first ones of the real run, and their replies are journaled: nothing is paid for twice.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from labtune.artifact import Curated
from labtune.config.lab import GenerateConfig
from labtune.errors import LabtuneError
from labtune.generation.asked import AskedModel
from labtune.generation.board import Board
from labtune.generation.flow.context import Call, StepRecord
from labtune.generation.flow.pipeline import FlowPipeline
from labtune.generation.lesson import SOURCE_ROW, Lesson
from labtune.generation.result import LeafResult
from labtune.generation.school import Faculty, OpenFaculty, lessons_of
from labtune.generation.screen import screened
from labtune.generation.teach import LeafTeaching, School
from labtune.models.usage import Usage
from labtune.types import Json, RunContext

_SUMMED = ("target", "rows", "requests", "prompt_tokens", "tokens", "seconds")


@dataclass(slots=True)
class _Tried:
    """What became of a leaf's rows."""

    lesson: Lesson
    rows: int
    result: LeafResult
    records: list[StepRecord]
    failure: LabtuneError | None


@dataclass(slots=True)
class _Cost:
    """What rows took, replies of the journal included: they would have been paid for."""

    requests: int = 0
    prompt_tokens: int = 0
    tokens: int = 0
    cost: float = 0.0
    currency: str = "USD"
    priced: bool = True
    seconds: float = 0.0

    def add(self, call: Call) -> None:
        reply = call.reply
        self.requests += 1
        self.prompt_tokens += reply.n_prompt_tokens
        self.tokens += reply.n_tokens
        self.seconds += reply.latency_s
        if reply.cost is None:
            self.priced = False
        else:
            self.cost += reply.cost
            self.currency = reply.currency

    def as_json(self, times: float = 1.0) -> dict[str, Json]:
        """So many times of it; money is None where a price is not known."""
        return {
            "requests": math.ceil(self.requests * times),
            "prompt_tokens": math.ceil(self.prompt_tokens * times),
            "tokens": math.ceil(self.tokens * times),
            "cost": round(self.cost * times, 6) if self.priced else None,
            "currency": self.currency,
        }


def preview_with_models(
    curated: Curated,
    *,
    config: GenerateConfig,
    run: RunContext,
    pipeline: FlowPipeline,
    open_faculty: OpenFaculty,
    rows: int,
) -> dict[str, Any]:
    """Walk the first `rows` source rows of each leaf.

    Returns:
        `pipeline`, `leaves` (each with `rows` of `steps`, `samples`, `rejected`, `funnel`, `spent` and
        `estimate`), `spent` by this preview, and `estimate` of the whole (None where nothing was kept).

    Raises:
        BudgetReached, EndpointError: as a run does.
    """
    lessons = lessons_of(curated)
    for lesson in lessons:
        pipeline.section(lesson.leaf)
    return asyncio.run(_Trial(lessons, config, run, pipeline, rows).hold(open_faculty))


@dataclass(slots=True)
class _Trial:
    lessons: Sequence[Lesson]
    config: GenerateConfig
    run: RunContext
    pipeline: FlowPipeline
    rows: int
    usage: Usage = field(default_factory=Usage)

    async def hold(self, open_faculty: OpenFaculty) -> dict[str, Any]:
        board = Board(self.run.emit, self.usage, [lesson.leaf.path for lesson in self.lessons])
        async with open_faculty() as faculty:
            board.in_flight = faculty.in_flight
            async with board.shown():
                tried = await asyncio.gather(*(self._try(lesson, faculty, board) for lesson in self.lessons))
            slots = max(1, faculty.slots())
        failure = next((one.failure for one in tried if one.failure is not None), None)
        if failure is not None:
            raise failure
        leaves = [self._told(one, slots) for one in tried]
        return {
            "pipeline": self.pipeline.name,
            "rows": self.rows,
            "leaves": leaves,
            "spent": {
                "requests": self.usage.requests - self.usage.cached,
                "prompt_tokens": self.usage.prompt_tokens,
                "tokens": self.usage.tokens,
                "cost": None if self.usage.unpriced else round(self.usage.cost, 6),
                "currency": self.usage.currency,
            },
            "estimate": _sum([leaf["estimate"] for leaf in leaves]),
        }

    async def _try(self, lesson: Lesson, faculty: Faculty, board: Board) -> _Tried:
        records: list[StepRecord] = []
        config, usages = self.config, (self.usage,)
        school = School(
            config,
            self.run,
            self.pipeline,
            AskedModel(faculty.teacher, usages, config.temperature, config.max_tokens),
            AskedModel(faculty.judge, usages),
            asyncio.Event(),
            board,
            records.append,
        )
        taught = await LeafTeaching(lesson, school).try_out(self.rows)
        return _Tried(lesson, int(taught.result.funnel["asked"]), taught.result, records, taught.failure)

    def _told(self, tried: _Tried, slots: int) -> dict[str, Any]:
        steps = [step.name for step in screened(self.pipeline.steps(tried.lesson.leaf), lambda _row: None)]
        by_row: dict[int, list[StepRecord]] = {number: [] for number in range(tried.rows)}
        spent = _Cost()
        for record in sorted(tried.records, key=lambda record: (steps.index(record.step), record.row.place)):
            by_row[_source_row(record)].append(record)
            for call in record.calls:
                spent.add(call)
        return {
            "leaf": tried.lesson.leaf.path,
            "kind": tried.lesson.leaf.kind,
            "rows": [{"steps": [_step(record) for record in records]} for records in by_row.values()],
            "samples": [_parsed(line) for line in tried.result.samples],
            "rejected": [_parsed(line) for line in tried.result.rejected],
            "funnel": tried.result.funnel,
            "spent": spent.as_json(),
            "estimate": self._estimate(tried, spent, slots),
        }

    def _estimate(self, tried: _Tried, spent: _Cost, slots: int) -> dict[str, Json] | None:
        """What the leaf's target will take, if all rows are as these; None when none of them was kept."""
        kept, target = int(tried.result.funnel["generated"]), tried.lesson.target(self.config)
        if not kept:
            return None
        # The first round takes every passage, whatever the target is.
        times = max(1.0, target / kept, len(tried.lesson.chunks) / tried.rows)
        seconds = spent.seconds * times / slots
        return {
            "target": target,
            "rows": math.ceil(tried.rows * times),
            **spent.as_json(times),
            "seconds": seconds,
        }


def _source_row(record: StepRecord) -> int:
    value = record.row.fields[SOURCE_ROW]
    assert isinstance(value, int)
    return value


def _step(record: StepRecord) -> dict[str, Any]:
    before = set(record.row.made)
    return {
        "step": record.step,
        "row": record.row.id,
        "about": {name: record.row.fields[name] for name in record.row.made if name in record.row.fields},
        "calls": [_call(call) for call in record.calls],
        "made": [
            {name: row.fields[name] for name in row.made if name not in before and name in row.fields}
            for row in record.rows
        ],
        "verdicts": [
            {"verdict": row.verdicts[-1].verdict, "reason": row.verdicts[-1].reason}
            for row in record.rows
            if row.verdicts and row.verdicts[-1].step == record.step
        ],
        "rejected": [{"reason": one.reason, **one.row} for one in record.rejections],
    }


def _call(call: Call) -> dict[str, Any]:
    reply = call.reply
    return {
        "role": call.role,
        "messages": [{"role": message.role, "content": message.content} for message in call.request.messages],
        "reply": reply.text,
        "prompt_tokens": reply.n_prompt_tokens,
        "tokens": reply.n_tokens,
        "cost": reply.cost,
        "currency": reply.currency,
        "cached": reply.cached,
        "seconds": round(reply.latency_s, 3),
    }


def _parsed(line: str) -> Mapping[str, Any]:
    value: Mapping[str, Any] = json.loads(line)
    return value


def _sum(estimates: Sequence[Mapping[str, Any] | None]) -> dict[str, Any] | None:
    """All leaves together; None when one of them could not be estimated. They run side by side."""
    known = [estimate for estimate in estimates if estimate is not None]
    if len(known) < len(estimates) or not known:
        return None
    costs = [estimate["cost"] for estimate in known]
    return {
        **{key: sum(estimate[key] for estimate in known) for key in _SUMMED},
        "cost": None if None in costs else round(sum(costs), 6),
        "currency": known[0]["currency"],
    }
