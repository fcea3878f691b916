"""How a training is fitted into the memory at hand: the size of its micro-batches, checkpointing, a method.

Pure: the same shapes, settings and memory give the same choice. The tokens of an optimiser step never change,
only the parts in which they go through the student, so the result is the same up to rounding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from labtune.config.lab import TrainConfig
from labtune.errors import TrainingError
from labtune.training.anatomy import Anatomy
from labtune.training.estimate import Batch, Course, Memory, Method, estimate
from labtune.training.machine import Machine

USABLE = 0.9
"""Share of the free memory that a plan may fill; the rest is for the allocator's gaps and the libraries."""

LEAST_TOKENS = 2048
"""Micro-batches below this starve an accelerator: from here on, computing activations again costs less."""

MICRO_TOKENS = 4096
"""Tokens that go through the student at once, where memory allows."""

METHODS: tuple[Method, ...] = ("full", "osft", "lora", "dora", "qlora")
"""From the one that changes most to the one that needs least."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The micro-batches of a phase as it was planned: lines of rows, cut between rows only.

    Attributes:
        tokens: of the largest micro-batch.
        longest: tokens of the longest row.
        trained: most tokens in a micro-batch that the loss counts.
        rows: most rows in a micro-batch.
        accumulation: micro-batches in an optimiser step.
    """

    tokens: int
    longest: int
    trained: int
    rows: int
    accumulation: int

    def part(self, parts: int) -> Batch:
        """The largest of about even parts of a micro-batch."""
        if parts == 1:
            return Batch(self.tokens, self.longest, self.trained)
        # A cut falls on the nearest boundary of rows, so a part is half a row too long at each end at most.
        tokens = min(self.tokens, math.ceil(self.tokens / parts) + self.longest)
        return Batch(tokens, self.longest, min(tokens, self.trained))


@dataclass(frozen=True, slots=True)
class Fit:
    """A choice.

    Attributes:
        parts: in how many parts each planned micro-batch goes through the student.
        micro_tokens: tokens that go through at once, at most.
        accumulation: micro-batches in an optimiser step.
        checkpointing: whether activations are computed again.
        memory: the estimated peak.
        fits: whether it stays within the memory at hand.
    """

    parts: int
    micro_tokens: int
    accumulation: int
    checkpointing: bool
    memory: Memory
    fits: bool


def fit(student: Anatomy, config: TrainConfig, machine: Machine, shape: Shape, *, shards: int = 1) -> Fit:
    """The fastest way that fits; when none does, the one that needs least, marked as not fitting."""
    best: Fit | None = None
    for parts, checkpointing in _ways(config, machine, shape):
        course = Course.of(config, machine.device, checkpointing=checkpointing, shards=shards)
        batch = shape.part(parts)
        memory = estimate(student, course, batch)
        choice = Fit(
            parts=parts,
            micro_tokens=batch.tokens,
            accumulation=shape.accumulation * parts,
            checkpointing=checkpointing,
            memory=memory,
            fits=memory.total <= USABLE * machine.free,
        )
        if choice.fits:
            return choice
        if best is None or memory.total < best.memory.total:
            best = choice
    assert best is not None, "one way at least is tried"
    return best


def alternatives(student: Anatomy, config: TrainConfig, machine: Machine, shape: Shape) -> dict[Method, Fit]:
    """The fit of each method that this machine can run, in the order of METHODS."""
    return {
        method: fit(student, config.model_copy(update={"method": method}), machine, shape)
        for method in METHODS
        if method != "qlora" or machine.device == "cuda"
    }


def refusal(student: Anatomy, config: TrainConfig, machine: Machine, shape: Shape) -> TrainingError:
    """The error for a training that does not fit: what it needs, what is there, which method would fit."""
    needed = fit(student, config, machine, shape).memory.total
    fitting = [
        f"train.method={method} needs {gib(choice.memory.total)}"
        for method, choice in alternatives(student, config, machine, shape).items()
        if choice.fits and method != config.method
    ]
    mend = f"{'; '.join(fitting)}" if fitting else "no method fits: choose a smaller student"
    return TrainingError(
        f"method {config.method} needs about {gib(needed)} even in the smallest micro-batches, and "
        f"{gib(machine.free)} are free on this machine's {machine.name}",
        hint=f"{mend} (train.memory_gib overrides what is taken to be free)",
    )


def gib(size: float) -> str:
    """Bytes as people read them."""
    if size < 2**30:
        return f"{size / 2**20:.0f} MiB"
    return f"{size / 2**30:.1f} GiB"


def usual_shape(config: TrainConfig) -> Shape:
    """Micro-batches before anything is mixed: rows of the longest length, all of their tokens trained."""
    longest = min(config.max_length, config.batch_tokens)
    tokens = max(longest, min(config.batch_tokens, MICRO_TOKENS))
    return Shape(tokens, longest, tokens, tokens // longest, math.ceil(config.batch_tokens / tokens))


def _ways(config: TrainConfig, machine: Machine, shape: Shape) -> Iterator[tuple[int, bool]]:
    """(parts, checkpointing), the fastest first."""
    sizes = [*(1 << power for power in range((shape.rows - 1).bit_length())), shape.rows]
    least = 1 if machine.device == "cpu" else LEAST_TOKENS
    asked = config.gradient_checkpointing
    if asked is not True:
        for parts in sizes:
            if asked is False or parts == 1 or shape.part(parts).tokens >= least:
                yield parts, False
    if asked is not False:
        for parts in sizes:
            yield parts, True
