"""The OpenAI chat API as far as a tuned student needs it: requests read strictly, replies written. No I/O.

A field that would change the answer and is not supported is refused by name, never ignored.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from labtune.protocols import Sampling
from labtune.types import Message, Role

ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}
WITHOUT_EFFECT: dict[str, tuple[object, ...]] = {
    "n": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "presence_penalty": (0, 0.0),
    "frequency_penalty": (0, 0.0),
    "logit_bias": ({},),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "functions": ([],),
    "response_format": ({"type": "text"},),
    "min_p": (0, 0.0),
    "top_k": (-1, 0),
    "repetition_penalty": (1, 1.0),
    "continue_final_message": (False,),
}
"""Fields that are not supported, and the values with which they ask for nothing."""
MOST_STOPS = 16


class BadRequest(ValueError):
    """A request that cannot be answered.

    Args:
        message: what is wrong with it.
        parameter: the field at fault.
    """

    def __init__(self, message: str, parameter: str = "") -> None:
        super().__init__(message)
        self.parameter = parameter


@dataclass(frozen=True, slots=True)
class ChatCall:
    """A request for one completion."""

    model: str
    messages: tuple[Message, ...]
    sampling: Sampling
    stops: tuple[str, ...] = ()
    streamed: bool = False
    with_usage: bool = False


def read_call(body: bytes, *, most_tokens: int) -> ChatCall:
    """The call in a request's body.

    Args:
        body: JSON.
        most_tokens: tokens of the answer where the request sets no bound.

    Raises:
        BadRequest: it is no JSON object, or asks for what is not supported.
    """
    value = read_object(body)
    for name, harmless in WITHOUT_EFFECT.items():
        if value.get(name) is not None and value[name] not in harmless:
            raise BadRequest(f"{name} is not supported by this server", name)
    options = value.get("stream_options")
    return ChatCall(
        model=str(value.get("model") or ""),
        messages=read_messages(value.get("messages")),
        sampling=Sampling(
            max_tokens=_max_tokens(value, most_tokens),
            # Greedy where nothing is said, as in the exam.
            temperature=_number(value, "temperature", 0.0, 0.0, 2.0),
            top_p=_number(value, "top_p", 1.0, 0.0, 1.0),
            seed=_whole(value, "seed", 0),
        ),
        stops=_stops(value.get("stop")),
        streamed=value.get("stream") is True,
        with_usage=isinstance(options, dict) and options.get("include_usage") is True,
    )


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a body. Raises BadRequest when there is none."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadRequest("the body is not JSON") from error
    if not isinstance(value, dict):
        raise BadRequest("the body is not a JSON object")
    return value


def read_messages(value: object) -> tuple[Message, ...]:
    """The messages of a request; a content of several text parts is joined.

    Raises:
        BadRequest: there are none, or one is of a kind that a text model cannot read.
    """
    if not isinstance(value, list) or not value:
        raise BadRequest("messages is empty or no list", "messages")
    return tuple(_message(item, number) for number, item in enumerate(value))


def _message(value: object, number: int) -> Message:
    place = f"messages[{number}]"
    if not isinstance(value, dict):
        raise BadRequest(f"{place} is no object", "messages")
    role = ROLES.get(str(value.get("role")))
    if role is None:
        raise BadRequest(f"{place}.role is {value.get('role')!r}, not one of {', '.join(ROLES)}", "messages")
    content = value.get("content")
    if isinstance(content, list):
        parts = [
            part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None
            for part in content
        ]
        if not all(isinstance(part, str) for part in parts):
            raise BadRequest(f"{place} holds something other than text", "messages")
        content = "".join(cast("list[str]", parts))
    if not isinstance(content, str):
        raise BadRequest(f"{place}.content is no text", "messages")
    return Message(role, content)


def _max_tokens(value: Mapping[str, Any], most: int) -> int:
    name = "max_completion_tokens" if value.get("max_completion_tokens") is not None else "max_tokens"
    wanted = _whole(value, name, most)
    if wanted < 1:
        raise BadRequest(f"{name} must be at least 1", name)
    return wanted


def _whole(value: Mapping[str, Any], name: str, default: int) -> int:
    found = value.get(name)
    if found is None:
        return default
    if isinstance(found, bool) or not isinstance(found, int):
        raise BadRequest(f"{name} must be a whole number", name)
    return found


def _number(value: Mapping[str, Any], name: str, default: float, least: float, most: float) -> float:
    found = value.get(name)
    if found is None:
        return default
    if isinstance(found, bool) or not isinstance(found, (int, float)) or not least <= found <= most:
        raise BadRequest(f"{name} must be a number from {least:g} to {most:g}", name)
    return float(found)


def _stops(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    stops = [value] if isinstance(value, str) else value
    if not isinstance(stops, list) or len(stops) > MOST_STOPS or not all(isinstance(s, str) for s in stops):
        raise BadRequest(f"stop must be a text or a list of at most {MOST_STOPS} texts", "stop")
    return tuple(stops)


@dataclass(frozen=True, slots=True)
class Told:
    """Who answers, when and under which id: what all parts of a reply repeat."""

    id: str
    created: int
    model: str

    def completion(self, text: str, finish: str, usage: Mapping[str, int]) -> dict[str, Any]:
        """A whole reply."""
        message = {"role": "assistant", "content": text, "refusal": None}
        choice = {"index": 0, "message": message, "finish_reason": finish, "logprobs": None}
        return {**self._head("chat.completion"), "choices": [choice], "usage": dict(usage)}

    def chunk(self, delta: Mapping[str, str], finish: str | None = None) -> bytes:
        """One event of a stream."""
        choice = {"index": 0, "delta": dict(delta), "finish_reason": finish, "logprobs": None}
        return event({**self._head("chat.completion.chunk"), "choices": [choice]})

    def usage_chunk(self, usage: Mapping[str, int]) -> bytes:
        """The event that tells how many tokens there were."""
        return event({**self._head("chat.completion.chunk"), "choices": [], "usage": dict(usage)})

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}


DONE = b"data: [DONE]\n\n"


def event(value: Mapping[str, Any]) -> bytes:
    """A server-sent event."""
    return b"data: " + json.dumps(value, ensure_ascii=False).encode(errors="replace") + b"\n\n"


def usage_of(prompt_tokens: int, tokens: int) -> dict[str, int]:
    """Token counts as the API has them."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": tokens,
        "total_tokens": prompt_tokens + tokens,
    }


def error_body(
    message: str, *, kind: str = "invalid_request_error", parameter: str = "", code: str | None = None
) -> dict[str, Any]:
    """An error as clients of the API read it."""
    return {"error": {"message": message, "type": kind, "param": parameter or None, "code": code}}


def model_list(names: Sequence[str], facts: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to /v1/models."""
    return {"object": "list", "data": [{"id": name, "object": "model", **facts} for name in names]}
