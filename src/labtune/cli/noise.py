"""Keeping third-party output out of the way: what libraries print goes to a file, not into the view."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


@contextmanager
def libraries_to(log: Path) -> Iterator[TextIO]:
    """Send file descriptors 1 and 2 to `log` and yield a stream to the real stderr.

    Works below Python, so that progress bars, warnings and messages of compiled libraries are caught too.
    Both descriptors are back when the block ends, in whatever way.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    saved = {number: os.dup(number) for number in (1, 2)}
    real = os.fdopen(
        os.dup(2), "w", encoding=sys.stderr.encoding or "utf-8", errors="backslashreplace", buffering=1
    )
    with log.open("ab") as sink:
        for number in saved:
            os.dup2(sink.fileno(), number)
    try:
        yield real
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, copy in saved.items():
            os.dup2(copy, number)
            os.close(copy)
        real.close()
