"""The optimisers: AdamW for everything, or Muon for the layers' matrices and AdamW for the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch

from labtune.config.lab import TrainConfig


def make_optimizer(model: Any, config: TrainConfig) -> torch.optim.Optimizer:
    """The optimiser that `config.optimizer` names, for what is trained. Norms and biases do not decay.

    Muon takes the layers' matrices; experts and convolutions, which have more dimensions, stay with AdamW.
    """
    outer = {id(model.get_input_embeddings().weight), id(model.get_output_embeddings().weight)}
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    tables = [weight for weight in weights if weight.ndim > 2 or (weight.ndim == 2 and id(weight) in outer)]
    matrices = [weight for weight in weights if weight.ndim == 2 and id(weight) not in outer]
    vectors = [weight for weight in weights if weight.ndim < 2]
    decaying = tables if config.optimizer == "muon" else tables + matrices
    adamw = torch.optim.AdamW(
        [
            {"params": decaying, "weight_decay": config.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ],
        lr=config.learning_rate,
        betas=(0.9, 0.95),
        fused=True,
    )
    if config.optimizer == "adamw":
        return adamw
    shares = [matrices[number :: config.replicas] for number in range(config.replicas)]
    muons = [
        torch.optim.Muon(
            share,
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            # Updates of the size that AdamW makes, so that one learning rate serves both.
            adjust_lr_fn="match_rms_adamw",
        )
        for share in shares
        if share
    ]
    return Parts([*muons, adamw])


def pull_back(optimizer: torch.optim.Optimizer, model: Any, start: Any, strength: float) -> None:
    """After each step, draw the weights back to those of `start` by `strength` x learning rate.

    Weight decay towards the starting point instead of zero (L2-SP, Li et al. 2018, decoupled as in AdamW):
    what training need not change stays as it was.
    """
    weights = [weight.detach() for weight in model.parameters()]
    anchors = [weight.detach().to(weights[0].device) for weight in start.parameters()]

    def draw(used: torch.optim.Optimizer, *_: Any) -> None:
        torch._foreach_lerp_(weights, anchors, min(1.0, strength * used.param_groups[0]["lr"]))

    optimizer.register_step_post_hook(draw)


class Parts(torch.optim.Optimizer):
    """Optimisers that share out a model's weights and look like one to schedulers and resume points.

    They step side by side in threads: Muon's small products gain nothing from more threads within each.
    """

    def __init__(self, parts: Sequence[torch.optim.Optimizer]) -> None:
        self._parts = tuple(parts)
        groups = [group for part in self._parts for group in part.param_groups]
        super().__init__([{"params": group["params"]} for group in groups], {"lr": groups[0]["lr"]})
        # The parts' own groups, so that a scheduler that writes a rate here writes it there.
        self.param_groups = groups
        self._pool = ThreadPoolExecutor(len(self._parts), initializer=torch.set_num_threads, initargs=(1,))

    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update all weights."""
        if closure is not None:
            closure()
        for done in [self._pool.submit(part.step) for part in self._parts]:
            done.result()

    def state_dict(self) -> dict[str, Any]:
        """The states of all parts."""
        return {"parts": [part.state_dict() for part in self._parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from `state_dict()`."""
        for part, state in zip(self._parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self.param_groups = [group for part in self._parts for group in part.param_groups]
