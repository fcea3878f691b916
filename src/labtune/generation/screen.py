"""The checks that need no model, put before the judges: what they find costs no further request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from labtune.generation.flow.context import StepContext
from labtune.generation.flow.engine import FlowStep, Order
from labtune.generation.flow.rows import FlowRow
from labtune.generation.quality.grounding import Fault

NAME = "quality"
_ANSWER = "answer"


@dataclass(frozen=True, slots=True)
class Screen:
    """A block that drops rows with a fault; rows without an answer yet pass."""

    fault: Callable[[FlowRow], Fault | None]
    order: Order = "any"

    async def __call__(self, row: FlowRow, context: StepContext) -> Sequence[FlowRow]:
        """The row, or nothing."""
        fault = self.fault(row) if _ANSWER in row.fields else None
        if fault is None:
            return (row,)
        context.reject(NAME, fault.reason, row, fault.detail)
        return ()


def screened(steps: Sequence[FlowStep], fault: Callable[[FlowRow], Fault | None]) -> tuple[FlowStep, ...]:
    """The steps of a pipeline, with a screen after each that writes answers."""
    out: list[FlowStep] = []
    for step in steps:
        out.append(step)
        if _ANSWER in getattr(step.block, "adds", ()):
            number = sum(isinstance(before.block, Screen) for before in out)
            out.append(FlowStep(f"{NAME}_{number + 1}" if number else NAME, Screen(fault)))
    return tuple(out)
