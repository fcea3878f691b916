"""Giving memory back between the models that take turns on one machine: teacher, trainer, exam, server."""

from __future__ import annotations

import gc
import sys


def release_memory() -> None:
    """Collect what nobody refers to any more, and hand cached memory of accelerators back to the driver.

    Loads nothing: where torch was never imported there is nothing of it to give back.
    """
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is None:
        return
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()
