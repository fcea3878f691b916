"""A training of two short phases that tests run whole, kill and continue. Importable by child processes."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from labtune.artifact import Dataset
from labtune.config.lab import TrainConfig
from labtune.training.train import train
from labtune.types import Message, RunContext, StageOutcome

CONFIG = TrainConfig(
    learning_rate=2e-2,
    batch_tokens=256,
    max_length=128,
    epochs_short=3,
    epochs_skills=12,
    save_steps=4,
    evaluations=3,
    optimizer="muon",
    replicas=2,
)
PHASES = {
    "knowledge-short": [(f"How many pumps has station {n}?", f"It has {n * 7 % 13}.") for n in range(48)],
    "skills": [
        (f"Say {word} twice.", f"{word} {word}") for word in ["blue", "sky", "sea", "bird", "forest", "pump"]
    ]
    * 4,
}
PROBE = [Message("user", "Say sky twice.")]


def score(model) -> float:
    """How sure the model is of one trained answer; moves with every step, so that no two scores tie."""
    return 2.718281828 ** model.loglikelihoods([PROBE], ["sky sky"])[0]


def has_loaded(module: str) -> bool:
    """Whether this process has `module` in memory."""
    return module in sys.modules


def run_training(
    dataset: Path, student: Path, out: Path, *, emit=lambda _event, _fields: None
) -> StageOutcome:
    return train(
        Dataset(dataset),
        config=CONFIG,
        run=RunContext(out, out.parent / "cache", emit=emit),
        student=student,
        select=score,
    )


def run_until_killed(dataset: Path, student: Path, out: Path, kill: str) -> None:
    """Train and die by SIGKILL at the event, or the opening of a file for writing, that `kill` names.

    `kill` is `event:NAME:PHASE:STEP` or `open:PATH_ENDING:COUNT`.
    """
    kind, what, *rest = kill.split(":")

    def on_event(event: str, fields: dict) -> None:
        if kind == "event" and [event, fields.get("phase"), str(fields.get("step"))] == [what, *rest]:
            os.kill(os.getpid(), signal.SIGKILL)

    seen = 0

    def on_audit(event: str, arguments: tuple) -> None:
        nonlocal seen
        if event == "open" and str(arguments[0]).endswith(what) and "w" in str(arguments[1] or ""):
            seen += 1
            if seen == int(rest[0]):
                os.kill(os.getpid(), signal.SIGKILL)

    if kind == "open":
        sys.addaudithook(on_audit)
    run_training(dataset, student, out, emit=on_event)
