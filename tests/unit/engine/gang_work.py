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

    With `kill_at`, the last process dies once, in that step of the first phase. With `room`, it has memory
    for so many tokens at once.
    """
    told = read_json(Path(job))
    place = Path(told["place"])
    if told.get("kill_at") and not first_of_all():
        _die_at(place / "killed", int(told["kill_at"]))
    if told.get("room") and not first_of_all():
        _have_room_for(int(told["room"]))
    for name, sharding in told["trainings"].items():
        train(
            Dataset(place / told.get("dataset", "dataset")),
            config=CONFIG,
            run=RunContext(place / name, place / "cache"),
            student=place / told.get("student", "student"),
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


def _have_room_for(tokens: int) -> None:
    """Let this process's models fail as CUDA's allocator does when more tokens are embedded at once."""
    import torch

    def check(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if isinstance(module, torch.nn.Embedding) and inputs[0].numel() > tokens:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    torch.nn.modules.module.register_module_forward_pre_hook(check)
