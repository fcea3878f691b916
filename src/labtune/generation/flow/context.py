"""What the steps of one leaf share, and what a single step sees of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from labtune.generation.flow.rows import FlowRow, TrailStep
from labtune.models.endpoint import structured
from labtune.protocols import AsyncChatModel, ChatRequest, Reply
from labtune.types import Json, Rejection, Verdict

ModelRole = Literal["teacher", "judge"]


@dataclass(slots=True)
class StepStats:
    """The funnel of one step: rows in and out, reasons of the rest, requests and tokens.

    `requests` counts replies that were asked for, `cached` those that the journal knew; tokens count only for
    the others.
    """

    rows_in: int = 0
    rows_out: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    requests: int = 0
    cached: int = 0
    prompt_tokens: int = 0
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Call:
    """One reply of a model to a step."""

    role: ModelRole
    request: ChatRequest
    reply: Reply


@dataclass(frozen=True, slots=True)
class Asked:
    """Whom a step asked and how, for the trail of the rows that come of it."""

    role: ModelRole
    request: ChatRequest
    prompt: str
    calls: tuple[ChatRequest, ...] = ()


@dataclass(frozen=True, slots=True)
class StepRecord:
    """What one step made of one row; previews and live views are made of these."""

    step: str
    row: FlowRow
    rows: tuple[FlowRow, ...]
    calls: tuple[Call, ...]
    rejections: tuple[Rejection, ...]


@dataclass(slots=True)
class FlowContext:
    """What all rows of one leaf share, over all rounds.

    Attributes:
        leaf: path of the leaf.
        teacher: asked by every block but judges.
        judge: asked by judges.
        seed: the run's seed, given to every sampling.
        on_reject: gets the rejections in the order of the source rows, whatever the timing.
        observe: gets each finished step, in the order of time.
        reply_key: the journal's key of a reply, for lineage.
        stats: the funnel, by step name.
        state: what ordered blocks remember, by step name.
        unfinished: source rows whose walk was cut short by a stop, a spent budget or a lost endpoint.
    """

    leaf: str
    teacher: AsyncChatModel
    judge: AsyncChatModel
    seed: int = 1
    on_reject: Callable[[Rejection], None] | None = None
    observe: Callable[[StepRecord], None] | None = None
    reply_key: Callable[[AsyncChatModel, ChatRequest], str] | None = None
    rejections: list[Rejection] = field(default_factory=list)
    stats: dict[str, StepStats] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)
    unfinished: int = 0

    def keep_rejection(self, rejection: Rejection) -> None:
        """Hand a rejection on, or keep it in `rejections` where nobody takes it."""
        if self.on_reject is None:
            self.rejections.append(rejection)
        else:
            self.on_reject(rejection)


class StepContext:
    """What a block sees while it works on one row.

    `step` is the block's name in the pipeline, `flow` what the leaf's rows share, `row_state` what ordered
    blocks remember of one source row, `asked` the last request for the trail of what comes of it.
    """

    __slots__ = ("asked", "calls", "flow", "rejected", "row_state", "step")

    def __init__(self, flow: FlowContext, step: str, row_state: dict[str, Any]) -> None:
        self.flow = flow
        self.step = step
        self.row_state = row_state
        self.calls: list[Call] = []
        self.rejected: list[tuple[tuple[int, ...], Rejection]] = []
        self.asked: Asked | None = None

    async def ask(
        self, role: ModelRole, request: ChatRequest, schema: Mapping[str, Json], *, prompt: str = ""
    ) -> dict[str, Json]:
        """Ask a model for a JSON object.

        Args:
            role: whom to ask.
            request: the messages and the sampling.
            schema: JSON schema of the reply, an object.
            prompt: version of the prompt, for the lineage.

        Raises:
            RequestError: this request failed for good.
            EndpointError: nothing can be asked any more.
            BudgetReached: the budget does not allow it.
        """
        before = len(self.calls)
        parsed = await structured.ask(_Recorder(self._model(role), role, self.calls), request, schema)
        sent = tuple(call.request for call in self.calls[before:])
        self.asked = Asked(role, request, prompt, sent)
        value: dict[str, Json] = parsed.value
        return value

    def reject(self, step: str, reason: str, row: FlowRow, detail: str = "") -> None:
        """Drop a row with its reason; `detail` is for people."""
        shown = row.shown()
        if detail:
            shown["detail"] = detail
        self.rejected.append((row.place, Rejection(row.leaf, step, reason, shown)))

    def extend(self, row: FlowRow, fields: Mapping[str, Json], verdict: Verdict | None = None) -> FlowRow:
        """The same row with more fields, and the step in its trail."""
        longer = row.extended(self._trail(0), fields)
        return longer if verdict is None else longer.judged(verdict)

    def child(
        self, row: FlowRow, index: int, fields: Mapping[str, Json], *, draw: int | None = None
    ) -> FlowRow:
        """A row of its own; ids follow from the parent, the step's name and `index`."""
        return row.child(self._trail(index), fields, draw=draw)

    def _model(self, role: ModelRole) -> AsyncChatModel:
        return self.flow.teacher if role == "teacher" else self.flow.judge

    def _trail(self, index: int) -> TrailStep:
        asked = self.asked
        if asked is None:
            return TrailStep(self.step, index)
        model, key = self._model(asked.role), self.flow.reply_key
        return TrailStep(
            self.step,
            index,
            asked.prompt,
            model.name,
            asked.request.sampling.temperature,
            asked.request.index,
            tuple(key(model, request) for request in asked.calls) if key is not None else (),
        )


class _Recorder:
    """The model with a list of what it was asked and what it said (a repair is a second call)."""

    __slots__ = ("_calls", "_model", "_role")

    def __init__(self, model: AsyncChatModel, role: ModelRole, calls: list[Call]) -> None:
        self._model = model
        self._role = role
        self._calls = calls

    @property
    def name(self) -> str:
        return self._model.name

    async def chat(self, request: ChatRequest) -> Reply:
        reply = await self._model.chat(request)
        self._calls.append(Call(self._role, request, reply))
        return reply


def count_step(stats: dict[str, StepStats], step: str, n_out: int, context: StepContext) -> None:
    """Add one finished step to the funnel."""
    entry = stats.get(step)
    if entry is None:
        entry = stats[step] = StepStats()
    entry.rows_in += 1
    entry.rows_out += n_out
    for _, rejection in context.rejected:
        entry.rejected[rejection.reason] = entry.rejected.get(rejection.reason, 0) + 1
    count_calls(entry, context.calls)


def count_calls(entry: StepStats, calls: Sequence[Call]) -> None:
    """Add requests and tokens; what the journal knew costs nothing."""
    for call in calls:
        entry.requests += 1
        if call.reply.cached:
            entry.cached += 1
        else:
            entry.prompt_tokens += call.reply.n_prompt_tokens
            entry.tokens += call.reply.n_tokens
