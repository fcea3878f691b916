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

METHODS: tuple[Method, ...] = ("full", "osft", "lora", "dora", "qlora")
"""From the one that changes most to the one that needs least."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The micro-batches of a phase as it was planned.

    Attributes:
        micro_batch: packs in one.
        accumulation: micro-batches in an optimiser step.
        tokens: padded tokens of the largest.
        width: tokens of the widest pack.
        trained: most positions in one that the loss counts.
    """

    micro_batch: int
    accumulation: int
    tokens: int
    width: int
    trained: int

    def part(self, parts: int) -> Batch:
        """The largest of `parts` parts of a micro-batch."""
        packs = math.ceil(self.micro_batch / parts)
        share = packs / self.micro_batch
        tokens = math.ceil(self.tokens * share)
        return Batch(tokens, self.width, min(tokens, math.ceil(self.trained * share)))


@dataclass(frozen=True, slots=True)
class Fit:
    """A choice.

    Attributes:
        parts: in how many parts each planned micro-batch goes through the student.
        micro_batch: packs that go through at once, at most.
        accumulation: of them in an optimiser step.
        checkpointing: whether activations are computed again.
        memory: the estimated peak.
        fits: whether it stays within the memory at hand.
    """

    parts: int
    micro_batch: int
    accumulation: int
    checkpointing: bool
    memory: Memory
    fits: bool


def fit(student: Anatomy, config: TrainConfig, machine: Machine, shape: Shape) -> Fit:
    """The fastest way that fits; when none does, the one that needs least, marked as not fitting."""
    best: Fit | None = None
    for parts, checkpointing in _ways(config, machine, shape):
        course = Course.of(config, machine.device, checkpointing=checkpointing)
        memory = estimate(student, course, shape.part(parts))
        choice = Fit(
            parts=parts,
            micro_batch=math.ceil(shape.micro_batch / parts),
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
    """Micro-batches for an outlook before anything is mixed: full packs, all tokens trained."""
    width = min(config.max_length, config.batch_tokens)
    packs = max(1, min(config.batch_tokens, _OUTLOOK_TOKENS) // width)
    steps = max(1, math.ceil(config.batch_tokens / (packs * width)))
    return Shape(packs, steps, packs * width, width, packs * width)


_OUTLOOK_TOKENS = 4096


def _ways(config: TrainConfig, machine: Machine, shape: Shape) -> Iterator[tuple[int, bool]]:
    """(parts, checkpointing), the fastest first."""
    sizes = [1 << power for power in range((shape.micro_batch - 1).bit_length())] + [shape.micro_batch]
    least = 1 if machine.device == "cpu" else LEAST_TOKENS
    asked = config.gradient_checkpointing
    if asked is not True:
        for parts in sizes:
            if asked is False or parts == 1 or shape.part(parts).tokens >= least:
                yield parts, False
    if asked is not False:
        for parts in sizes:
            yield parts, True
