"""Serving a model: which engine, at which address, with which key; and the server's life."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from labtune.errors import ModelError, UserError
from labtune.models.gguf_header import read_header
from labtune.serving.engines import Launch, choose_engine, has_cuda
from labtune.serving.ports import claim_port, is_loopback
from labtune.serving.records import ServerRecord, recorded, running
from labtune.serving.server import ServerProcess
from labtune.workflow.lab import Lab
from labtune.workflow.run import SERVERS
from labtune.workflow.target import Target

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8000
PORT_TRIES = 3
"""Times that another free port is taken when somebody was faster."""
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """How a model shall be served; see `labtune serve --help`."""

    engine: str = "auto"
    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    key_env: str | None = None
    context_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Served:
    """A model that is being served."""

    target: Target
    process: ServerProcess
    record: ServerRecord


@contextmanager
def serve(lab: Lab | None, target: Target, options: ServeOptions) -> Iterator[Served]:
    """Serve a model while the block runs; it can be asked as soon as the block begins.

    Args:
        lab: keeps the server's log and record; None = the folder of temporary files does.
        target: the model.
        options: how.

    Raises:
        UserError: no such engine, the port is taken, or others could ask without a key.
        MissingDependencyError: the engine is not installed.
        ModelError: the server ended or did not get ready; with the last lines of its log.
    """
    check_key(options)
    if target.kind == "gguf":
        # What is false in its header is told here at once; llama.cpp would end over it.
        read_header(target.path)
    engine = choose_engine(
        options.engine, target.kind, has_cuda=has_cuda(), has_vllm=shutil.which("vllm") is not None
    )
    with _log_file(lab, target.name) as log:
        for attempt in range(1, PORT_TRIES + 1):
            launch = Launch(
                str(target.path),
                target.name,
                options.host,
                claim_port(options.host, options.port),
                options.key_env,
                options.context_tokens,
            )
            with ServerProcess.start(engine, launch, log) as process:
                try:
                    process.wait_ready()
                except ModelError:
                    if options.port == 0 and attempt < PORT_TRIES and _is_taken(launch):
                        continue
                    raise
                record = _record(target, process)
                kept = recorded(lab.cache_dir / SERVERS, record) if lab is not None else nullcontext()
                with kept:
                    yield Served(target, process, record)
                return


def check_key(options: ServeOptions) -> None:
    """Refuse what would let others ask without a key, and a key that cannot be read.

    Raises:
        UserError: in one sentence.
    """
    name = options.key_env
    if name is None:
        if not is_loopback(options.host):
            raise UserError(
                f"others could use the model: other machines reach {options.host}, and no key is set",
                hint="export SERVE_KEY=... and add --api-key-env SERVE_KEY, or serve at 127.0.0.1",
            )
        return
    if not _VARIABLE.fullmatch(name):
        raise UserError("--api-key-env takes the NAME of an environment variable, never the key itself")
    value = os.environ.get(name, "")
    if not value.strip() or not value.isascii() or not value.isprintable():
        raise UserError(
            f"the environment variable {name} with the API key is empty or holds what no header can carry",
            hint=f"export {name}=...",
        )


def servers_of(lab: Lab) -> list[ServerRecord]:
    """The servers that run for this lab."""
    return running(lab.cache_dir / SERVERS)


def _record(target: Target, process: ServerProcess) -> ServerRecord:
    launch = process.launch
    return ServerRecord(
        os.getpid(),
        process.url,
        launch.name,
        target.live,
        process.engine.name,
        target.run,
        launch.key_env,
        str(process.log),
    )


def _is_taken(launch: Launch) -> bool:
    try:
        claim_port(launch.host, launch.port)
    except UserError:
        return True
    return False


@contextmanager
def _log_file(lab: Lab | None, name: str) -> Iterator[Path]:
    """A log for one server, in the lab or among the temporary files; it stays when something went wrong."""
    folder = lab.cache_dir / SERVERS if lab is not None else Path(tempfile.gettempdir())
    folder.mkdir(parents=True, exist_ok=True)
    handle, text = tempfile.mkstemp(prefix=f"{name}-", suffix=".log", dir=folder)
    os.close(handle)
    path = Path(text)
    try:
        yield path
    except (SystemExit, KeyboardInterrupt):
        path.unlink(missing_ok=True)
        raise
    path.unlink(missing_ok=True)
