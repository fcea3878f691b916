"""What will be trained: for each phase its packs, steps and evaluations, within one budget of tokens."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from labtune.config.lab import TrainConfig
from labtune.errors import DataError
from labtune.training.packing import Pack, cut_alike, plan_passes
from labtune.training.rows import TokenRows
from labtune.types import Json

PACK_TOKENS = 256
"""Tokens of a pack unless a row needs more: the grain in which a step's rows are counted and dealt out."""

MICRO_TOKENS = 4096
"""Tokens that go through the model at once; a larger batch is accumulated from several."""


@dataclass(frozen=True, slots=True)
class PhasePlan:
    """One phase. A step trains `accumulation` micro-batches of `micro_batch` packs, the last step fewer."""

    name: str
    rows: TokenRows
    epochs: float
    packs: list[Pack]
    micro_batch: int
    accumulation: int
    evaluations: tuple[int, ...]
    decays: bool
    alike: bool = False

    @property
    def steps(self) -> int:
        """Optimiser steps."""
        return math.ceil(len(self.packs) / (self.micro_batch * self.accumulation))

    def count(self, lengths: Sequence[int]) -> int:
        """Sum of a per-row count over everything the phase trains."""
        return sum(lengths[row] for rows in self.packs for row in rows)

    def summary(self) -> dict[str, Json]:
        """Figures for the plan event and the metrics."""
        return {
            "name": self.name,
            "rows": len(self.rows.lengths),
            "too_long": self.rows.too_long,
            "epochs": round(self.epochs, 3),
            "tokens": self.count(self.rows.lengths),
            "trained_tokens": self.count(self.rows.trained),
            "steps": self.steps,
            "evaluations": list(self.evaluations),
            "padding_waste": round(self.padding_waste, 4),
        }

    @property
    def padding_waste(self) -> float:
        """Share of the tokens that go through the student and are padding; a line of rows has none."""
        if not self.alike:
            return 0.0
        lengths = self.rows.lengths
        padded = 0
        for start in range(0, len(self.packs), self.micro_batch):
            batch = [lengths[row] for rows in self.packs[start : start + self.micro_batch] for row in rows]
            padded += sum(batch[places[0]] * len(places) for places in cut_alike(batch))
        return 1 - self.count(lengths) / padded


def plan_phases(
    phases: Mapping[str, TokenRows], config: TrainConfig, seed: int, *, alike: bool = False
) -> list[PhasePlan]:
    """Plan all phases, in order; `alike` as for `plan_passes`.

    A phase's passes come from `config`; when all phases together exceed `config.max_tokens` (tokens fed to
    the student, masked ones included: they cost the same time), all passes shrink by one factor.

    Raises:
        DataError: a phase has a name that no setting covers.
    """
    epochs = {name: _epochs(name, config) for name in phases}
    size = {name: sum(rows.lengths) for name, rows in phases.items()}
    wanted = sum(epochs[name] * size[name] for name in phases)
    factor = min(1.0, config.max_tokens / wanted) if config.max_tokens else 1.0
    plans = []
    for number, (name, rows) in enumerate(phases.items(), 1):
        width = min(config.max_length, max(PACK_TOKENS, *rows.lengths))
        micro_batch, accumulation = _batch(config.batch_tokens, width)
        packs = plan_passes(
            rows,
            tokens=int(epochs[name] * factor * size[name]),
            max_length=width,
            seed=seed,
            name=name,
            alike=alike,
        )
        steps = math.ceil(len(packs) / (micro_batch * accumulation))
        plans.append(
            PhasePlan(
                name=name,
                rows=rows,
                epochs=epochs[name] * factor,
                packs=packs,
                micro_batch=micro_batch,
                accumulation=accumulation,
                evaluations=_evaluations(steps, config.evaluations),
                decays=number == len(phases),
                alike=alike,
            )
        )
    return plans


def _epochs(phase: str, config: TrainConfig) -> float:
    table = {
        "knowledge-short": config.epochs_short,
        "knowledge-long": config.epochs_long,
        "skills": config.epochs_skills,
        "pretraining": config.epochs_pretraining,
        "instruction": config.epochs_instruction,
        # One stacked phase replays nothing, so its rows are seen as often as those of the longest phase.
        "single": max(config.epochs_short, config.epochs_long, config.epochs_skills),
    }
    if phase not in table:
        raise DataError(f"phases.json names an unknown phase {phase!r}", hint=f"known: {', '.join(table)}")
    return table[phase]


def _batch(batch_tokens: int, width: int) -> tuple[int, int]:
    """Packs in a micro-batch, and micro-batches in a step of about `batch_tokens` tokens."""
    packs = max(1, round(batch_tokens / width))
    accumulation = math.ceil(packs * width / MICRO_TOKENS)
    return math.ceil(packs / accumulation), accumulation


def _evaluations(steps: int, wanted: int) -> tuple[int, ...]:
    return tuple(sorted({math.ceil(steps * part / wanted) for part in range(1, wanted + 1)}))
