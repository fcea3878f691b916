"""Coverage-guided fuzzing of what an endpoint may answer: bodies, errors, headers, the JSON in a text.

    pip install atheris
    python -m benchmarks.fuzz.replies [-max_total_time=60] [corpus folder]

Nothing but this project's own errors may come out, and whatever is read fits the schema it was read by.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["labtune"]):
    from labtune.models.endpoint.faults import classify
    from labtune.models.endpoint.lenient import without_reasoning
    from labtune.models.endpoint.payload import Unreadable, decode, hidden_status
    from labtune.models.endpoint.schema import fit
    from labtune.models.endpoint.structured import MalformedReply, instruction, parse, repair_request
    from labtune.protocols import ChatRequest, Reply, Sampling
    from labtune.types import Message

SCHEMA = {
    "type": "object",
    "properties": {
        "pairs": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"question": {"type": "string"}, "answer": {"type": "string"}},
                "required": ["question", "answer"],
            },
        },
        "score": {"type": "integer", "minimum": 1, "maximum": 3},
        "verdict": {"type": "string", "enum": ["yes", "no"]},
    },
    "required": ["pairs"],
}
REQUEST = ChatRequest((Message("user", "Ask about the bird."),), Sampling(), SCHEMA)


def one_input(data: bytes) -> None:
    """Try one input as the text of a reply, as a body and as an error."""
    text = data.decode("utf-8", "surrogateescape" if data[:1] == b"\x01" else "replace")
    _text(text)
    _text('{"pairs": [{"question": "a", "answer": "' + text)
    for body in (data, b'{"choices":[{"message":{"content":' + data, b'{"error":{"message":' + data):
        _body(body)
    status = 100 + data[0] % 500 if data else 500
    fault = classify(status, {"Retry-After": text[:40], "Content-Type": text[:20]}, data, secret="s3cret")
    if "s3cret" in fault.message:
        raise AssertionError("the key stands in a message")


def _text(text: str) -> None:
    without_reasoning(text)
    try:
        value = parse(text, SCHEMA)
    except MalformedReply as error:
        if not error.message:
            raise AssertionError("an error that says nothing") from error
        reply = Reply(text, True, 1, 1)
        instruction(repair_request(REQUEST, reply, error.message).messages, SCHEMA)
        return
    if fit(value, SCHEMA) != value:
        raise AssertionError(f"what was read does not fit: {value!r}")


def _body(body: bytes) -> None:
    hidden_status(body)
    try:
        reply = decode(body, REQUEST)
    except Unreadable:
        return
    _text(reply.text)


def main() -> None:
    """Fuzz until stopped."""
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
