"""What the live view knows: a fold over the events of a run. No I/O; both views render this state."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from labtune.cli.text import duration, number, one_line
from labtune.types import Json

LONG_SUBJECT = 24
"""Characters."""


@dataclass(slots=True)
class Progress:
    """The newest state of the stage that is being worked on.

    Args:
        clock: seconds, for rates and elapsed time.
    """

    clock: Callable[[], float] = time.monotonic
    stage: str = ""
    subject: str = ""
    done: int = 0
    total: int = 0
    unit: str = "rows"
    detail: str = ""
    remark: str = ""
    sample: tuple[str, str] | None = None
    leaves: list[dict[str, Json]] = field(default_factory=list)
    states: dict[str, str] = field(default_factory=dict)
    _started: float = 0.0
    _mark: tuple[float, int] = (0.0, 0)

    def update(self, event: str, fields: Mapping[str, Json]) -> None:
        """Take one event in; unknown events and missing fields change nothing."""
        handler = _HANDLERS.get(event)
        if handler is not None:
            handler(self, fields)

    @property
    def elapsed(self) -> float:
        """Seconds since the stage began."""
        return self.clock() - self._started

    @property
    def share(self) -> float | None:
        """Part done, 0..1, or None where it is not known."""
        return min(1.0, self.done / self.total) if self.total else None

    def status(self, width: int = 1000) -> str:
        """One line: stage, what it works on, how far, how fast."""
        parts = [self.stage, self._short_subject()]
        if self.total:
            parts.append(f"{number(self.done)} of {number(self.total)} {self.unit}")
        elif self.done:
            parts.append(f"{number(self.done)} {self.unit}")
        parts += [self.detail, self.remark]
        return one_line(" · ".join(part for part in parts if part), width)

    def _short_subject(self) -> str:
        """A leaf by its last folder where its whole path would push the numbers off the line."""
        if len(self.subject) <= LONG_SUBJECT or "/" not in self.subject:
            return self.subject
        return f"…/{self.subject.rsplit('/', 1)[1]}"

    def begin(self, stage: str, subject: str = "") -> None:
        """Start a stage (or a part of the story that is no stage)."""
        self.stage, self.subject = stage, subject
        self.done = self.total = 0
        self.detail = self.remark = ""
        self.unit, self.sample, self.leaves = "rows", None, []
        self._started = self.clock()
        self._mark = (self._started, 0)

    def _count(self, done: int, total: int, unit: str) -> None:
        if done < self.done or unit != self.unit:
            self._mark = (self.clock(), done)
        self.done, self.total, self.unit = done, total, unit

    def _rate(self) -> str:
        since, start = self._mark
        seconds = self.clock() - since
        if seconds < 1 or self.done <= start:
            return ""
        return f"{(self.done - start) / seconds:,.1f} {self.unit}/s"


def _text(fields: Mapping[str, Json], key: str) -> str:
    value = fields.get(key)
    return "" if value is None else str(value)


def _integer(fields: Mapping[str, Json], key: str) -> int:
    value = fields.get(key)
    return int(value) if isinstance(value, (int, float)) else 0


def _float(fields: Mapping[str, Json], key: str) -> float | None:
    value = fields.get(key)
    return float(value) if isinstance(value, (int, float)) else None


def _stage_start(state: Progress, fields: Mapping[str, Json]) -> None:
    state.begin(_text(fields, "stage"))
    state.remark = "going on where it stopped" if fields.get("resumed") else ""


def _stage_end(state: Progress, fields: Mapping[str, Json]) -> None:
    state.states[_text(fields, "stage")] = _text(fields, "state") or "done"


def _progress(state: Progress, fields: Mapping[str, Json]) -> None:
    state.subject = _text(fields, "leaf") or _text(fields, "subject") or state.subject
    unit = _text(fields, "unit") or ("leaves" if "leaf" in fields else "rows")
    state._count(_integer(fields, "done"), _integer(fields, "total"), unit)
    kept = _float(fields, "kept")
    if kept is None:
        state.detail = state._rate() if unit != "leaves" else ""
    else:
        speed = kept / state.elapsed if state.elapsed >= 1 else 0
        state.detail = f"{number(kept)} rows kept" + (f", {number(speed)} rows/s" if speed else "")


def _teaching(state: Progress, fields: Mapping[str, Json]) -> None:
    """A teacher model at work; what it kept stands in `detail` already."""
    in_flight, cached = _integer(fields, "in_flight"), _integer(fields, "cached")
    speed, cost = _float(fields, "tokens_per_second"), _float(fields, "cost")
    state.remark = " · ".join(
        part
        for part in (
            f"{number(_integer(fields, 'requests'))} requests, {number(in_flight)} in flight",
            f"{number(cached)} from the journal" if cached else "",
            f"{number(speed)} tokens/s" if speed else "",
            f"{cost:.2f} {_text(fields, 'currency')}" if cost else "",
        )
        if part
    )
    leaves = fields.get("leaves")
    state.leaves = [entry for entry in leaves if isinstance(entry, dict)] if isinstance(leaves, list) else []


def _fetch(state: Progress, fields: Mapping[str, Json]) -> None:
    """A student on its way from a hub; no stage has begun yet."""
    if state.stage != "student":
        state.begin("student", _text(fields, "student"))
    state._count(_integer(fields, "bytes") >> 20, _integer(fields, "total") >> 20, "MiB")
    state.detail = state._rate()


def _server(state: Progress, fields: Mapping[str, Json]) -> None:
    """A local teacher's server: loading takes a while, and what it says goes to its log."""
    doing = {"starting": "starts", "ready": "is ready", "stopped": "ended"}.get(_text(fields, "state"), "")
    state.remark = f"{_text(fields, 'engine')} with {_text(fields, 'model')} {doing}"


def _sample(state: Progress, fields: Mapping[str, Json]) -> None:
    state.sample = (_text(fields, "question"), _text(fields, "answer"))


def _exam_progress(state: Progress, fields: Mapping[str, Json]) -> None:
    state.subject = _text(fields, "model") or state.subject
    state._count(_integer(fields, "done"), _integer(fields, "total"), "questions")
    state.detail = state._rate()


def _train_phase(state: Progress, fields: Mapping[str, Json]) -> None:
    state.subject, state.remark = _text(fields, "phase"), ""


def _train_step(state: Progress, fields: Mapping[str, Json]) -> None:
    state.subject = _text(fields, "phase") or state.subject
    state._count(_integer(fields, "step"), _integer(fields, "steps"), "steps")
    loss, speed, left = (_float(fields, key) for key in ("loss", "tokens_per_second", "eta_s"))
    mfu, waste = _float(fields, "mfu"), _float(fields, "padding_waste")
    state.detail = " · ".join(
        part
        for part in (
            f"loss {loss:.3f}" if loss is not None else "",
            f"{number(speed)} tokens/s" if speed is not None else "",
            f"{mfu:.0%} MFU" if mfu else "",
            f"{waste:.1%} padding" if waste is not None else "",
            f"{duration(left)} left" if left is not None else "",
        )
        if part
    )


def _train_evaluation(state: Progress, fields: Mapping[str, Json]) -> None:
    score = _float(fields, "score")
    if score is not None:
        state.remark = f"development exam {score:.0%}" + (" (best so far)" if fields.get("best") else "")


_HANDLERS: dict[str, Callable[[Progress, Mapping[str, Json]], None]] = {
    "stage.start": _stage_start,
    "stage.end": _stage_end,
    "progress": _progress,
    "sample": _sample,
    "teaching": _teaching,
    "server": _server,
    "student.fetch": _fetch,
    "exam.progress": _exam_progress,
    "exam.answer": _sample,
    "train.phase": _train_phase,
    "train.step": _train_step,
    "train.evaluation": _train_evaluation,
}
