"""Data parallelism between threads: copies of a small model that share weights, each on a part of a batch.

One small model gains little from a second thread within each operation; a second copy on the other half of
the batch does. Gradients are summed in a fixed order: results depend neither on timing nor on the cores.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import torch

Batch = dict[str, torch.Tensor]


class Replicas:
    """`model` and `count - 1` copies of it.

    Args:
        model: its weights are shared by all copies, its gradients take the sum.
        count: parts of a batch.
    """

    def __init__(self, model: Any, count: int) -> None:
        self._models = [model, *(_sharing(model) for _ in range(count - 1))]
        self._threads = max(1, torch.get_num_threads() // count)
        self._pool = ThreadPoolExecutor(
            count - 1, initializer=torch.set_num_threads, initargs=(self._threads,)
        )

    def backward(self, batch: Batch, loss_of: Callable[[Any, Batch], torch.Tensor]) -> torch.Tensor:
        """Sum of `loss_of(copy, part)` over the parts of `batch` (1, T); gradients end in the model."""
        parts = split(batch, len(self._models))

        def work(number: int) -> torch.Tensor:
            loss = loss_of(self._models[number], parts[number])
            torch.autograd.backward(loss)
            return loss.detach()

        others = [self._pool.submit(work, number) for number in range(1, len(parts))]
        before = torch.get_num_threads()
        torch.set_num_threads(self._threads)
        try:
            losses = [work(0), *(other.result() for other in others)]
        finally:
            torch.set_num_threads(before)
            # When one part fails, none may go on writing gradients behind the caller's back.
            wait(others)
        for replica in self._models[1:]:
            _move_gradients(replica, self._models[0])
        return torch.stack(losses).sum()

    def drop_gradients(self) -> None:
        """Forget what a failed backward pass left in the copies."""
        for model in self._models:
            model.zero_grad(set_to_none=True)

    def checkpoint(self) -> None:
        """Compute activations again, in all copies."""
        for model in self._models:
            model.activation_checkpointing_enable()

    def train(self) -> None:
        """Put all copies into training mode."""
        for model in self._models:
            model.train()


def split(batch: Batch, count: int) -> list[Batch]:
    """`count` parts of consecutive rows with about as many tokens each; fewer when there are fewer rows.

    A batch is one line (1, T) of rows; a row begins where `position_ids` is 0.
    """
    begins = (batch["position_ids"][0] == 0).nonzero().flatten().tolist()
    width = batch["position_ids"].shape[1]
    count = min(count, len(begins))
    edges, row = [0], 0
    for part in range(1, count):
        # The begin nearest to an even cut that leaves a row for this part and for each that follows.
        free = range(row + 1, len(begins) - (count - part) + 1)
        row = min(free, key=lambda at: abs(begins[at] - width * part / count))
        edges.append(begins[row])
    return [
        {name: values[:, begin:end] for name, values in batch.items()}
        for begin, end in itertools.pairwise([*edges, width])
    ]


def _sharing(model: Any) -> Any:
    replica = copy.deepcopy(model)
    for own, shared in zip(replica.parameters(), model.parameters(), strict=True):
        own.data = shared.data
    return replica


def _move_gradients(source: Any, target: Any) -> None:
    for giving, taking in zip(source.parameters(), target.parameters(), strict=True):
        if giving.grad is None:
            continue
        if taking.grad is None:
            taking.grad = giving.grad
        else:
            taking.grad.add_(giving.grad)
        giving.grad = None
