"""The tiny requests that show whether an endpoint keeps to a JSON schema, keeps to JSON, or does not care."""

from __future__ import annotations

import json

from labtune.models.endpoint.capabilities import JsonMode
from labtune.protocols import ChatRequest, Sampling
from labtune.types import Json, Message

SCHEMA: dict[str, Json] = {
    "type": "object",
    "properties": {"colour": {"type": "string", "enum": ["red", "blue"]}},
    "required": ["colour"],
    "additionalProperties": False,
}

# The text asks for prose, so that JSON can only come from the format. The second try has room for a model
# that thinks first, and forgives a slip.
_TEXT = (Message("user", "Say hello in one short sentence."),)
PROBES = (
    ChatRequest(_TEXT, Sampling(max_tokens=64), SCHEMA),
    ChatRequest(_TEXT, Sampling(max_tokens=1024), SCHEMA, index=1),
)


def asked_for(text: str, mode: JsonMode) -> bool:
    """Whether a reply to a probe is strict JSON, and by schema in mode "schema"."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and (mode == "object" or value.get("colour") in {"red", "blue"})
