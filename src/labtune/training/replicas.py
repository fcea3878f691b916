"""Data parallelism between threads: copies of a small model that share weights, each on a part of a batch.

One small model gains little from a second thread within each operation; a second copy on the other half of
the batch does. Gradients are summed in a fixed order: results depend neither on timing nor on the cores.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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
        """Sum of `loss_of(copy, part)` over the parts of `batch` (B, T); gradients end in the model."""
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
        for replica in self._models[1:]:
            _move_gradients(replica, self._models[0])
        return torch.stack(losses).sum()

    def train(self) -> None:
        """Put all copies into training mode."""
        for model in self._models:
            model.train()


def split(batch: Batch, count: int) -> list[Batch]:
    """At most `count` parts of consecutive rows, none empty, each as wide as its longest row.

    Padding stands on the right and has position 0 and no label.
    """
    rows = torch.arange(batch["input_ids"].shape[0]).tensor_split(count)
    return [_trim({name: values[part] for name, values in batch.items()}) for part in rows if len(part)]


def _trim(part: Batch) -> Batch:
    """Cut columns that hold nothing but padding: beyond the last label there is nothing to learn from."""
    used = (part["labels"] != -100).any(0).nonzero()
    width = int(used.max()) + 1 if len(used) else 1
    return {name: values[:, :width] for name, values in part.items()}


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
