"""One supervised server: started in a process of its own, asked for its health, and always ended.

Between this process and the server stands `guard`, which ends the server however this process ends.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

from labtune.errors import ModelError
from labtune.serving.engines import Engine, Launch
from labtune.serving.guard import BY_SIGNAL
from labtune.serving.ports import local_url

SHOWN_LINES = 12
LOG_TAIL_BYTES = 16_384
POLL_S = 0.1
HEALTH_S = 3.0
"""Seconds that an answer about health may take."""
OWN_ERROR = "error: "
_KILLED = 9
_CAUSE = re.compile(r"(?:error loading model: |^error: |^[\w.]*(?:Error|Exception): )(.+)")
"""How llama.cpp, the server of this package, and Python's tracebacks say what went wrong."""


def cause_in(lines: Sequence[str]) -> str:
    """What a server's last lines give as the reason of its end; empty when they do not."""
    found = [match.group(1).strip() for line in lines if (match := _CAUSE.search(line))]
    return found[-1] if found else ""


class ServerProcess:
    """A server that runs; `start` makes one, `wait_ready` or `ready` waits until it can be asked."""

    def __init__(self, engine: Engine, launch: Launch, log: Path, process: subprocess.Popen[bytes]) -> None:
        self.engine = engine
        self.launch = launch
        self.log = log
        self._process = process
        self._started = time.monotonic()

    @classmethod
    def start(cls, engine: Engine, launch: Launch, log: Path) -> ServerProcess:
        """Start the server's process; its output goes to `log`, which begins anew.

        Raises:
            MissingDependencyError: the engine is not installed.
        """
        missing = engine.missing()
        if missing is not None:
            raise missing
        log.parent.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        environment.update(engine.environment(launch, os.environ))
        with log.open("wb") as sink:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "labtune.serving.guard", str(engine.grace_s)),
                    *engine.command(launch),
                ],
                stdin=subprocess.PIPE,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env=environment,
                # Ctrl-C at the terminal is this process's to handle.
                start_new_session=True,
            )
        return cls(engine, launch, log, process)

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Base URL for clients on this machine, ending in /v1."""
        return f"{local_url(self.launch.host, self.launch.port)}/v1"

    @property
    def pid(self) -> int:
        """The process that keeps the server."""
        return self._process.pid

    def exit_code(self) -> int | None:
        """None while the server runs."""
        return self._process.poll()

    def wait_ready(self, *, sleep: Callable[[float], None] = time.sleep) -> None:
        """Wait until the server answers.

        Raises:
            ModelError: it ended, or did not get ready in time; with the last lines of its log.
        """
        while not self.is_healthy():
            self._check_time()
            sleep(POLL_S)

    async def ready(self) -> None:
        """As `wait_ready`, in an event loop; may be cancelled."""
        while not await asyncio.to_thread(self.is_healthy):
            self._check_time()
            await asyncio.sleep(POLL_S)

    def is_healthy(self) -> bool:
        """Whether the server answers now.

        Raises:
            ModelError: it ended.
        """
        if self.exit_code() is not None:
            raise self.death()
        address = urlsplit(self.url)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=HEALTH_S)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def death(self) -> ModelError:
        """The error for a server that ended by itself."""
        code = self.exit_code() or 0
        how = f"with code {code}" if code <= BY_SIGNAL else f"by signal {code - BY_SIGNAL}"
        what = f"the {self.engine.name} server of {self.launch.name} ended {how}"
        if code == BY_SIGNAL + _KILLED:
            what += " (killed, perhaps because the memory was full)"
        lines = self.last_lines()
        cause = cause_in(lines)
        what += f": {cause}" if cause else ""
        # The servers of this package say it in one sentence; of others the last lines are shown as well.
        told = "" if any(line.startswith(OWN_ERROR) for line in lines) else self._told()
        return ModelError(f"{what}{told}", hint=f"its whole log: {self.log}")

    def stop(self) -> None:
        """End the server and all that it started; waits until they are gone."""
        # The closed pipe is what the guard waits for; it ends the server politely, then by force.
        if self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()
        try:
            self._process.wait(self.engine.grace_s + 5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def last_lines(self, count: int = SHOWN_LINES) -> list[str]:
        """The end of the server's log; empty lines are left out."""
        try:
            with self.log.open("rb") as stream:
                stream.seek(max(0, self.log.stat().st_size - LOG_TAIL_BYTES))
                text = stream.read().decode("utf-8", "replace")
        except OSError:
            return []
        return [line.rstrip() for line in text.splitlines() if line.strip()][-count:]

    def _told(self) -> str:
        lines = self.last_lines()
        return "\nthe last lines of its log:\n" + "\n".join(f"  {line}" for line in lines) if lines else ""

    def _check_time(self) -> None:
        if time.monotonic() - self._started > self.engine.patience_s:
            raise ModelError(
                f"the {self.engine.name} server of {self.launch.name} was not ready after "
                f"{self.engine.patience_s:.0f} s{self._told()}",
                hint=f"its whole log: {self.log}",
            )
