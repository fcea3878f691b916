"""What a run of a teacher model shows while it works: a few events a second, whatever the number of rows."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from labtune.config.lab import GenerateConfig
from labtune.generation.result import LeafResult
from labtune.models.usage import Usage
from labtune.types import Emit, Json

PERIOD_S = 0.5
RATE_S = 10.0
"""Tokens a second are those of so many seconds."""
SHOWN_LEAVES = 8
LOW_YIELD = 0.5
"""Share of its target below which a leaf is named."""


@dataclass(slots=True)
class LeafState:
    """How far a leaf is."""

    kept: int = 0
    target: int = 0
    round: int = 0


class Board:
    """Gathers the state of all leaves and emits it twice a second.

    Events: `progress` (leaves done, samples kept), `teaching` (requests in flight, tokens, cost, the leaves
    at work), `sample` (the last one), `leaf` and `notice` at the end of a leaf.
    """

    def __init__(self, emit: Emit, usage: Usage, leaves: Sequence[str]) -> None:
        self.in_flight: Callable[[], int] = lambda: 0
        self._emit = emit
        self._usage = usage
        self._total = len(leaves)
        self._done = 0
        self._kept = 0
        self._working: dict[str, LeafState] = {}
        self._sample: dict[str, Json] = {}
        self._rates: deque[tuple[float, int]] = deque()

    def working(self, leaf: str, state: LeafState) -> None:
        """A leaf went on."""
        self._working.pop(leaf, None)
        self._working[leaf] = state

    def at_work(self) -> list[tuple[str, LeafState]]:
        """The leaves that are being taught, the one that went on last at the end."""
        return list(self._working.items())

    def left(self, leaf: str) -> None:
        """A leaf is not taught here any more."""
        self._working.pop(leaf, None)

    def finished_row(self, leaf: str, question: str, answer: str) -> None:
        """A row left the pipeline."""
        self._sample = {"leaf": leaf, "form": "generated", "question": question, "answer": answer}

    def ended(self, leaf: str, result: LeafResult, config: GenerateConfig) -> None:
        """A leaf is done; say so, and name it when it gave little."""
        self._working.pop(leaf, None)
        self._done += 1
        self._kept += len(result.samples)
        funnel = result.funnel
        fields: dict[str, Json] = {"leaf": leaf, "cached": result.cached, "kept": len(result.samples)}
        self._emit("leaf", {**fields, "end": funnel.get("end"), "target": funnel.get("target")})
        few = funnel.get("generated", 0) < LOW_YIELD * funnel.get("target", 0)
        if few and funnel.get("end") not in ("stopped", "nothing_to_ask"):
            told = f"{leaf}: {funnel['generated']} of {funnel['target']} samples; {funnel['cause']}. "
            self._emit("notice", {"leaf": leaf, "text": f"{told}Mend: {funnel['remedy']}"})
        share = result.coverage.get("share")
        if isinstance(share, float) and share < config.coverage_floor and funnel.get("end") != "stopped":
            text = f"{leaf}: samples state {share:.1%} of the sentences and table cells"
            self._emit("notice", {"leaf": leaf, "text": f"{text}, less than {config.coverage_floor:.1%}"})

    @asynccontextmanager
    async def shown(self) -> AsyncIterator[None]:
        """Emit while the block runs."""
        ticking = asyncio.create_task(self._tick())
        try:
            yield
        finally:
            ticking.cancel()
            with suppress(asyncio.CancelledError):
                await ticking

    async def _tick(self) -> None:
        while True:
            self.show()
            await asyncio.sleep(PERIOD_S)

    def show(self) -> None:
        """Emit the state now."""
        usage = self._usage
        kept = self._kept + sum(state.kept for state in self._working.values())
        leaf = next(reversed(self._working), "")
        self._emit("progress", {"leaf": leaf, "done": self._done, "total": self._total, "kept": kept})
        recent = list(self._working.items())[-SHOWN_LEAVES:]
        self._emit(
            "teaching",
            {
                "in_flight": self.in_flight(),
                "waiting": usage.waiting,
                "requests": usage.requests - usage.cached,
                "cached": usage.cached,
                "failed": usage.failed,
                "prompt_tokens": usage.prompt_tokens,
                "tokens": usage.tokens,
                "tokens_per_second": self._rate(),
                "cost": None if usage.unpriced else round(usage.cost, 6),
                "currency": usage.currency,
                "leaves": [
                    {"leaf": path, "kept": state.kept, "target": state.target, "round": state.round}
                    for path, state in recent
                ],
            },
        )
        self.show_sample()

    def show_sample(self) -> None:
        """Emit the last sample, if there is a new one."""
        if self._sample:
            self._emit("sample", self._sample)
            self._sample = {}

    def _rate(self) -> float:
        """Completion tokens a second, over the last seconds."""
        now = time.monotonic()
        self._rates.append((now, self._usage.tokens))
        while now - self._rates[0][0] > RATE_S:
            self._rates.popleft()
        since, tokens = self._rates[0]
        return round((self._usage.tokens - tokens) / (now - since), 1) if now > since else 0.0
