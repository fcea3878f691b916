"""How well a training uses its device: the model's own arithmetic against the fastest matrix product (MFU).

Model FLOPs utilisation as Chowdhery et al. 2022 (PaLM, appendix B) define it: what the model's forward and
backward pass need, computed again or not, divided by what the device could have done in that time. Two things
are counted more strictly than there: attention over the half that is not masked, of each row by itself, and
the output layer only where a token is trained. What the device can do is measured, not read from a sheet.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from labtune.artifact import write_json
from labtune.config.lab import TrainConfig
from labtune.training.anatomy import Anatomy
from labtune.training.estimate import Course, flops_per_token
from labtune.training.machine import Machine

_SIZES = {"cuda": 8192, "mps": 4096, "cpu": 1536}
"""Side of the square matrices: large enough to fill the device, small enough to take well under a second."""

_ROUNDS = 6


@dataclass(frozen=True, slots=True)
class Gauge:
    """Arithmetic of a training and what its device can do.

    Attributes:
        by_token: FLOPs of a token that is trained, attention aside.
        by_untrained: those of a token that the output layer need not see.
        by_square: FLOPs of attention for the square of a row's tokens.
        ceiling: FLOPs per second of the device, all processes together.
    """

    by_token: float
    by_untrained: float
    by_square: float
    ceiling: float

    @classmethod
    def of(cls, student: Anatomy, config: TrainConfig, machine: Machine, ceiling: float) -> Gauge:
        """For a student and how it is tuned."""
        course = replace(Course.of(config, machine.device), checkpointing=False)
        by_token = flops_per_token(student, course, 0)
        # FLOPs of one parameter and token: 6, or 4 where weights are frozen.
        each = by_token / student.active
        by_square = flops_per_token(student, course, 1) - by_token
        return cls(by_token, by_token - each * student.vocabulary * student.hidden, by_square, ceiling)

    def flops(self, lengths: Sequence[int], trained: int) -> float:
        """FLOPs that rows of these lengths need, `trained` of whose tokens the loss counts."""
        tokens = sum(lengths)
        squares = sum(length * length for length in lengths)
        return self.by_token * trained + self.by_untrained * (tokens - trained) + self.by_square * squares

    def utilisation(self, flops: float, seconds: float) -> float:
        """MFU, 0..1: the share of the ceiling that `flops` in `seconds` are."""
        return flops / seconds / self.ceiling if seconds > 0 else 0.0


def ceiling(machine: Machine, precision: str, cache: Path) -> float:
    """FLOPs per second of a large matrix product on this machine; measured once and kept in `cache`.

    Args:
        machine: the device.
        precision: `bf16` or `fp32`.
        cache: a JSON file, made when it is missing and made anew when it is damaged.
    """
    threads = torch.get_num_threads() if machine.device == "cpu" else 0
    key = f"{machine.name} | torch {torch.__version__} | {precision} | {threads} threads"
    known = _read(cache)
    if key not in known:
        known[key] = measure_ceiling(torch.device(machine.device), precision)
        write_json(cache, known)
    return known[key]


def measure_ceiling(device: torch.device, precision: str, size: int | None = None) -> float:
    """FLOPs per second of a square matrix product of `size`: the best of a few rounds."""
    size = size or _SIZES[device.type]
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    left, right = (torch.ones(size, size, dtype=dtype, device=device) for _ in range(2))
    best = math.inf
    for _ in range(_ROUNDS):
        begun = time.perf_counter()
        product = left @ right
        # Reading one number waits for the product on every device.
        float(product[0, 0])
        best = min(best, time.perf_counter() - begun)
    return 2 * size**3 / best


def _read(cache: Path) -> dict[str, float]:
    try:
        found = json.loads(cache.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    usable = isinstance(found, dict) and all(
        isinstance(value, float) and value > 0 for value in found.values()
    )
    return dict(found) if usable else {}
