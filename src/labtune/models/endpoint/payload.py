"""The JSON of a request, and what a reply's JSON says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from labtune.config.endpoint import EndpointConfig
from labtune.models.endpoint.capabilities import JsonMode
from labtune.models.endpoint.lenient import without_reasoning
from labtune.models.endpoint.schema import Schema
from labtune.models.endpoint.structured import instruction
from labtune.models.endpoint.tokens import estimate_prompt, estimate_tokens
from labtune.protocols import ChatRequest, Reply
from labtune.types import Json

MAX_SCHEMAS = 256
_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


class Unreadable(ValueError):
    """A reply that is no completion."""


class Encoder:
    """Requests as bytes, in the endpoint's dialect: fields that it refuses are left out."""

    def __init__(self, config: EndpointConfig, dropped: list[str]) -> None:
        self.dropped = dropped
        self._config = config
        self._formats: dict[int, tuple[Schema, Json]] = {}

    def encode(self, request: ChatRequest, max_tokens: int, mode: JsonMode) -> bytes:
        """The body of a request."""
        messages: list[dict[str, str]] = [
            {"role": message.role, "content": message.content} for message in request.messages
        ]
        body: dict[str, Any] = {"model": self._config.model, "messages": messages}
        name = "max_completion_tokens" if "max_tokens" in self.dropped else "max_tokens"
        body[name] = max_tokens
        sampling = request.sampling
        body["temperature"] = sampling.temperature
        if sampling.top_p != 1.0:
            body["top_p"] = sampling.top_p
        body["seed"] = (sampling.seed + 7919 * request.index) & 0x7FFFFFFF
        if request.schema is not None:
            if mode != "schema" and messages:
                text = instruction(request.messages, request.schema)
                messages[-1]["content"] = f"{messages[-1]['content']}\n\n{text}"
            if mode != "text":
                body["response_format"] = self._format(request.schema, mode)
        for field in self.dropped:
            if field != "max_tokens":
                body.pop(field, None)
        body.update(self._config.extra_body)
        return _JSON.encode(body).encode(errors="replace")

    def _format(self, schema: Schema, mode: JsonMode) -> Json:
        if mode == "object":
            return {"type": "json_object"}
        known = self._formats.get(id(schema))
        if known is not None and known[0] is schema:
            return known[1]
        if len(self._formats) >= MAX_SCHEMAS:
            self._formats.clear()
        made: Json = {
            "type": "json_schema",
            "json_schema": {"name": "reply", "strict": _is_strict(schema), "schema": dict(schema)},
        }
        self._formats[id(schema)] = (schema, made)
        return made


def _is_strict(schema: Any) -> bool:
    """Whether providers that check schemas strictly take it: all fields required, no others allowed."""
    if not isinstance(schema, Mapping):
        return True
    properties = schema.get("properties")
    if isinstance(properties, Mapping):
        required = schema.get("required")
        if schema.get("additionalProperties") is not False or not isinstance(required, list):
            return False
        if set(required) != set(properties) or not all(map(_is_strict, properties.values())):
            return False
    return _is_strict(schema.get("items"))


def decode(body: bytes, request: ChatRequest) -> Reply:
    """The completion in a reply's body.

    Text that the model thought aloud is left out; what a filter stopped is an empty text. Tokens that the
    endpoint does not count are estimated.

    Raises:
        Unreadable: it is cut off, no JSON, or holds no choice; `args[0]` says which.
    """
    try:
        value = json.loads(body)
        choice = value["choices"][0]
        message = choice["message"]
        text = message.get("content")
    except (ValueError, RecursionError) as error:
        raise Unreadable("the reply is not JSON") from error
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise Unreadable("the reply holds no completion") from error
    if not isinstance(text, str):
        text = _joined(text) or str(message.get("refusal") or "")
    finish = choice.get("finish_reason")
    if finish == "content_filter":
        text = ""
    elif "</" in text or "<th" in text or "<re" in text:
        text = without_reasoning(text).strip()
    usage, model = value.get("usage"), value.get("model")
    prompt = usage.get("prompt_tokens") if isinstance(usage, dict) else None
    tokens = usage.get("completion_tokens") if isinstance(usage, dict) else None
    return Reply(
        text=text,
        stopped=finish != "length",
        n_prompt_tokens=prompt if isinstance(prompt, int) else estimate_prompt(request.messages),
        n_tokens=tokens if isinstance(tokens, int) else estimate_tokens(text),
        model=model if isinstance(model, str) else "",
        finish=finish if isinstance(finish, str) else "",
    )


def hidden_status(body: bytes) -> int:
    """The status of an error that came with status 200, as some gateways send it; 200 when there is none."""
    try:
        error = json.loads(body).get("error")
        code = error.get("code") if isinstance(error, dict) else None
    except (ValueError, RecursionError, AttributeError):
        return 200
    return code if isinstance(code, int) and 400 <= code < 600 else 200


def _joined(content: Any) -> str:
    """The text parts of a content that comes as a list."""
    if not isinstance(content, list):
        return ""
    parts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text"]
    return "".join(part for part in parts if isinstance(part, str))
