"""One phase: train, ask the development exam on the way, keep the best weights, stop in time."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from transformers import TrainerCallback

from labtune.config.lab import TrainConfig
from labtune.errors import TrainingError
from labtune.models.hf import HfChatModel
from labtune.models.quiet import no_warnings
from labtune.training import checkpoints
from labtune.training.distributed import Gang, whole_model
from labtune.training.fitting import (
    Chosen,
    begin_phase,
    divided,
    drop_word,
    leave_word,
    note_shortage,
    tell_shortage,
    word_left,
)
from labtune.training.journal import Journal
from labtune.training.methods.method import Method
from labtune.training.plan import PhasePlan
from labtune.training.progress import Progress
from labtune.training.shortage import Portion, told_plainly
from labtune.training.trainer import PhaseTrainer, Student, make_trainer
from labtune.types import Emit

REPORT_STEPS = 10
"""Steps between two loss entries; an evaluation, a resume point and the phase's end also close one."""


class Judge:
    """Scores weights as they would be shipped: a plain model with rounded weights, made for the exam only."""

    def __init__(self, method: Method, tokenizer: Any, select: Callable[[HfChatModel], float]) -> None:
        self._method, self._tokenizer, self._select = method, tokenizer, select

    def __call__(self, model: Any) -> float:
        """Development score of `model`, 0..1. Random number generators are left as they were."""
        with _same_randomness():
            shipped = self._method.shipped(model)
            with torch.inference_mode():
                chat = HfChatModel(shipped, self._tokenizer, name="student in training")
                return float(self._select(chat))


@dataclass(slots=True)
class PhaseWork:
    """What the phases of one training share."""

    config: TrainConfig
    seed: int
    root: Path
    journal: Journal
    method: Method
    judge: Judge
    progress: Progress
    emit: Emit
    us: Gang
    fits: Mapping[str, Chosen]


def run_phase(student: Student, plan: PhasePlan, work: PhaseWork) -> Path:
    """Train one phase from `student.model`, or go on from its latest resume point.

    Returns the folder of the best weights.

    Raises:
        TrainingError: the loss is not a number any more, or memory does not suffice.
    """
    folder = work.root / plan.name
    resume = work.us.by_the_first(checkpoints.latest_resume_point, folder)
    start = checkpoints.step_of(resume) if resume else 0
    history = begin_phase(plan, start, work.fits, work.journal, work.emit)
    word = work.us.by_the_first(word_left, work.root, plan.name) if work.us.size > 1 else None
    if work.us.size > 1:
        history += [word] if word is not None else []
        plan = divided(plan, history[-1].parts)
    work.journal.append("phase", phase=plan.name, steps=plan.steps, evaluations=list(plan.evaluations))
    work.emit("train.phase", {"phase": plan.name, "status": "started", "step": start, "steps": plan.steps})
    trainer = make_trainer(student, plan, config=work.config, folder=folder, seed=work.seed, us=work.us)
    _divide(trainer, plan.name, history, word, work)
    trainer.add_callback(_Steps(trainer, plan, work))
    work.progress.begin_phase(plan, start)
    with no_warnings(), told_plainly(plan.name):
        trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    best = _best(work.journal, plan.name, work.config.tolerance)
    assert best is not None, "every phase ends with an evaluation"
    step, score = best
    work.journal.append(
        "phase_end", phase=plan.name, step=trainer.state.global_step, best_step=step, score=score
    )
    work.emit("train.phase", {"phase": plan.name, "status": "done", "step": step, "score": score})
    return checkpoints.best_folder(work.root, plan.name, step)


def _divide(
    trainer: PhaseTrainer, phase: str, history: Sequence[Portion], word: Portion | None, work: PhaseWork
) -> None:
    may_recompute = work.config.gradient_checkpointing is None
    tell = tell_shortage(work.emit, phase)
    if work.us.size == 1:
        trainer.divide(history, may_recompute=may_recompute, tell=tell)
        return
    if word is not None:
        tell(word)
    trainer.divide_in_gang(
        history[-1],
        since=word is not None,
        may_recompute=may_recompute,
        leave_word=lambda now: leave_word(work.root, phase, now),
    )


class _Steps(TrainerCallback):  # type: ignore[misc]
    """After each optimiser step: write down, evaluate, ask for a resume point, stop."""

    def __init__(self, trainer: PhaseTrainer, plan: PhasePlan, work: PhaseWork) -> None:
        self._trainer, self._plan, self._work = trainer, plan, work
        self._us = work.us
        self._losses: list[float] = []
        self._lengths, self._trained = plan.rows.lengths, plan.rows.trained
        self._done: list[float] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **_kwargs: Any) -> None:
        step, plan, work = state.global_step, self._plan, self._work
        packs = plan.packs[(step - 1) * self._per_step : step * self._per_step]
        rows = [row for rows in packs for row in rows]
        work.progress.step([self._lengths[row] for row in rows], sum(self._trained[row] for row in rows))
        self._note_loss(step)
        shortage = self._trainer.shortage()
        if shortage is not None:
            note_shortage(work.journal, plan.name, shortage)
            self._us.by_the_first(drop_word, work.root, plan.name)
        control.should_save = step % work.config.save_steps == 0 and step < plan.steps
        if control.should_save or step in plan.evaluations or step % REPORT_STEPS == 0:
            self._report(step)
        if step in plan.evaluations:
            self._evaluate(step)
            if self._ends():
                control.should_training_stop, control.should_save = True, False

    def on_save(self, *_args: Any, **_kwargs: Any) -> None:
        self._work.progress.pause()

    @property
    def _per_step(self) -> int:
        return self._plan.micro_batch * self._plan.accumulation

    def _note_loss(self, step: int) -> None:
        loss = self._us.mean(self._trainer.take_loss())
        if not math.isfinite(loss):
            raise TrainingError(
                f"the loss became {loss} in step {step} of phase {self._plan.name}",
                hint="lower train.learning_rate, or train with --set train.precision=fp32",
            )
        self._losses.append(loss)

    def _report(self, step: int) -> None:
        loss = sum(self._losses) / len(self._losses)
        rate = float(self._trainer.lr_scheduler.get_last_lr()[0])
        self._losses.clear()
        self._work.journal.append("step", phase=self._plan.name, step=step, loss=loss, learning_rate=rate)
        self._work.progress.tell(self._plan, step, loss, rate)

    def _evaluate(self, step: int) -> None:
        work, phase = self._work, self._plan.name
        known = {event["step"]: event["score"] for event in work.journal.find("evaluation", phase=phase)}
        # All processes have to help to put a model together that they share out.
        model = whole_model(self._trainer.model, work.method.blueprint.build, self._us)
        score = float(cast(float, known[step])) if step in known else self._us.by_the_first(work.judge, model)
        before = [float(cast(float, known[at])) for at in self._plan.evaluations if at < step]
        best = _replaces(score, before, work.config.tolerance)
        if best:
            self._us.by_the_first(self._keep, step, model)
        work.journal.append("evaluation", phase=phase, step=step, score=score, best=best)
        if best:
            self._us.by_the_first(checkpoints.drop_other_best, work.root, phase, step)
        work.progress.pause()
        work.emit("train.evaluation", {"phase": phase, "step": step, "score": score, "best": best})
        self._done = [*before, score]

    def _keep(self, step: int, model: Any) -> None:
        work, phase = self._work, self._plan.name
        if not checkpoints.best_folder(work.root, phase, step).exists():
            checkpoints.save_best(work.root, phase, step, lambda folder: work.method.keep(folder, model))

    def _ends(self) -> bool:
        """True after `patience` evaluations without a better score."""
        best = max(self._done)
        since = len(self._done) - 1 - self._done.index(best)
        return best > 0 and since >= self._work.config.patience


def _best(journal: Journal, phase: str, tolerance: float) -> tuple[int, float] | None:
    best = None
    before: list[float] = []
    for event in journal.find("evaluation", phase=phase):
        score = float(cast(float, event["score"]))
        if _replaces(score, before, tolerance):
            best = int(cast(int, event["step"])), score
        before.append(score)
    return best


def _replaces(score: float, before: Sequence[float], tolerance: float) -> bool:
    """Whether weights with `score` replace the best of those `before`.

    A tie keeps the earlier weights, as LAB prefers less training; a `tolerance` turns that around, for
    schedules that end every phase at a learning rate of zero: its end is the calmest point. Zeros say nothing
    about training yet, so of several zeros the latest counts.
    """
    top = max(before, default=-math.inf)
    return score > top or score == top == 0 or (tolerance > 0 and score >= top - tolerance)


@contextmanager
def _same_randomness() -> Iterator[None]:
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
