"""Child processes for trainings that are killed."""

from __future__ import annotations

import multiprocessing
import os
import sys
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext

import pytest
from tiny_training import has_loaded


@pytest.fixture(scope="session")
def children() -> ForkServerContext:
    """Processes forked from a server that has the libraries loaded but has computed nothing yet."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["method_training", "tiny_training", "preloaded"])
    with pytest.MonkeyPatch.context() as patch:
        # The server of Python 3.11 looks for them with its own sys.path and, not finding them, says nothing.
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        forkserver.ensure_running()
    with context.Pool(1) as pool:
        assert pool.apply(has_loaded, ("trl",))
    return context
