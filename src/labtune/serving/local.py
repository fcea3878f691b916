"""A teacher or judge for which labtune starts the server itself, with the first request, and ends it again.

The server is asked through the same client as any endpoint. Its name in the journal says what the model is (a
file's hash, a hub id), never where it listens, so that replies stay known whatever port it gets next time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from labtune.config.endpoint import EndpointConfig, GgufConfig, LocalConfig, PriceConfig, VllmConfig
from labtune.errors import EndpointError, ModelError
from labtune.models.endpoint.budget import Meter
from labtune.models.endpoint.client import EndpointClient
from labtune.models.endpoint.transport import HttpReply, Interrupted, Transport
from labtune.serving.engines import ENGINES, Engine, Launch
from labtune.serving.ports import claim_port
from labtune.serving.server import ServerProcess
from labtune.types import Emit, no_events

HOST = "127.0.0.1"
MOST_RESTARTS = 3
"""Times that a server which ended in mid-run is started again."""


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A model on this machine, its server not started yet.

    Attributes:
        config: as the lab file has it.
        model: the file, folder or hub id itself.
        identity: what it is, wherever it is served.
    """

    config: GgufConfig | VllmConfig
    model: str
    identity: str

    @property
    def engine(self) -> Engine:
        """What serves it."""
        return ENGINES["llama.cpp" if isinstance(self.config, GgufConfig) else "vllm"]

    def launch(self, port: int) -> Launch:
        """How its server is started."""
        config = self.config
        extra = tuple(config.arguments) if isinstance(config, VllmConfig) else ()
        return Launch(
            self.model,
            self.identity,
            HOST,
            port,
            context_tokens=config.context_tokens,
            slots=config.slots,
            extra=extra,
        )

    def endpoint(self, url: str, currency: str) -> EndpointConfig:
        """How its server is asked; tokens cost nothing."""
        config: LocalConfig = self.config
        return EndpointConfig(
            endpoint=url,
            model=self.identity,
            max_concurrency=config.slots,
            timeout_s=config.timeout_s,
            json_mode=config.json_mode,
            prices=PriceConfig(input=0.0, output=0.0, currency=currency),
            extra_body=config.extra_body,
        )


class LocalServer:
    """The server of a local model: started when it is needed, started again when it dies, a few times."""

    def __init__(self, model: LocalModel, log: Path, emit: Emit) -> None:
        self.port = claim_port(HOST, 0)
        self.restarts = 0
        self._model = model
        self._log = log
        self._emit = emit
        self._process: ServerProcess | None = None
        self._lock = asyncio.Lock()

    async def up(self) -> bool:
        """Let the server run; True when it had to be started for that.

        Raises:
            EndpointError: it cannot be started, or died too often; with the last lines of its log.
        """
        process = self._process
        if process is not None and process.exit_code() is None:
            return False
        async with self._lock:
            if self._process is not process:
                # Another request was here first.
                return True
            if process is not None:
                self._bury(process)
            await self._start()
            return True

    async def down(self) -> None:
        """End the server and give its memory back."""
        process, self._process = self._process, None
        if process is not None:
            await asyncio.to_thread(process.stop)
            self._tell("stopped")

    async def _start(self) -> None:
        model = self._model
        self._tell("starting")
        self._process = process = ServerProcess.start(model.engine, model.launch(self.port), self._log)
        try:
            await process.ready()
        except ModelError as error:
            raise EndpointError(error.message, hint=error.hint) from error
        self._tell("ready")

    def _bury(self, process: ServerProcess) -> None:
        self.restarts += 1
        if self.restarts > MOST_RESTARTS:
            death = process.death()
            raise EndpointError(f"{death.message}\nit was started {self.restarts} times", hint=death.hint)

    def _tell(self, state: str) -> None:
        self._emit(
            "server",
            {
                "model": self._model.identity,
                "engine": self._model.engine.name,
                "state": state,
                "restarts": self.restarts,
                "log": str(self._log),
            },
        )


class LocalTransport(Transport):
    """The way to a local server, which is brought up before each request that finds it down."""

    def __init__(self, config: EndpointConfig, server: LocalServer) -> None:
        super().__init__(config)
        self._server = server

    async def post(self, path: str, body: bytes) -> HttpReply:
        """As the transport's; a server that died is started again, and the request counts as interrupted."""
        await self._server.up()
        try:
            return await super().post(path, body)
        except Interrupted as failure:
            raise await self._after(failure) from None

    async def get(self, url: str, body: bytes | None = None) -> HttpReply:
        """As the transport's."""
        await self._server.up()
        try:
            return await super().get(url, body)
        except Interrupted as failure:
            raise await self._after(failure) from None

    async def _after(self, failure: Interrupted) -> Interrupted:
        started = await self._server.up()
        return Interrupted("the server ended and was started again") if started else failure


@asynccontextmanager
async def open_local(
    model: LocalModel, *, log: Path, meter: Meter, currency: str, emit: Emit = no_events
) -> AsyncIterator[EndpointClient]:
    """A client of a local model; its server starts with the first request and is gone after the block.

    Args:
        model: what is served.
        log: where the server's output goes.
        meter: counts and bounds what is asked.
        currency: of the run's other prices.
        emit: told "server" besides what `open_teacher` tells.

    Raises:
        MissingDependencyError: its engine is not installed.
    """
    missing = model.engine.missing()
    if missing is not None:
        raise missing
    server = LocalServer(model, log, emit)
    config = model.endpoint(f"http://{HOST}:{server.port}/v1", currency)
    async with LocalTransport(config, server) as transport:
        client = EndpointClient(config, transport, meter=meter, emit=emit)
        try:
            yield client
        finally:
            client.close()
            await server.down()
