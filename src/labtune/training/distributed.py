"""What changes when several processes tune together: who writes, what all agree on, which packs are whose.

Every process runs the same code and takes the same decisions: whatever only the first can know (a score, a
file) it shares. Each optimiser step trains the packs that one process would train, dealt out to all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

import torch
from torch import distributed
from torch.distributed.tensor import DTensor

from labtune.config.lab import TrainConfig
from labtune.errors import ConfigError
from labtune.training.packing import Pack

T = TypeVar("T")
P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class Gang:
    """The processes that tune together; alone without torch.distributed.

    `shares_out`: each holds its share of weights, gradients and optimiser (FSDP2), not all of them (DDP).
    """

    rank: int = 0
    size: int = 1
    shares_out: bool = False

    @property
    def is_first(self) -> bool:
        """Whether this process writes and judges."""
        return self.rank == 0

    def share(self, value: T) -> T:
        """The first process's value, on all."""
        if self.size == 1:
            return value
        box = [value if self.is_first else None]
        distributed.broadcast_object_list(box, src=0)
        return box[0]  # type: ignore[return-value]

    def mean(self, value: float) -> float:
        """Mean over all processes."""
        if self.size == 1:
            return value
        values = [0.0] * self.size
        distributed.all_gather_object(values, value)
        return sum(values) / self.size

    def by_the_first(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Have the first process call a function; the others wait for its result, which all get."""
        return self.share(function(*args, **kwargs) if self.is_first else None)  # type: ignore[return-value]

    def wait(self) -> None:
        """Go on when all are here."""
        if self.size > 1:
            self.share(None)
            self.mean(0.0)


ALONE = Gang()


def join(config: TrainConfig, sharding: str) -> Gang:
    """The gang that this process belongs to. Raises as `check_sharing`."""
    if not distributed.is_available() or not distributed.is_initialized():
        return ALONE
    check_sharing(config, sharding)
    return Gang(distributed.get_rank(), distributed.get_world_size(), sharding == "fsdp")


def check_sharing(config: TrainConfig, sharding: str) -> None:
    """Raise unless the student can be tuned so when each process holds a share of it.

    Raises:
        ConfigError: a setting needs whole weights in each process.
    """
    wrong = _needs_whole(config)
    if sharding == "fsdp" and wrong is not None:
        raise ConfigError(
            f"engine.sharding: fsdp shares out weights that AdamW tunes in full, not {wrong}",
            hint="engine.sharding: ddp",
        )


def first_of_all() -> bool:
    """Whether this process is the first of its gang, or alone."""
    return not distributed.is_available() or not distributed.is_initialized() or distributed.get_rank() == 0


def _needs_whole(config: TrainConfig) -> str | None:
    """The setting that needs whole weights in each process."""
    if config.method != "full":
        return f"train.method: {config.method}"
    if config.optimizer != "adamw":
        return f"train.optimizer: {config.optimizer}"
    return f"train.pull_back: {config.pull_back:g}" if config.pull_back else None


def device_of(kind: str, us: Gang) -> torch.device:
    """The device that this process tunes on: with several processes and GPUs, its own."""
    if kind == "cuda" and us.size > 1:
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device(kind)


@dataclass(frozen=True, slots=True)
class Hand:
    """What one process trains: in each step `accumulation` micro-batches of `micro_batch` packs.

    An empty pack stands where there is nothing left to train.
    """

    packs: list[Pack]
    micro_batch: int
    accumulation: int


def deal(packs: Sequence[Pack], micro_batch: int, accumulation: int, us: Gang) -> Hand:
    """Deal out the packs of each step, one after the other, so that all processes have equally many.

    Args:
        packs: those of all steps; a step has `micro_batch * accumulation`, the last may have fewer.
        micro_batch: packs that go through one process's model at once, at most.
        accumulation: micro-batches of a step in one process alone.
        us: who deals, among how many.
    """
    if us.size == 1:
        return Hand(list(packs), micro_batch, accumulation)
    per_step = micro_batch * accumulation
    most = -(-per_step // us.size)
    rounds = -(-most // micro_batch)
    at_once = -(-most // rounds)
    mine: list[Pack] = []
    for start in range(0, len(packs), per_step):
        own = list(packs[start : start + per_step][us.rank :: us.size])
        mine += own + [[] for _ in range(rounds * at_once - len(own))]
    return Hand(mine, at_once, rounds)


def process_settings(us: Gang) -> dict[str, Any]:
    """What the HF Trainer must be told when several processes tune together."""
    if us.size == 1:
        return {}
    settings: dict[str, Any] = {
        "ddp_find_unused_parameters": False,
        "ddp_broadcast_buffers": False,
        "average_tokens_across_devices": True,
    }
    if us.shares_out:
        # Resume points hold whole tensors, so that any number of processes can go on from them.
        settings |= {"fsdp": True, "fsdp_config": {"version": 2, "state_dict_type": "FULL_STATE_DICT"}}
    return settings


def whole_model(model: Any, build: Callable[[dict[str, torch.Tensor]], Any], us: Gang) -> Any:
    """The model in one piece, in the first process: itself, or for one that is shared out (FSDP2) a copy.

    All processes have to ask; `build` makes a model of weights by their names.
    """
    if not us.shares_out:
        return model
    weights = {name: _whole(value) for name, value in model.state_dict().items()}
    return build(weights) if us.is_first else None


def _whole(value: torch.Tensor) -> torch.Tensor:
    return value.full_tensor().cpu() if isinstance(value, DTensor) else value.cpu()
