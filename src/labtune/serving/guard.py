"""A small process between labtune and a server, so that the server ends when labtune does, however it ends.

`python -m labtune.serving.guard SECONDS COMMAND ...` runs the command in a session of its own and has the
read end of a pipe as its stdin. When the pipe closes (its other end belongs to labtune, and even kill -9
closes it), or on SIGTERM, the whole session is asked to end and after SECONDS made to. It loads the standard
library only.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence

BY_SIGNAL = 128
"""An exit code above this tells which signal ended the server, as shells say it."""
_PR_SET_PDEATHSIG = 1


def guard(command: Sequence[str], lifeline: int, grace_s: float) -> int:
    """Run `command` until it ends, `lifeline` closes or SIGTERM comes; its exit code.

    Args:
        command: the server.
        lifeline: read end of a pipe.
        grace_s: seconds that the server has to end by itself when it is asked to.
    """
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        # A handler makes the wake-up pipe tell; the pipe does the rest.
        signal.signal(number, lambda _signal, _frame: None)
    server = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=_with_guard()
    )
    while server.poll() is None:
        ready, _, _ = select.select([lifeline, woken], [], [])
        signals = set(os.read(woken, 64)) if woken in ready else set()
        is_cut = lifeline in ready and not os.read(lifeline, 64)
        if is_cut or signals - {signal.SIGCHLD}:
            _end(server, grace_s)
    # What the server started and left behind ends with it.
    _signal_all(server, signal.SIGKILL)
    code = server.returncode
    return BY_SIGNAL - code if code < 0 else code


def _end(server: subprocess.Popen[bytes], grace_s: float) -> None:
    _signal_all(server, signal.SIGTERM)
    try:
        server.wait(grace_s)
    except subprocess.TimeoutExpired:
        _signal_all(server, signal.SIGKILL)
        server.wait()


def _signal_all(server: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(server.pid, number)


def _with_guard() -> Callable[[], None] | None:
    """On Linux the kernel kills the server when the guard itself is killed; elsewhere nobody does."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)

    def bind() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    return bind


if __name__ == "__main__":
    sys.exit(guard(sys.argv[2:], sys.stdin.fileno(), float(sys.argv[1])))
