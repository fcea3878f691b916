"""A small OpenAI-compatible server over a model in this process: same template and stop tokens as the exam.

`python -m labtune.serving.transformers_server LAUNCH` (see `engines.Launch`). One thread decodes; requests
take turns, token by token, so that a long answer does not hold up a short one.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import sys
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from labtune.errors import LabtuneError, ModelError
from labtune.models.hf import HfChatModel
from labtune.models.stream import TextStream
from labtune.serving.engines import Launch
from labtune.serving.openai_api import (
    DONE,
    BadRequest,
    ChatCall,
    Told,
    error_body,
    model_list,
    read_call,
    read_messages,
    read_object,
    usage_of,
)
from labtune.serving.ports import EVERYWHERE, is_loopback
from labtune.serving.speaker import Speaker
from labtune.serving.stops import StopText

DEFAULT_SLOTS = 4
"""Answers under way at once; each keeps its own cache of keys and values."""
MOST_BYTES = 8 << 20
ANSWER_TOKENS = 1 << 20
"""Bound of an answer where the request sets none: the model's context ends it before."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ChatServer:
    """The application; `model` is set as soon as it is loaded."""

    def __init__(self, launch: Launch, *, key: str | None) -> None:
        self.launch = launch
        self.model: Speaker | None = None
        self._key = key
        self._started = int(time.time())
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="labtune-decode")
        self._slots = asyncio.Semaphore(launch.slots or DEFAULT_SLOTS)

    def application(self) -> web.Application:
        """The routes behind the checks of key and origin."""
        app = web.Application(middlewares=[self._guarded], client_max_size=MOST_BYTES)
        app.router.add_get("/health", self.health)
        app.router.add_get("/v1/models", self.models)
        app.router.add_get("/v1/models/{name:.+}", self.one_model)
        app.router.add_post("/v1/chat/completions", self.chat)
        app.router.add_post("/tokenize", self.tokenize)
        return app

    async def load(self, make: Callable[[], Speaker]) -> None:
        """Load the model in the thread that will decode."""
        self.model = await asyncio.get_running_loop().run_in_executor(self._worker, make)

    async def health(self, _request: web.Request) -> web.Response:
        """200 once the model can be asked."""
        ready = self.model is not None
        return web.json_response({"status": "ok" if ready else "loading"}, status=200 if ready else 503)

    async def models(self, _request: web.Request) -> web.Response:
        """The one model that is served."""
        return web.json_response(model_list([self.launch.name], self._facts()))

    async def one_model(self, request: web.Request) -> web.Response:
        """The facts about the model, if it is the one that is meant."""
        self._check_name(request.match_info["name"])
        return web.json_response({"id": self.launch.name, "object": "model", **self._facts()})

    async def tokenize(self, request: web.Request) -> web.Response:
        """How many tokens a chat has, as vLLM tells it."""
        model = self._ready()
        messages = read_messages(read_object(await request.read()).get("messages"))
        count = await self._work(lambda: model.count(messages))
        return web.json_response({"count": count, "max_model_len": model.context_length})

    async def chat(self, request: web.Request) -> web.StreamResponse:
        """One completion, whole or streamed."""
        model = self._ready()
        call = read_call(await request.read(), most_tokens=ANSWER_TOKENS)
        self._check_name(call.model)
        async with self._slots:
            answer = Answer(model.stream(call.messages, call.sampling), call)
            async with aclosing(self._pieces(answer)) as pieces:
                told = Told(f"chatcmpl-{uuid.uuid4().hex}", int(time.time()), self.launch.name)
                if call.streamed:
                    return await _stream(request, answer, pieces, told)
                text = "".join([piece async for piece in pieces])
                return web.json_response(told.completion(text, answer.finish, answer.usage))

    async def _pieces(self, answer: Answer) -> AsyncGenerator[str, None]:
        try:
            while (piece := await self._work(answer.next)) is not None:
                yield piece
        finally:
            # Wherever the client went: nothing more is decoded for it.
            await asyncio.shield(self._work(answer.stream.close))

    async def _work(self, do: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._worker, do)

    def _ready(self) -> Speaker:
        if self.model is None:
            raise web.HTTPServiceUnavailable(reason="the model is still being loaded")
        return self.model

    def _facts(self) -> dict[str, Any]:
        context = self.model.context_length if self.model is not None else None
        return {"created": self._started, "owned_by": "labtune", "max_model_len": context}

    def _check_name(self, name: str) -> None:
        if name and name != self.launch.name:
            raise web.HTTPNotFound(
                reason=f"there is no model {name!r} here; this server has {self.launch.name!r}"
            )

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            self._check_caller(request)
            return await handler(request)
        except BadRequest as error:
            return web.json_response(error_body(str(error), parameter=error.parameter), status=400)
        except ModelError as error:
            code = "context_length_exceeded" if "fit" in error.message else None
            return web.json_response(error_body(error.message, code=code), status=400)
        except web.HTTPException as error:
            kind = "authentication_error" if error.status == 401 else "invalid_request_error"
            return web.json_response(error_body(error.reason, kind=kind), status=error.status)

    def _check_caller(self, request: web.Request) -> None:
        if request.path == "/health":
            return
        if self._key is not None:
            scheme, _, given = request.headers.get("Authorization", "").partition(" ")
            right = hmac.compare_digest(given.strip().encode(), self._key.encode())
            if not right or scheme.lower() != "bearer":
                raise web.HTTPUnauthorized(reason="a valid API key is needed: Authorization: Bearer KEY")
            return
        # Without a key, pages in a browser on this machine must not be able to ask, under whatever name.
        host = urlsplit(f"//{request.host}").hostname or ""
        origin = urlsplit(request.headers.get("Origin", "")).hostname
        if not is_loopback(host) or (origin is not None and not is_loopback(origin)):
            raise web.HTTPForbidden(reason=f"a server without an API key answers localhost only, not {host}")


class Answer:
    """One answer on its way: its pieces cut at stop strings, and why it ended."""

    def __init__(self, stream: TextStream, call: ChatCall) -> None:
        self.stream = stream
        self.call = call
        self._text = StopText(call.stops)
        self._ended = False

    def next(self) -> str | None:
        """The next piece, perhaps empty; None after the last. Runs in the decoding thread."""
        if self._ended:
            return None
        piece = next(self.stream, None)
        if piece is None:
            self._ended = True
            return self._text.finish()
        shown = self._text.feed(piece)
        self._ended = self._text.found
        return shown

    @property
    def finish(self) -> str:
        """`stop`: by the end token or a stop string; `length`: the bound or the context ended it."""
        return "stop" if self.stream.stopped or self._text.found else "length"

    @property
    def usage(self) -> dict[str, int]:
        """Tokens of prompt and answer so far."""
        return usage_of(self.stream.n_prompt_tokens, self.stream.n_tokens)


async def _stream(
    request: web.Request, answer: Answer, pieces: AsyncIterator[str], told: Told
) -> web.StreamResponse:
    # The first piece before the status line: a chat that does not fit is an error, not an empty stream.
    first = await anext(pieces, None)
    response = web.StreamResponse(
        headers={"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}
    )
    await response.prepare(request)
    await response.write(told.chunk({"role": "assistant", "content": ""}))
    if first:
        await response.write(told.chunk({"content": first}))
    async for piece in pieces:
        if piece:
            await response.write(told.chunk({"content": piece}))
    await response.write(told.chunk({}, answer.finish))
    if answer.call.with_usage:
        await response.write(told.usage_chunk(answer.usage))
    await response.write(DONE)
    await response.write_eof()
    return response


def read_key(launch: Launch) -> str | None:
    """The API key from the environment, or None when none is asked for."""
    return os.environ[launch.key_env] if launch.key_env is not None else None


async def serve(launch: Launch) -> None:
    """Listen first, so that health can be asked while the model loads; then serve until the process ends."""
    server = ChatServer(launch, key=read_key(launch))
    runner = web.AppRunner(server.application(), handler_cancellation=True, access_log=None)
    await runner.setup()
    host = launch.host if launch.host in EVERYWHERE else launch.host.strip("[]")
    await web.TCPSite(runner, host or None, launch.port).start()
    await server.load(lambda: HfChatModel.load(Path(launch.model), name=launch.name))
    await asyncio.Event().wait()


def main() -> int:
    """Serve; the exit code says what went wrong, and stderr says why."""
    try:
        asyncio.run(serve(Launch.from_json(sys.argv[1])))
    except LabtuneError as error:
        sys.stderr.write(f"error: {error.message}\n{error.hint or ''}\n")
        return error.exit_code
    except OSError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
