"""Memory and arithmetic of a training, before anything is loaded: sums over the student's shapes.

What is counted is what this package's training holds: tuned weights and optimiser in fp32, matrix products in
bf16 or fp32, the starting weights where the optimiser draws back to them, and between steps the plain model
that takes the development exam. The rules, and how far they are from measured peaks, stand in docs/fit.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from labtune.config.defaults import ADAPTERS
from labtune.config.lab import TrainConfig
from labtune.training.anatomy import Anatomy, Matrix

Method = Literal["full", "lora", "dora", "qlora", "osft"]
Device = Literal["cpu", "cuda", "mps"]

_ADAM = 8
"""Bytes of AdamW's two moments, fp32, for each tuned parameter."""

_LIBRARIES = 128 * 2**20
"""Kernels, threads and modules that are loaded with the first step; measured (docs/fit.md)."""

_HOLES = 1.4
"""Adapters' inputs pass through fp32 between what is kept, which leaves holes in a CPU's heap; measured."""

_CHUNK = {"cpu": 1 << 21, "cuda": 1 << 27}
"""Logits held at once, as models/head.py has it."""

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
        shards: processes that share weights, gradients and optimiser among them (FSDP).
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
    shards: int = 1

    @classmethod
    def of(
        cls, config: TrainConfig, device: Device, *, checkpointing: bool | None = None, shards: int = 1
    ) -> Course:
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
            shards=shards,
        )


@dataclass(frozen=True, slots=True)
class Batch:
    """What goes through the student at once.

    Attributes:
        tokens: of a micro-batch, a line of rows.
        longest: tokens of its longest row.
        trained: positions whose next token the loss counts.
    """

    tokens: int
    longest: int
    trained: int


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes on the training device, by what they are for.

    Attributes:
        weights: of the student and of what the method adds.
        gradients: of what is tuned.
        optimizer: its moments.
        copies: the starting weights, where training draws back to them.
        casts: weights in bf16 and other working copies of them.
        activations: what the forward pass leaves for the backward pass, and the widest layer's gradients.
        logits: what the loss works with.
        exam: the plain model that is examined between steps, when gradients and activations are gone.
        libraries: what they take for themselves once work begins.
    """

    weights: int
    gradients: int
    optimizer: int
    copies: int
    casts: int
    activations: int
    logits: int
    exam: int
    libraries: int

    @property
    def total(self) -> int:
        """The peak: the larger of a step and an exam, on top of what stays."""
        step = self.gradients + self.casts + self.activations + self.logits
        return self.weights + self.optimizer + self.copies + self.libraries + max(step, self.exam)


def estimate(student: Anatomy, course: Course, batch: Batch) -> Memory:
    """Peak memory of a training that sends `batch` through `student`."""
    tuned = tuned_parameters(student, course)
    shards = course.shards
    return Memory(
        weights=_weights(student, course) // shards,
        gradients=4 * tuned // shards,
        optimizer=_optimizer(student, course, tuned) // shards,
        copies=(4 * student.parameters if course.anchored else 0) // shards,
        casts=_casts(student, course) // shards,
        activations=_activations(student, course, batch),
        logits=_logits(student, course, batch),
        # A student that is shared out takes its exam in one piece on the first process's CPU.
        exam=4 * student.parameters if shards == 1 else 0,
        libraries=_LIBRARIES,
    )


def tuned_parameters(student: Anatomy, course: Course) -> int:
    """Parameters with a gradient."""
    if course.method == "full":
        return student.parameters
    if course.method == "osft":
        return sum((one.outputs + one.inputs + 1) * _free(one, course) for one in _wrapped(student))
    length = 1 if course.method == "dora" else 0
    return sum(course.rank * (one.outputs + one.inputs) + length * one.outputs for one in _wrapped(student))


def flops_per_token(student: Anatomy, course: Course, longest: int) -> float:
    """Floating-point operations of training one token of a row of `longest` tokens.

    Two for each parameter a token meets in the forward pass, twice that in the backward pass when the weights
    are tuned and once when only what flows through them is; attention adds its two products over half the
    row (the other half is masked). Source: Kaplan et al. 2020 (6N), Chowdhery et al. 2022 appendix B.
    """
    attention = student.attention_layers * 2 * student.heads * student.head_dim * longest
    forward = 2 * student.active + attention
    backward = forward if course.method in ("lora", "dora", "qlora") else 2 * forward
    again = forward if course.checkpointing else 0
    return float(forward + backward + again)


def _free(matrix: Matrix, course: Course) -> int:
    """Directions of a matrix that osft tunes."""
    directions = min(matrix.outputs, matrix.inputs)
    return directions - int(course.preserve * directions)


def _wrapped(student: Anatomy) -> list[Matrix]:
    """What adapters and osft can wrap: layers of their own, not experts that share a tensor."""
    return [one for one in student.matrices if one.experts == 1]


def _weights(student: Anatomy, course: Course) -> int:
    if course.method == "full":
        return 4 * student.parameters
    tuned = 4 * tuned_parameters(student, course)
    if course.method == "osft":
        # Beside the protected part: the factors, those they began with, the longer side's protected vectors.
        vectors = sum(
            max(one.outputs, one.inputs) * (min(one.outputs, one.inputs) - _free(one, course))
            for one in _wrapped(student)
            if one.outputs != one.inputs
        )
        return 4 * (student.parameters + vectors) + 2 * tuned
    if course.method == "qlora":
        packed = sum(one.size for one in _wrapped(student))
        return int(_QUANTISED * packed) + 2 * (student.parameters - packed) + tuned
    rounded = course.device == "cuda" and course.precision == "bf16"
    return (2 if rounded else 4) * student.parameters + tuned


def _optimizer(student: Anatomy, course: Course, tuned: int) -> int:
    if course.optimizer == "muon":
        # One moment for matrices; of adapters and factors nearly everything is one.
        apart = student.tables + student.vectors if course.method == "full" else 0
        return 4 * (tuned - apart) + _ADAM * apart
    return _ADAM * tuned


def _casts(student: Anatomy, course: Course) -> int:
    """bf16 copies of the weights that the backward pass needs, and what osft and dora put together."""
    matrices = sum(one.size for one in student.matrices)
    casts = 0
    if course.precision == "bf16" and not (course.method in ADAPTERS and course.device == "cuda"):
        casts = 2 * (matrices + student.vocabulary * student.hidden)
    elif course.method == "qlora":
        casts = 2 * max((one.size for one in _wrapped(student)), default=0)
    if course.method == "osft":
        casts += sum(4 * one.outputs * _free(one, course) for one in _wrapped(student))
        casts += 4 * max((one.size for one in _wrapped(student)), default=0)
    if course.method == "dora":
        casts += 8 * max((one.size for one in _wrapped(student)), default=0)
    return casts * (course.replicas if course.precision == "bf16" else 1)


def _activations(student: Anatomy, course: Course, batch: Batch) -> int:
    product = 2 if course.precision == "bf16" else 4
    fed, read, written, gated = student.widths()
    # Two norms a layer: each keeps what it reads and what it hands on, in the residual stream's fp32, and
    # each product keeps a rounded copy of its own of the latter.
    stream = student.layers * student.hidden * 16 + (product * fed if product == 2 else 0)
    attention = student.attention_layers * student.heads * product * _head(course, batch, student.head_dim)
    everything: float = stream + product * (read + written + gated) + attention
    if course.method in ADAPTERS:
        everything += product * course.rank * len(_wrapped(student))
    if course.method == "dora":
        everything += product * 2 * sum(one.outputs for one in _wrapped(student))
    if course.method in ADAPTERS and course.device == "cpu":
        everything *= _HOLES
    layer = everything / student.layers
    if course.checkpointing:
        again = student.layers * 4 * student.hidden + layer
        # With adapters on a CPU, half is all that was seen to be saved (docs/fit.md).
        everything = (
            max(again, everything / 2) if course.method in ADAPTERS and course.device == "cpu" else again
        )
    # The backward pass of a layer holds the gradients of its activations beside.
    return int(batch.tokens * (everything + layer))


def _head(course: Course, batch: Batch, head_dim: int) -> int:
    """Numbers that a head keeps for one token.

    Attention by buckets of rows keeps questions, keys, values and results spread over the bucket, and the
    row's weights; the fused one the first four and one more.
    """
    return batch.longest + 4 * head_dim if course.device != "cuda" else 4 * head_dim + 2


def _logits(student: Anatomy, course: Course, batch: Batch) -> int:
    """One chunk of logits with its error, the gradient by the hidden states, and by the output table."""
    chunk = min(_CHUNK["cuda" if course.device == "cuda" else "cpu"], batch.trained * student.vocabulary)
    tuned = student.vocabulary * student.hidden if course.method == "full" else 0
    return 12 * chunk + 8 * batch.trained * student.hidden + 4 * tuned
