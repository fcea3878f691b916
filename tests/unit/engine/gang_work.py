"""A training that gangs of any size run: two short phases on a tiny student. Importable by its processes."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from labtune.artifact import Dataset, read_json
from labtune.config.lab import TrainConfig
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
    """Train as the file says; with `kill_at`, the last process dies once, in that step of the first phase."""
    told = read_json(Path(job))
    out = Path(told["out"])

    def emit(event: str, fields: Any) -> None:
        pass

    if told.get("kill_at") and not first_of_all():
        _die_at(out, int(told["kill_at"]))
    train(
        Dataset(Path(told["dataset"])),
        config=CONFIG.model_copy(update=told.get("changes", {})),
        run=RunContext(out, out.parent / "cache", emit=emit),
        student=Path(told["student"]),
        select=score,
        sharding=told.get("sharding", "ddp"),
    )


def _die_at(out: Path, step: int) -> None:
    marker = out.with_name(f"{out.name}.killed")
    if marker.exists():
        return
    from transformers.trainer_callback import CallbackHandler

    def on_step_end(self: Any, args: Any, state: Any, control: Any, _own=CallbackHandler.on_step_end) -> Any:
        if state.global_step == step:
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return _own(self, args, state, control)

    CallbackHandler.on_step_end = on_step_end
