"""A server's process: started, found healthy, found dead, and ended with whoever started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from labtune.errors import MissingDependencyError, ModelError
from labtune.serving.engines import ENGINES, Engine, Launch
from labtune.serving.ports import claim_port
from labtune.serving.server import ServerProcess

HEALTHY = """
import http.server, pathlib, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()
    def log_message(self, *args): pass
server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
import os
pathlib.Path(sys.argv[2]).write_text(str(os.getpid()))
server.serve_forever()
"""
DEAF = """
import os, pathlib, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
pathlib.Path(sys.argv[2]).write_text(f"{os.getpid()} {child.pid}")
time.sleep(600)
"""
PARENT = """
import sys
from dataclasses import replace
from pathlib import Path
from labtune.serving.engines import ENGINES, Launch
from labtune.serving.server import ServerProcess
command = [sys.executable, "-c", *sys.argv[2:]]
engine = ENGINES["transformers"]
engine = replace(engine, missing=lambda: None, command=lambda launch: command, grace_s=0.3)
server = ServerProcess.start(engine, Launch("m", "n", "127.0.0.1", 1), Path(sys.argv[1]))
print("started", flush=True)
sys.stdin.read()
"""


def engine_of(*command: str) -> Engine:
    """An engine whose server is a Python program of a few lines: a real process, and quick."""
    return replace(
        ENGINES["transformers"],
        missing=lambda: None,
        command=lambda _launch: [sys.executable, "-c", *command],
        patience_s=20.0,
    )


def launch_at(port: int) -> Launch:
    return Launch("model", "name", "127.0.0.1", port)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that only nobody has waited for does not."""
    try:
        os.kill(pid, 0)
        stat = Path(f"/proc/{pid}/stat")
        return sys.platform != "linux" or stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def until(what: Callable[[], bool], seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def test_a_server_is_ready_when_it_is_healthy_and_gone_after_the_block(tmp_path: Path) -> None:
    port, pid_file = claim_port("127.0.0.1", 0), tmp_path / "pid"
    engine = engine_of(HEALTHY, str(port), str(pid_file))
    with ServerProcess.start(engine, launch_at(port), tmp_path / "log") as server:
        server.wait_ready()
        assert server.url == f"http://127.0.0.1:{port}/v1"
        assert server.exit_code() is None
        pid = int(pid_file.read_text())
        assert is_alive(pid)
    assert not is_alive(pid)
    assert claim_port("127.0.0.1", port) == port


def test_a_server_that_dies_at_its_start_shows_the_end_of_its_log(tmp_path: Path) -> None:
    program = "for n in range(40): print('line', n)\nraise ValueError('no such weights')"
    started = ServerProcess.start(engine_of(program), launch_at(1), tmp_path / "log")
    with started as server, pytest.raises(ModelError) as caught:
        server.wait_ready()
    message = caught.value.message
    assert message.startswith("the transformers server of name ended with code 1: no such weights\n")
    assert "  line 39\n" in message
    assert "line 10\n" not in message
    assert str(tmp_path / "log") in (caught.value.hint or "")


def test_a_server_that_is_killed_is_told_as_that(tmp_path: Path) -> None:
    program = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    started = ServerProcess.start(engine_of(program), launch_at(1), tmp_path / "log")
    with started as server, pytest.raises(ModelError, match=r"ended by signal 9 \(killed, perhaps because"):
        server.wait_ready()


def test_a_server_that_never_gets_ready_is_given_up(tmp_path: Path) -> None:
    engine = replace(engine_of("import time; print('loading', flush=True); time.sleep(600)"), patience_s=3.0)
    started = ServerProcess.start(engine, launch_at(claim_port("127.0.0.1", 0)), tmp_path / "log")
    with started as server, pytest.raises(ModelError, match=r"(?s)was not ready after .*\n  loading"):
        server.wait_ready()
    assert server.exit_code() is not None


def test_an_engine_that_is_not_installed_starts_nothing(tmp_path: Path) -> None:
    missing = replace(
        engine_of("pass"), missing=lambda: MissingDependencyError.for_extra("xllamacpp", "serve")
    )
    with pytest.raises(MissingDependencyError, match="needs xllamacpp"):
        ServerProcess.start(missing, launch_at(1), tmp_path / "log")
    assert not (tmp_path / "log").exists()


def test_kill_9_of_the_parent_ends_a_server_that_does_not_want_to_and_its_children(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path / "log"), DEAF, "x", str(pid_file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"started\n"
    assert until(lambda: pid_file.exists() and len(pid_file.read_text().split()) == 2)
    pids = [int(word) for word in pid_file.read_text().split()]
    assert all(is_alive(pid) for pid in pids)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    assert until(lambda: not any(is_alive(pid) for pid in pids))


def test_kill_9_of_the_guard_ends_the_server_as_well(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("only the Linux kernel tells a process that its parent was killed")
    port, pid_file = claim_port("127.0.0.1", 0), tmp_path / "pid"
    engine = engine_of(HEALTHY, str(port), str(pid_file))
    with ServerProcess.start(engine, launch_at(port), tmp_path / "log") as server:
        server.wait_ready()
        pid = int(pid_file.read_text())
        os.kill(server.pid, signal.SIGKILL)
        assert until(lambda: not is_alive(pid))
        assert until(lambda: server.exit_code() is not None)
