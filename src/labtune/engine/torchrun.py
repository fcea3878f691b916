"""The engine `torchrun`: tuning in several processes of this machine; all else happens in this process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from labtune.config.engine import EngineConfig
from labtune.engine.failure import kept_failure, last_lines
from labtune.engine.local import LocalExecutor
from labtune.engine.site import Site
from labtune.errors import EngineError, MissingDependencyError

GRACE_S = 30.0
"""Seconds that the gang has to end after it was asked to."""


@contextmanager
def open_torchrun(config: EngineConfig, site: Site) -> Iterator[TorchrunExecutor]:
    """The engine `torchrun`.

    Raises:
        MissingDependencyError: torch is not installed.
    """
    if find_spec("torch") is None:
        raise MissingDependencyError.for_extra("torch", "train")
    yield TorchrunExecutor(config, site)


class TorchrunExecutor(LocalExecutor):
    """An `Executor` whose gang is made by torchrun on this machine."""

    def __init__(self, config: EngineConfig, site: Site) -> None:
        self._config = config
        self._site = site
        self.gang = config.processes or _gpus() or 1

    def launch(self, target: str, argument: str) -> None:
        """Run `module:function` in each process of a gang; torchrun replaces the gang when one is lost.

        Raises:
            EngineError: that happened more often than `engine.restarts`.
            LabtuneError: what the function raised.
        """
        folder = self._site.scratch
        folder.mkdir(parents=True, exist_ok=True)
        failure, log = folder / "failure.json", folder / "torchrun.log"
        failure.unlink(missing_ok=True)
        command = torchrun_command(self.gang, self._config.restarts)
        with log.open("wb") as stream:
            agent = subprocess.Popen(
                [*command, target, argument, str(failure)],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=gang_environment(self.gang),
                start_new_session=True,
            )
            try:
                status = agent.wait()
            finally:
                _end(agent)
        error = kept_failure(failure)
        if error is not None:
            raise error
        if status != 0:
            raise EngineError(
                f"tuning in {self.gang} processes failed after {self._config.restarts} restarts: "
                f"{last_lines(log)}",
                hint=f"{log} holds all; labtune run goes on from the last resume point",
            )


def torchrun_command(processes: int, restarts: int) -> list[str]:
    """The command that starts a gang; target, argument and failure file follow."""
    return [
        sys.executable,
        "-m",
        "labtune.engine.agent",
        str(os.getpid()),
        "--standalone",
        f"--nproc-per-node={processes}",
        f"--max-restarts={restarts}",
        "-m",
        "labtune.engine.rank",
    ]


def gang_environment(processes: int) -> dict[str, str]:
    """This process's environment, with the cores shared out unless the user did."""
    threads = max(1, (os.cpu_count() or 1) // processes)
    return {"OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false", **os.environ}


def _gpus() -> int:
    import torch

    return torch.cuda.device_count()


def _end(agent: subprocess.Popen[bytes]) -> None:
    """End the agent, which ends its gang; what does not listen is killed."""
    if agent.poll() is not None:
        return
    agent.terminate()
    try:
        agent.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        os.killpg(agent.pid, signal.SIGKILL)
        agent.wait()
