"""The small server over a model in this process: who may ask, what is refused, how requests take turns."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import Any

from aiohttp import ClientSession
from aiohttp.test_utils import TestClient, TestServer

from labtune.errors import ModelError
from labtune.models.stream import TextStream
from labtune.protocols import Sampling
from labtune.serving.engines import Launch
from labtune.serving.transformers_server import ChatServer
from labtune.types import Message

LAUNCH = Launch("model", "first-lab-0001", "127.0.0.1", 8000, slots=2)
HELLO = {"messages": [{"role": "user", "content": "Hello"}]}


class Counter:
    """A speaker that counts; "for ever" it never ends by itself. A word is a token, ten fit."""

    context_length = 10

    def __init__(self) -> None:
        self.under_way = 0
        self.most = 0

    def count(self, chat: Sequence[Message]) -> int:
        return sum(len(message.content.split()) for message in chat)

    def stream(self, chat: Sequence[Message], sampling: Sampling) -> TextStream:
        stream = TextStream()
        stream.pieces = self._pieces(chat, sampling, stream)
        return stream

    def _pieces(
        self, chat: Sequence[Message], sampling: Sampling, stream: TextStream
    ) -> Generator[str, None, None]:
        if self.count(chat) >= self.context_length:
            raise ModelError(f"a chat of {self.count(chat)} tokens does not fit the 10 tokens")
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        endless = chat[-1].content == "for ever"
        try:
            while endless or stream.n_tokens < min(sampling.max_tokens, 5):
                stream.n_tokens += 1
                yield f" {stream.n_tokens}"
            stream.stopped = sampling.max_tokens > 5
        finally:
            self.under_way -= 1


def serve(
    test: Callable[[TestClient[Any, Any], Counter], Awaitable[None]], *, key: str | None = None
) -> None:
    """Run `test` against a server that has loaded its model; at most twenty seconds."""

    async def run() -> None:
        server, counter = ChatServer(LAUNCH, key=key), Counter()
        await server.load(lambda: counter)
        async with TestClient(TestServer(server.application())) as client:
            await asyncio.wait_for(test(client, counter), 20)

    asyncio.run(run())


async def ask(client: TestClient[Any, Any], headers: dict[str, str] | None = None, **fields: Any) -> Any:
    reply = await client.post("/v1/chat/completions", json={**HELLO, **fields}, headers=headers)
    return reply.status, await reply.json()


def test_an_answer_with_its_end_and_its_tokens() -> None:
    async def test(client: TestClient[Any, Any], _counter: Counter) -> None:
        status, value = await ask(client, model="first-lab-0001")
        (choice,) = value["choices"]
        assert (status, choice["message"]["content"], choice["finish_reason"]) == (200, " 1 2 3 4 5", "stop")
        assert value["usage"] == {"prompt_tokens": 0, "completion_tokens": 5, "total_tokens": 5}
        status, value = await ask(client, max_tokens=2)
        assert value["choices"][0]["message"]["content"] == " 1 2"
        assert value["choices"][0]["finish_reason"] == "length"
        status, value = await ask(client, stop=["3"])
        assert value["choices"][0]["message"]["content"] == " 1 2 "
        assert value["choices"][0]["finish_reason"] == "stop"
        assert value["usage"]["completion_tokens"] == 3

    serve(test)


def test_a_stream_ends_with_done_and_counts_only_when_asked() -> None:
    async def test(client: TestClient[Any, Any], _counter: Counter) -> None:
        reply = await client.post("/v1/chat/completions", json={**HELLO, "stream": True})
        lines = [line for line in (await reply.text()).split("\n\n") if line]
        assert reply.content_type == "text/event-stream"
        assert lines[-1] == "data: [DONE]"
        events = [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]
        assert events[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
        text = "".join(event["choices"][0]["delta"].get("content", "") for event in events)
        assert text == " 1 2 3 4 5"
        assert [event["choices"][0]["finish_reason"] for event in events][-1] == "stop"
        assert not any("usage" in event for event in events)

    serve(test)


def test_what_cannot_be_answered_is_refused_with_its_reason() -> None:
    async def test(client: TestClient[Any, Any], _counter: Counter) -> None:
        status, value = await ask(client, model="gpt")
        assert (status, value["error"]["message"]) == (
            404,
            "there is no model 'gpt' here; this server has 'first-lab-0001'",
        )
        status, value = await ask(client, tools=[{"type": "function"}])
        assert (status, value["error"]["param"]) == (400, "tools")
        for streamed in (False, True):
            long = [{"role": "user", "content": "w " * 12}]
            status, value = await ask(client, messages=long, stream=streamed)
            assert (status, value["error"]["code"]) == (400, "context_length_exceeded")
        reply = await client.post("/v1/chat/completions", data=b"{")
        assert (reply.status, (await reply.json())["error"]["type"]) == (400, "invalid_request_error")
        reply = await client.get("/v1/models/first-lab-0001")
        assert (await reply.json())["max_model_len"] == 10
        assert (await client.get("/v1/models/other")).status == 404
        assert (await client.get("/v1/embeddings")).status == 404
        reply = await client.post("/tokenize", json=HELLO)
        assert await reply.json() == {"count": 1, "max_model_len": 10}

    serve(test)


def test_without_a_key_only_pages_and_programs_of_this_machine_are_answered() -> None:
    async def test(client: TestClient[Any, Any], _counter: Counter) -> None:
        assert (await ask(client))[0] == 200
        assert (await ask(client, {"Origin": "http://localhost:3000"}))[0] == 200
        assert (await ask(client, {"Origin": "https://evil.example"}))[0] == 403
        assert (await ask(client, {"Host": "evil.example:8000"}))[0] == 403
        assert (await ask(client, {"Host": "[::1]:8000"}))[0] == 200

    serve(test)


def test_with_a_key_nothing_but_health_is_told_without_it() -> None:
    async def test(client: TestClient[Any, Any], _counter: Counter) -> None:
        assert (await client.get("/health")).status == 200
        for given in ("", "Bearer wrong", "secret", "Bearer secret-and-more", "Basic secret"):
            assert (await ask(client, {"Authorization": given}))[0] == 401
        assert (await client.get("/v1/models")).status == 401
        assert (await ask(client, {"Authorization": "Bearer secret", "Host": "lab.example"}))[0] == 200

    serve(test, key="secret")


def test_a_model_that_is_loading_is_told_as_that() -> None:
    async def run() -> None:
        server = ChatServer(LAUNCH, key=None)
        async with TestClient(TestServer(server.application())) as client:
            assert (await client.get("/health")).status == 503
            status, value = await ask(client)
            assert (status, value["error"]["message"]) == (503, "the model is still being loaded")
            assert (await client.get("/v1/models")).status == 200

    asyncio.run(run())


def test_an_endless_answer_does_not_hold_up_a_short_one_and_ends_with_its_reader() -> None:
    async def test(client: TestClient[Any, Any], counter: Counter) -> None:
        forever = {"messages": [{"role": "user", "content": "for ever"}], "stream": True}
        # A session of its own, so that leaving closes the connection.
        async with ClientSession() as session:
            reply = await session.post(client.make_url("/v1/chat/completions"), json=forever)
            await reply.content.readline()
            assert (await ask(client))[0] == 200
            assert counter.under_way == 1
            reply.close()
        while counter.under_way:
            await asyncio.sleep(0.01)

    serve(test)


def test_no_more_answers_are_under_way_than_there_are_slots() -> None:
    async def test(client: TestClient[Any, Any], counter: Counter) -> None:
        replies = await asyncio.gather(*(ask(client) for _ in range(8)))
        assert [status for status, _ in replies] == [200] * 8
        assert counter.most <= 2

    serve(test)
