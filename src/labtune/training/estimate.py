"""Memory and arithmetic of a training, before anything is loaded: sums over the student's shapes.

What is counted is what this package's training holds: weights and optimiser in fp32, matrix products in bf16
or fp32, a copy of the starting weights where the optimiser draws back to them, a copy for the development
exam. The rules and how far they are from measured peaks stand in docs/fit.md.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from labtune.config.lab import TrainConfig
from labtune.training.anatomy import Anatomy

Method = Literal["full", "lora", "dora", "qlora", "osft"]
Device = Literal["cpu", "cuda", "mps"]

_ADAM = 8
"""Bytes of AdamW's two moments, fp32, for each tuned parameter."""

_QUANTISED = 0.516
"""Bytes of a 4-bit weight with its constants: 4.127 bits with double quantisation (Dettmers et al. 2023)."""


@dataclass(frozen=True, slots=True)
class Course:
    """How a student is tuned, as far as memory and time depend on it.

    Attributes:
        method: which weights are tuned.
        device: where.
        precision: of the matrix products.
        optimizer: adamw, or muon for the matrices.
        rank: of adapters.
        preserve: share of each matrix's directions that osft keeps.
        anchored: whether the starting weights are held beside (train.pull_back).
        replicas: copies that share the weights but not what a forward pass leaves.
        checkpointing: whether activations are computed again.
    """

    method: Method
    device: Device
    precision: Literal["fp32", "bf16"]
    optimizer: Literal["adamw", "muon"]
    rank: int
    preserve: float
    anchored: bool
    replicas: int
    checkpointing: bool

    @classmethod
    def of(cls, config: TrainConfig, device: Device, *, checkpointing: bool | None = None) -> Course:
        """What `config` asks for on `device`; `checkpointing` overrides an open choice."""
        asked = config.gradient_checkpointing
        return cls(
            method=config.method,
            device=device,
            precision=config.precision,
            optimizer=config.optimizer,
            rank=config.lora.rank,
            preserve=config.osft.preserve,
            anchored=config.pull_back > 0 and config.method == "full",
            replicas=config.replicas if device == "cpu" else 1,
            checkpointing=bool(checkpointing) if asked is None else asked,
        )


@dataclass(frozen=True, slots=True)
class Batch:
    """What goes through the student at once.

    Attributes:
        tokens: padded tokens of a micro-batch.
        width: tokens of its widest pack.
        trained: positions whose next token the loss counts.
    """

    tokens: int
    width: int
    trained: int


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes on the training device, by what they are for; together they are the peak."""

    weights: int
    gradients: int
    optimizer: int
    casts: int
    copies: int
    activations: int
    logits: int

    @property
    def total(self) -> int:
        """All of it."""
        return sum(int(getattr(self, one.name)) for one in fields(self))

    @property
    def fixed(self) -> int:
        """What no smaller micro-batch saves."""
        return self.total - self.activations - self.logits


def estimate(student: Anatomy, course: Course, batch: Batch) -> Memory:
    """Peak memory of an optimiser step (the development exam between steps stays below it)."""
    tuned = tuned_parameters(student, course)
    return Memory(
        weights=_weights(student, course),
        gradients=4 * tuned,
        optimizer=_optimizer(student, course, tuned),
        casts=_casts(student, course),
        copies=_copies(student, course),
        activations=_activations(student, course, batch),
        logits=_logits(student, course, batch),
    )


def tuned_parameters(student: Anatomy, course: Course) -> int:
    """Parameters with a gradient."""
    if course.method == "full":
        return student.parameters
    if course.method == "osft":
        return sum(
            (one.outputs + one.inputs + 1) * _free(one.outputs, one.inputs, course) * one.experts
            for one in student.matrices
        )
    adapters = sum(course.rank * (one.outputs + one.inputs) for one in student.matrices if one.experts == 1)
    lengths = sum(one.outputs for one in student.matrices if one.experts == 1)
    return adapters + (lengths if course.method == "dora" else 0)


def flops_per_token(student: Anatomy, course: Course, width: int) -> float:
    """Floating-point operations of training one token in a pack of `width`.

    Two for each parameter a token meets in the forward pass, twice that in the backward pass when the weights
    are tuned and once when only what flows through them is; attention adds its two products over half the
    pack (the other half is masked). Source: Kaplan et al. 2020 (6N), Chowdhery et al. 2022 appendix B.
    """
    attention = student.attention_layers * 2 * student.heads * student.head_dim * width
    forward = 2 * student.active + attention
    backward = forward if course.method in ("lora", "dora", "qlora") else 2 * forward
    again = forward if course.checkpointing else 0
    return float(forward + backward + again)


def _free(outputs: int, inputs: int, course: Course) -> int:
    directions = min(outputs, inputs)
    return directions - round(course.preserve * directions)


def _weights(student: Anatomy, course: Course) -> int:
    matrices = sum(one.size for one in student.matrices)
    rest = student.parameters - matrices
    if course.method == "qlora":
        return int(_QUANTISED * matrices) + 4 * rest + 4 * tuned_parameters(student, course)
    if course.method in ("lora", "dora"):
        return 4 * (student.parameters + tuned_parameters(student, course))
    if course.method == "osft":
        factors = sum(
            (one.outputs + one.inputs + 1) * min(one.outputs, one.inputs) * one.experts
            for one in student.matrices
        )
        return 4 * (student.parameters + factors)
    return 4 * student.parameters


def _optimizer(student: Anatomy, course: Course, tuned: int) -> int:
    if course.method == "full" and course.optimizer == "muon":
        matrices = sum(one.size for one in student.matrices)
        return 4 * matrices + _ADAM * (tuned - matrices)
    return _ADAM * tuned


def _casts(student: Anatomy, course: Course) -> int:
    """bf16 copies of the weights, which a forward pass makes and the backward pass needs."""
    if course.precision == "fp32":
        return 0
    return 2 * (sum(one.size for one in student.matrices) + student.vocabulary * student.hidden)


def _copies(student: Anatomy, course: Course) -> int:
    """The starting weights and the exam's copy."""
    return 4 * student.parameters * (2 if course.anchored else 1)


def _activations(student: Anatomy, course: Course, batch: Batch) -> int:
    product = 2 if course.precision == "bf16" else 4
    read, written, gated = student.widths()
    # Two norms a layer: each keeps what it reads and what it hands on, in the residual stream's fp32.
    stream = student.layers * (4 * 4 + (2 * product if product == 2 else 0)) * student.hidden
    attention = student.attention_layers * student.heads * _scores(course, batch, student.head_dim)
    everything = stream + product * (read + written + gated) + attention
    if course.method in ("lora", "dora", "qlora"):
        everything += product * course.rank * len(student.matrices)
    if course.method == "dora":
        everything += product * (read + written)
    if not course.checkpointing:
        # The backward pass of a layer holds the gradients of its own activations beside.
        return int(batch.tokens * (everything + everything / student.layers))
    kept = student.layers * 4 * student.hidden
    return int(batch.tokens * (kept + 2 * everything / student.layers))


def _scores(course: Course, batch: Batch, head_dim: int) -> int:
    """Bytes a head keeps for one token: eager attention keeps its row of scores, fused ones the result."""
    product = 2 if course.precision == "bf16" else 4
    if course.device == "cpu":
        return (4 + (2 if product == 2 else 0)) * batch.width + 2 * product * head_dim
    return product * head_dim + 4


def _logits(student: Anatomy, course: Course, batch: Batch) -> int:
    """Logits, their fp32 copy, log-probabilities and gradient."""
    product = 2 if course.precision == "bf16" else 4
    each = 16 if product == 2 else 12
    return batch.trained * student.vocabulary * each
