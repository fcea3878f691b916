"""The teacher as a run sees it: with the lab's sampling where it has one, and a count of what was asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from labtune.errors import RequestError
from labtune.models.journal import request_key
from labtune.protocols import AsyncChatModel, ChatRequest, Reply


@dataclass(slots=True)
class Usage:
    """What was asked so far. Tokens and cost count what was sent, not what the journal knew.

    `unpriced` counts replies whose price is not known; `transient` the requests that failed for a reason that
    may pass (a later run may have more luck).
    """

    waiting: int = 0
    requests: int = 0
    cached: int = 0
    failed: int = 0
    transient: int = 0
    prompt_tokens: int = 0
    tokens: int = 0
    cost: float = 0.0
    currency: str = "USD"
    unpriced: int = 0

    def add(self, reply: Reply) -> None:
        """Count a reply."""
        self.requests += 1
        if reply.cached:
            self.cached += 1
            return
        self.prompt_tokens += reply.n_prompt_tokens
        self.tokens += reply.n_tokens
        if reply.cost is None:
            self.unpriced += 1
        else:
            self.cost += reply.cost
            self.currency = reply.currency


@dataclass(frozen=True, slots=True)
class AskedModel:
    """An AsyncChatModel around another.

    `temperature` and `max_tokens` replace the request's where they are not None; `tell` is called when a
    reply came.
    """

    model: AsyncChatModel
    usages: tuple[Usage, ...]
    temperature: float | None = None
    max_tokens: int | None = None
    tell: Callable[[], None] | None = None

    @property
    def name(self) -> str:
        """The model's."""
        return self.model.name

    def key(self, request: ChatRequest) -> str:
        """The journal's key of the reply to `request`."""
        return request_key(self.name, self._own(request))

    async def chat(self, request: ChatRequest) -> Reply:
        """Complete one chat; see `AsyncChatModel`."""
        for usage in self.usages:
            usage.waiting += 1
        try:
            reply = await self.model.chat(self._own(request))
        except RequestError as error:
            for usage in self.usages:
                usage.failed += 1
                usage.transient += error.transient
            raise
        finally:
            for usage in self.usages:
                usage.waiting -= 1
        for usage in self.usages:
            usage.add(reply)
        if self.tell is not None:
            self.tell()
        return reply

    def _own(self, request: ChatRequest) -> ChatRequest:
        if self.temperature is None and self.max_tokens is None:
            return request
        sampling = request.sampling
        return replace(
            request,
            sampling=replace(
                sampling,
                temperature=sampling.temperature if self.temperature is None else self.temperature,
                max_tokens=sampling.max_tokens if self.max_tokens is None else self.max_tokens,
            ),
        )
