"""A real HTTP server in the test's own event loop, whose replies a test scripts."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any, TypeVar

from aiohttp import web

from labtune.protocols import ChatRequest, Sampling
from labtune.types import Message

T = TypeVar("T")
Handler = Callable[[dict[str, Any], web.Request], Awaitable[web.StreamResponse]]


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(work, 60))


def completion(
    text: str | None = "fine",
    *,
    finish: str = "stop",
    usage: tuple[int, int] | None = (10, 3),
    **message: Any,
) -> web.Response:
    value: dict[str, Any] = {
        "choices": [{"message": {"role": "assistant", "content": text, **message}, "finish_reason": finish}]
    }
    if usage is not None:
        value["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1]}
    return web.json_response(value)


def refusal(
    status: int, message: str = "no", headers: dict[str, str] | None = None, **more: Any
) -> web.Response:
    return web.json_response({"error": {"message": message, **more}}, status=status, headers=headers)


def chat(text: str = "Say something.", *, max_tokens: int = 64, **more: Any) -> ChatRequest:
    return ChatRequest((Message("user", text),), Sampling(max_tokens=max_tokens), **more)


class Server:
    """`handler` answers /chat/completions; `bodies` and `headers` are what it got."""

    def __init__(self, handler: Handler | None = None, *, entry: dict[str, Any] | None = None) -> None:
        self.handler = handler
        self.entry = {"id": "m", **(entry or {})}
        self.models: list[dict[str, Any]] | None = None
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.gets: list[str] = []
        self.pages: dict[str, Any] = {}
        self.active = self.most_active = 0
        self.url = ""

    async def __aenter__(self) -> "Server":
        app = web.Application(client_max_size=1 << 24)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_route("*", "/{path:.*}", self._other)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, backlog=1024).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = json.loads(await request.read())
        self.bodies.append(body)
        self.headers.append(dict(request.headers))
        self.active += 1
        self.most_active = max(self.most_active, self.active)
        try:
            return await self.handler(body, request) if self.handler is not None else completion()
        finally:
            self.active -= 1

    async def _other(self, request: web.Request) -> web.StreamResponse:
        self.gets.append(request.path)
        if request.path in self.pages:
            page = self.pages[request.path]
            page = page() if callable(page) else page
            return page if isinstance(page, web.Response) else web.json_response(page)
        if request.path == "/v1/models":
            return web.json_response({"data": [self.entry] if self.models is None else self.models})
        return web.Response(status=404)


def script(*replies: Callable[[], web.StreamResponse]) -> Handler:
    """Answer with each reply in turn, then with the last for ever."""
    left: Iterator[Callable[[], web.StreamResponse]] = iter(replies)
    last = replies[-1]

    async def handler(_body: dict[str, Any], _request: web.Request) -> web.StreamResponse:
        return next(left, last)()

    return handler
