"""The fit of each phase of a training: chosen before the student is loaded, remembered in the journal.

The journal decides over what is free now: a run that goes on repeats the choices that it was started with,
step by step, and so ends with the same weights.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import cast

from labtune.artifact import read_json, write_json
from labtune.config.lab import TrainConfig
from labtune.training.anatomy import Anatomy, read_anatomy
from labtune.training.fit import Fit, Shape, fit, refusal
from labtune.training.journal import Journal
from labtune.training.machine import Machine, this_machine, with_limit
from labtune.training.plan import PhasePlan
from labtune.training.shortage import Portion
from labtune.types import Emit, Json

FIT, SHORTAGE = "fit", "out_of_memory"
"""Events of the journal."""

Chosen = tuple[Fit, float | None]
"""A fit, and the `train.memory_gib` that it was chosen for."""


@dataclass(frozen=True, slots=True)
class Fitting:
    """A student, how it is to be tuned, and where."""

    student: Anatomy
    config: TrainConfig
    machine: Machine
    shards: int = 1

    @classmethod
    def of(cls, folder: Path, config: TrainConfig, device: str, *, shards: int = 1) -> Fitting:
        """For the student in `folder`, with what is free on `device` now. Raises ModelError."""
        machine = with_limit(this_machine(device), config.memory_gib)
        return cls(read_anatomy(folder), config, machine, shards)

    def choose(self, plans: Sequence[PhasePlan], journal: Journal) -> dict[str, Chosen]:
        """The fit of each phase that the journal does not know, or knows for another limit.

        Raises:
            TrainingError: one does not fit, however it is divided; the methods that would are named.
        """
        chosen = {}
        for plan in plans:
            known = journal.last(FIT, phase=plan.name)
            if known is None or known["limit_gib"] != self.config.memory_gib:
                shape = shape_of(plan)
                choice = fit(self.student, self.config, self.machine, shape, shards=self.shards)
                chosen[plan.name] = choice, self.config.memory_gib
                if not choice.fits:
                    raise refusal(self.student, self.config, self.machine, shape)
        return chosen

    def on(self) -> dict[str, Json]:
        """Where and what was trained, for the metrics."""
        return {
            "device": self.machine.name,
            "method": self.config.method,
            "family": self.student.family,
            "parameters": self.student.parameters,
        }


def shape_of(plan: PhasePlan) -> Shape:
    """The largest micro-batch of a phase, in each respect."""
    lengths, trained = plan.rows.lengths, plan.rows.trained
    tokens = most_trained = rows = longest = 0
    for start in range(0, len(plan.packs), plan.micro_batch):
        batch = list(itertools.chain.from_iterable(plan.packs[start : start + plan.micro_batch]))
        tokens = max(tokens, sum(lengths[row] for row in batch))
        most_trained = max(most_trained, sum(trained[row] for row in batch))
        rows = max(rows, len(batch))
        longest = max(longest, *(lengths[row] for row in batch))
    return Shape(tokens, longest, most_trained, rows, plan.accumulation)


def begin_phase(
    plan: PhasePlan, step: int, fits: Mapping[str, Chosen], journal: Journal, emit: Emit
) -> list[Portion]:
    """Note the fit of a phase that goes on after `step`, tell it, and say what is in force from when on."""
    if (chosen := fits.get(plan.name)) is not None:
        choice, limit = chosen
        journal.append(
            FIT,
            phase=plan.name,
            step=step + 1,
            parts=choice.parts,
            checkpointing=choice.checkpointing,
            limit_gib=limit,
        )
        shape = shape_of(plan)
        part = shape.part(choice.parts)
        emit(
            "train.fit",
            {
                "phase": plan.name,
                "micro_tokens": part.tokens,
                "longest": part.longest,
                "trained": part.trained,
                "accumulation": choice.accumulation,
                "checkpointing": choice.checkpointing,
                "divided": choice.parts > 1 or choice.checkpointing,
                "memory_bytes": choice.memory.total,
            },
        )
    return [
        Portion(cast(int, event["step"]), cast(int, event["parts"]), bool(event["checkpointing"]))
        for event in journal.find(phase=plan.name)
        if event["event"] in (FIT, SHORTAGE)
    ]


def tell_shortage(emit: Emit, phase: str) -> Callable[[Portion], None]:
    """What to call when memory ran out: the user hears of it at once."""

    def tell(now: Portion) -> None:
        again = " and activations computed again" if now.checkpointing else ""
        emit("train.shortage", {"phase": phase, "step": now.step, "parts": now.parts})
        emit(
            "notice",
            {
                "text": f"memory ran out in step {now.step} of {phase}; it goes on with each micro-batch in "
                f"{now.parts} parts{again}"
            },
        )

    return tell


def note_shortage(journal: Journal, phase: str, now: Portion) -> None:
    """Write down, at the end of a step in which memory ran out, what is in force since."""
    journal.append(SHORTAGE, phase=phase, step=now.step, parts=now.parts, checkpointing=now.checkpointing)


def leave_word(root: Path, phase: str, now: Portion) -> None:
    """Say what shall be in force when the processes that tune together begin anew."""
    write_json(_word(root, phase), asdict(now))


def word_left(root: Path, phase: str) -> Portion | None:
    """What one of several processes said before it ran out of memory and all began anew."""
    path = _word(root, phase)
    return Portion(**read_json(path)) if path.exists() else None


def drop_word(root: Path, phase: str) -> None:
    """Forget it, now that the journal knows."""
    _word(root, phase).unlink(missing_ok=True)


def _word(root: Path, phase: str) -> Path:
    return root / f"{phase}.shortage.json"


def divided(plan: PhasePlan, parts: int) -> PhasePlan:
    """The plan with smaller micro-batches and as many packs in a step: for several processes.

    They must do the same number of backward passes, so they cannot divide a micro-batch by its rows.
    """
    sizes = [size for size in range(1, plan.micro_batch + 1) if plan.micro_batch % size == 0]
    smaller = max(size for size in sizes if size <= max(1, plan.micro_batch // parts))
    factor = plan.micro_batch // smaller
    return replace(plan, micro_batch=smaller, accumulation=plan.accumulation * factor)
