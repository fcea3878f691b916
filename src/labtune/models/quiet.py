"""Keep third-party libraries off the terminal: no progress bars, no notices, no telemetry.

Only `cli` and `web` print. What goes wrong in a library reaches people as a `LabtuneError`, not as its log.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

LIBRARIES = ("transformers", "trl", "datasets", "accelerate", "huggingface_hub", "torch")


def quiet_libraries() -> None:
    """Silence the libraries of this package; call before and after importing them (idempotent)."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    for name in LIBRARIES:
        logging.getLogger(name).setLevel(logging.ERROR)
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()


@contextmanager
def no_warnings() -> Iterator[None]:
    """Swallow Python warnings (deprecations inside libraries) while third-party code runs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
