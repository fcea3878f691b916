"""A served model to talk to: answers are streamed, and a chat's tokens are counted where the server can."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterable, Generator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from typing import Any, Literal

from labtune.config.endpoint import ANY_MODEL, EndpointConfig
from labtune.errors import EndpointError, ModelError
from labtune.models.endpoint.capabilities import Capabilities, discover, unusable
from labtune.models.endpoint.faults import classify
from labtune.models.endpoint.tokens import estimate_prompt
from labtune.models.endpoint.transport import Interrupted, Transport, Unreachable
from labtune.models.stream import TextStream
from labtune.protocols import Sampling
from labtune.types import Message

Counting = Literal["tokenize", "template", "estimate"]
"""How tokens are counted: the server renders and counts (vLLM, labtune), it renders and counts in two steps
(llama.cpp), or they are guessed high."""

_PROBE = (Message("user", "Hello"),)


class EndpointSpeaker:
    """One model of an endpoint, asked from synchronous code; made by `open_speaker`."""

    def __init__(self, config: EndpointConfig, transport: Transport, runner: asyncio.Runner) -> None:
        self.config = config
        self.known = Capabilities()
        self.counting: Counting = "estimate"
        self._transport = transport
        self._runner = runner

    @property
    def name(self) -> str:
        """The id of the model that is asked."""
        return self.config.model

    @property
    def context_length(self) -> int | None:
        """Tokens that prompt and answer may have together, as far as the server says."""
        return self.known.context_tokens

    def connect(self) -> None:
        """Ask the endpoint about itself, and which model it serves when none is named.

        Raises:
            EndpointError: it cannot be used, or serves several models and none is named.
        """
        try:
            self.known = self._runner.run(discover(self._transport, self.config))
        except Interrupted as failure:
            raise self._lost(failure) from None
        if self.config.model == ANY_MODEL:
            self._take_only_model()
        self.counting = self._runner.run(self._find_counting())

    def count(self, chat: Sequence[Message]) -> int:
        """Tokens of a chat: the server's own count, else a high estimate."""
        if self.counting != "estimate":
            found = self._runner.run(self._counted(chat, self.counting))
            if found is not None:
                return found
        return estimate_prompt(chat)

    def stream(self, chat: Sequence[Message], sampling: Sampling) -> TextStream:
        """Answer a chat, piece by piece.

        Raises:
            ModelError: with a piece: the endpoint refused, or was lost.
        """
        stream = TextStream()
        stream.pieces = self._pieces(chat, sampling, stream)
        return stream

    def _pieces(
        self, chat: Sequence[Message], sampling: Sampling, stream: TextStream
    ) -> Generator[str, None, None]:
        body: dict[str, Any] = {
            "model": self.config.model,
            "messages": [{"role": message.role, "content": message.content} for message in chat],
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": sampling.seed & 0x7FFFFFFF,
            "stream": True,
            "stream_options": {"include_usage": True},
            **self.config.extra_body,
        }
        events = self._events(json.dumps(body, ensure_ascii=False).encode(errors="replace"))

        async def following() -> dict[str, Any] | None:
            return await anext(events, None)

        async def end() -> None:
            await events.aclose()

        try:
            while (event := self._runner.run(following())) is not None:
                yield from _read(event, stream)
        except Interrupted as failure:
            raise self._lost(failure) from None
        finally:
            self._runner.run(end())

    async def _events(self, body: bytes) -> AsyncGenerator[dict[str, Any], None]:
        async with self._transport.stream("/chat/completions", body) as reply:
            if reply.status != 200:
                fault = classify(
                    reply.status, reply.headers, await reply.body.read(), secret=self._transport.secret
                )
                if fault.kind in {"context", "parameter", "refused", "congested", "retry"}:
                    said = f": {fault.message}" if fault.message else ""
                    raise ModelError(f"{self.config.endpoint} refuses (status {fault.status}){said}")
                raise unusable(fault, self.config, self.known)
            async with aclosing(_data(reply.body)) as lines:
                async for line in lines:
                    yield _event(line)

    def _take_only_model(self) -> None:
        models = self.known.models
        if len(models) != 1:
            listed = ", ".join(models[:8]) or "none"
            raise EndpointError(
                f"{self.config.endpoint} lists {len(models)} models",
                hint=f"name one: --model NAME ({listed})",
            )
        self.config = self.config.model_copy(update={"model": models[0]})

    async def _find_counting(self) -> Counting:
        ways: tuple[Counting, ...] = ("template",) if self.known.kind == "llama.cpp" else ("tokenize",)
        for way in ways:
            if await self._counted(_PROBE, way) is not None:
                return way
        return "estimate"

    async def _counted(self, chat: Sequence[Message], way: Counting) -> int | None:
        messages = [{"role": message.role, "content": message.content} for message in chat]
        if way == "tokenize":
            asked = {"model": self.config.model, "messages": messages, "add_generation_prompt": True}
            count = (await self._ask("/tokenize", asked)).get("count")
            return count if isinstance(count, int) else None
        prompt = (await self._ask("/apply-template", {"messages": messages})).get("prompt")
        if not isinstance(prompt, str):
            return None
        asked = {"content": prompt, "add_special": True, "parse_special": True}
        tokens = (await self._ask("/tokenize", asked)).get("tokens")
        return len(tokens) if isinstance(tokens, list) else None

    async def _ask(self, path: str, value: dict[str, Any]) -> dict[str, Any]:
        """A question beside the API; nothing when the server does not know it."""
        root = self.config.endpoint.removesuffix("/v1")
        try:
            reply = await self._transport.get(f"{root}{path}", json.dumps(value).encode())
            found = json.loads(reply.body) if reply.status == 200 else None
        except (Interrupted, ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    def _lost(self, failure: Interrupted) -> EndpointError:
        if isinstance(failure, Unreachable):
            return failure.error
        return EndpointError(f"{self.config.endpoint}: {failure}", hint="look at the server's log")


@contextmanager
def open_speaker(config: EndpointConfig) -> Iterator[EndpointSpeaker]:
    """A connected model of an endpoint, with ANY_MODEL its only one; closed at the end of the block.

    Raises:
        EndpointError: the endpoint cannot be used.
        ConfigError: the variable of `api_key_env` is empty, or `ca_file` or the proxy is unusable.
    """
    with asyncio.Runner() as runner:
        transport = Transport(config)
        speaker = EndpointSpeaker(config, transport, runner)

        async def close() -> None:
            await transport.__aexit__(None, None, None)

        try:
            speaker.connect()
            yield speaker
        finally:
            runner.run(close())


def _read(event: dict[str, Any], stream: TextStream) -> Iterator[str]:
    """What one event says: text, why it ended, how many tokens there were."""
    if event.get("error"):
        error = event["error"]
        said = error.get("message") if isinstance(error, dict) else error
        raise ModelError(f"the server broke off: {said}")
    usage = event.get("usage")
    if isinstance(usage, dict):
        stream.n_prompt_tokens = _count(usage.get("prompt_tokens"))
        stream.n_tokens = _count(usage.get("completion_tokens"))
    choices = event.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else {}
    if not isinstance(choice, dict):
        return
    if choice.get("finish_reason"):
        stream.stopped = choice["finish_reason"] != "length"
    delta = choice.get("delta")
    text = delta.get("content") if isinstance(delta, dict) else None
    if isinstance(text, str) and text:
        yield text


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


async def _data(body: AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
    """The data of server-sent events, up to [DONE]."""
    async for line in body:
        text = line.strip()
        if text == b"data: [DONE]":
            return
        if text.startswith(b"data:"):
            yield text[5:].strip()


def _event(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ModelError("the server sent an event that is not JSON") from error
    return value if isinstance(value, dict) else {}
