"""The teacher as a run sees it: with the lab's sampling where it has one, and a count of what was asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from labtune.errors import RequestError
from labtune.models.journal import request_key
from labtune.models.usage import Usage
from labtune.protocols import AsyncChatModel, ChatRequest, Reply


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
                usage.fail(error)
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
