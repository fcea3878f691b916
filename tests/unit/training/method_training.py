"""One training of a phase of about 20 steps with any method, run whole or killed, in a child process."""

from __future__ import annotations

import gc
import os
import signal
from pathlib import Path

from labtune.artifact import Dataset
from labtune.config.lab import TrainConfig
from labtune.training.train import train
from labtune.types import Message, RunContext

METHODS = ("full", "lora", "dora", "osft")
RATES = {"full": 5e-3, "lora": 1e-2, "dora": 1e-2, "qlora": 1e-2, "osft": 1e-2}
PHASES = {"skills": [(f"Say {word} twice.", f"{word} {word}") for word in ["blue", "sky", "sea", "bird"]]}
PROBE = [Message("user", "Say sky twice.")]


def method_config(method: str, **changes) -> TrainConfig:
    settings = {
        "method": method,
        "learning_rate": RATES[method],
        "batch_tokens": 256,
        "max_length": 256,
        "epochs_skills": 1000,
        "max_tokens": 20 * 256,
        "save_steps": 7,
        "evaluations": 1,
        "precision": "fp32",
        "device": "cpu",
    }
    return TrainConfig.model_validate(settings | changes)


def score(model) -> float:
    """How sure the model is of one trained answer."""
    return 2.718281828 ** model.loglikelihoods([PROBE], ["sky sky"])[0]


def run_method(dataset: Path, student: Path, out: Path, config: TrainConfig, kill: int | None = None) -> None:
    """Train, and die by SIGKILL when the loss of step `kill` is told."""
    # What the parent has loaded lives as long as this process: nothing to look for in there.
    gc.freeze()

    def on_event(event: str, fields: dict) -> None:
        if event == "train.step" and fields["step"] == kill:
            os.kill(os.getpid(), signal.SIGKILL)

    run = RunContext(out, out.parent / "cache", emit=on_event)
    train(Dataset(dataset), config=config, run=run, student=student, select=score)
