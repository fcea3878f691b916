"""Speed and remaining time of a training, told as events and kept for the metrics."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from labtune.training.gauge import Gauge
from labtune.training.plan import PhasePlan
from labtune.types import Emit, Json


@dataclass(slots=True)
class Progress:
    """Counts over all phases, of this process only: an interrupted attempt's times are not included.

    Args:
        emit: where events go.
        plans: all phases.
        gauge: what tells how well the device is used.
    """

    emit: Emit
    plans: Sequence[PhasePlan]
    gauge: Gauge
    started: float = field(default_factory=time.perf_counter)
    steps_here: int = 0
    tokens: int = 0
    trained_tokens: int = 0
    flops: float = 0.0
    stepping: float = 0.0
    evaluating: float = 0.0
    _steps_left: int = 0
    _mark: float = 0.0

    def begin_phase(self, plan: PhasePlan, step: int) -> None:
        """A phase starts (or goes on) at `step`."""
        after = self.plans[[one.name for one in self.plans].index(plan.name) + 1 :]
        self._steps_left = plan.steps - step + sum(one.steps for one in after)
        self._mark = time.perf_counter()

    def step(self, lengths: Sequence[int], trained_tokens: int) -> None:
        """A step over rows of these lengths is done; what passed since the last call was training."""
        now = time.perf_counter()
        self.stepping += now - self._mark
        self._mark = now
        self.steps_here += 1
        self._steps_left -= 1
        self.tokens += sum(lengths)
        self.trained_tokens += trained_tokens
        self.flops += self.gauge.flops(lengths, trained_tokens)

    def pause(self) -> None:
        """What passed since the last step was not training (an evaluation, a resume point)."""
        now = time.perf_counter()
        self.evaluating += now - self._mark
        self._mark = now

    @property
    def tokens_per_second(self) -> float:
        """Tokens fed per second of training, padding not counted."""
        return self.tokens / self.stepping if self.stepping else 0.0

    @property
    def utilisation(self) -> float:
        """Model FLOPs utilisation of all training so far, 0..1."""
        return self.gauge.utilisation(self.flops, self.stepping)

    def tell(self, plan: PhasePlan, step: int, loss: float, learning_rate: float) -> None:
        """Emit `train.step`."""
        elapsed = time.perf_counter() - self.started
        fields: dict[str, Json] = {
            "phase": plan.name,
            "step": step,
            "steps": plan.steps,
            "loss": round(loss, 4),
            "learning_rate": learning_rate,
            "tokens_per_second": round(self.tokens_per_second, 1),
            "mfu": round(self.utilisation, 4),
            "padding_waste": round(plan.padding_waste, 4),
            "eta_s": round(elapsed / max(1, self.steps_here) * self._steps_left, 1),
        }
        self.emit("train.step", fields)
