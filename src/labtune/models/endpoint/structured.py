"""Ask for JSON and get it: by schema where the endpoint can, else by lenient reading and one repair turn.

This is a wrapper over any AsyncChatModel, so that the repair turn goes through the journal like every other
request. It imports no HTTP library.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from labtune.errors import RequestError
from labtune.models.endpoint.lenient import candidates, without_reasoning
from labtune.models.endpoint.schema import Misfit, Schema, fit
from labtune.protocols import AsyncChatModel, ChatRequest, Reply
from labtune.types import Message

REPAIR_CHARACTERS = 6_000
"""Most characters of a broken reply that the repair turn shows to its author."""

_CHINESE = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")


class MalformedReply(RequestError):
    """A reply that holds no value of the wanted form."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a reply says. `replies` are the replies it took, the last one parsed; two after a repair turn."""

    value: Any
    replies: tuple[Reply, ...]

    @property
    def repaired(self) -> bool:
        """Whether the first reply was unusable."""
        return len(self.replies) > 1


def parse(text: str, schema: Schema) -> Any:
    """The value of `schema` that stands in a reply.

    Raises:
        MalformedReply: there is none; the message says what the nearest value lacks.
    """
    problem = ""
    for candidate in candidates(text):
        try:
            return fit(candidate.value, schema, cut=candidate.cut)
        except Misfit as misfit:
            problem = problem or f"{misfit}{' (the reply was cut off)' if candidate.cut else ''}"
    if not without_reasoning(text).strip():
        raise MalformedReply("the reply is empty")
    raise MalformedReply(f"the reply does not fit: {problem}" if problem else "the reply holds no JSON")


async def ask(model: AsyncChatModel, request: ChatRequest, schema: Schema | None = None) -> Parsed:
    """Ask for a value of `schema` (default: the request's), with one repair turn when the reply is unusable.

    Raises:
        MalformedReply: both replies are unusable.
        RequestError, EndpointError, BudgetReached: as `model.chat` does.
    """
    wanted = schema if schema is not None else request.schema
    if wanted is None:
        raise ValueError("a schema is needed")
    if request.schema is not wanted:
        request = replace(request, schema=wanted)
    first = await model.chat(request)
    try:
        return Parsed(parse(first.text, wanted), (first,))
    except MalformedReply as error:
        problem = error.message
    if not first.text.strip():
        # A filter, a refusal or thoughts without end: there is nothing to mend.
        why = "the endpoint withheld it" if first.stopped else "all its tokens went into reasoning"
        raise MalformedReply(f"the reply is empty: {why}")
    second = await model.chat(repair_request(request, first, problem))
    try:
        return Parsed(parse(second.text, wanted), (first, second))
    except MalformedReply as error:
        raise MalformedReply(f"{error.message}, also after a repair turn") from error


def repair_request(request: ChatRequest, reply: Reply, problem: str) -> ChatRequest:
    """The request that shows a model its broken reply and asks once more."""
    shown = without_reasoning(reply.text).strip()[:REPAIR_CHARACTERS]
    text = instruction(request.messages, request.schema or {}, problem=problem, cut=not reply.stopped)
    turns = (Message("assistant", shown), Message("user", text))
    return replace(request, messages=(*request.messages, *turns))


def instruction(messages: Sequence[Message], schema: Schema, *, problem: str = "", cut: bool = False) -> str:
    """The sentence that asks for JSON by schema, in Chinese for Chinese prompts, else in English."""
    shape = json.dumps(schema, ensure_ascii=False)
    last = messages[-1].content if messages else ""
    if len(_CHINESE.findall(last)) * 4 > len(last):
        start = f"你的回答无法使用（{problem}）。" if problem else ""
        brief = "回答被截断，请写得更短。" if cut else ""
        return f"{start}{brief}请只回答一个符合下面 JSON schema 的 JSON 值，不要写任何别的文字：\n{shape}"
    start = f"This reply cannot be used: {problem}. " if problem else ""
    brief = "It was cut off, so be briefer. " if cut else ""
    return (
        f"{start}{brief}Answer with one JSON value that follows this JSON schema and nothing else:\n{shape}"
    )
