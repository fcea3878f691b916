"""A training that gangs of any size run: two short phases on a tiny student. Importable by its processes."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from labtune.artifact import Dataset, read_json
from labtune.config.lab import TrainConfig
from labtune.errors import ConfigError
from labtune.training.distributed import first_of_all
from labtune.training.train import train
from labtune.types import Message, RunContext

CONFIG = TrainConfig(
    learning_rate=2e-3,
    batch_tokens=640,
    max_length=128,
    epochs_short=2,
    epochs_skills=4,
    save_steps=2,
    evaluations=1,
    precision="fp32",
    device="cpu",
)
PHASES = {
    "knowledge-short": [(f"How many pumps has station {n}?", f"It has {n * 7 % 13}.") for n in range(40)],
    "skills": [(f"Say {word} twice.", f"{word} {word}") for word in ("blue", "sky", "sea", "bird")] * 4,
}


def score(model: Any) -> float:
    """How sure the model is of one trained answer."""
    chat = [Message("user", "Say sky twice.")]
    return 2.718281828 ** model.loglikelihoods([chat], ["sky sky"])[0]


def work(job: str) -> None:
    """The trainings that the file names, one after the other: {name: sharding}.

    With `kill_at`, the last process dies once, in that step of the first phase.
    """
    told = read_json(Path(job))
    place = Path(told["place"])
    if told.get("kill_at") and not first_of_all():
        _die_at(place / "killed", int(told["kill_at"]))
    for name, sharding in told["trainings"].items():
        train(
            Dataset(place / "dataset"),
            config=CONFIG,
            run=RunContext(place / name, place / "cache"),
            student=place / "student",
            select=score,
            sharding=sharding,
        )


def count_and_refuse(job: str) -> None:
    """Tell in an error what the processes add up to."""
    import torch

    total = torch.tensor(float(os.environ["RANK"]) + 1)
    torch.distributed.all_reduce(total)
    if first_of_all():
        raise ConfigError(f"{job}: {int(total)} of {os.environ['OMP_NUM_THREADS']}", hint="mend it")
    torch.distributed.barrier()


def _die_at(marker: Path, step: int) -> None:
    if marker.exists():
        return
    from transformers.trainer_callback import CallbackHandler

    def on_step_end(self: Any, args: Any, state: Any, control: Any, _own=CallbackHandler.on_step_end) -> Any:
        if state.global_step == step:
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return _own(self, args, state, control)

    CallbackHandler.on_step_end = on_step_end
