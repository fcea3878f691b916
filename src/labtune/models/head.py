"""Logits only where they count: the vocabulary projection is the largest product of a small model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def project_only(model: Any, wanted_BT: torch.Tensor) -> Iterator[None]:
    """Within, `model(...).logits` has the shape (N, V): the wanted positions, row by row.

    The selection happens before the output projection, inside the model's own forward, so whatever a family
    does to its logits afterwards (scaling, soft-capping) still happens.
    """
    handle = model.get_output_embeddings().register_forward_pre_hook(
        lambda _module, inputs: (inputs[0][wanted_BT], *inputs[1:])
    )
    try:
        yield
    finally:
        handle.remove()
