"""How requests in OpenAI's form are read: strictly, and greedy unless they say otherwise."""

from __future__ import annotations

import json
from typing import Any

import pytest

from labtune.protocols import Sampling
from labtune.serving.openai_api import BadRequest, read_call
from labtune.types import Message

HELLO = [{"role": "user", "content": "Hello"}]


def call(**fields: Any) -> Any:
    return read_call(json.dumps({"model": "m", "messages": HELLO, **fields}).encode(), most_tokens=500)


def test_a_bare_request_is_greedy_and_bounded_by_the_context_alone() -> None:
    found = call()
    assert found.sampling == Sampling(max_tokens=500, temperature=0.0, top_p=1.0, seed=0)
    assert found.messages == (Message("user", "Hello"),)
    assert (found.streamed, found.with_usage, found.stops) == (False, False, ())


def test_all_that_is_supported_is_read() -> None:
    found = call(
        temperature=0.5,
        top_p=0.9,
        seed=3,
        max_completion_tokens=7,
        stop=["a", "b"],
        stream=True,
        stream_options={"include_usage": True},
        user="somebody",
        n=1,
        presence_penalty=0,
        logprobs=False,
        response_format={"type": "text"},
    )
    assert found.sampling == Sampling(7, 0.5, 0.9, 3)
    assert (found.stops, found.streamed, found.with_usage) == (("a", "b"), True, True)
    assert call(stop="a").stops == ("a",)
    assert call(max_tokens=9).sampling.max_tokens == 9


def test_parts_of_text_are_joined_and_the_developer_is_the_system() -> None:
    messages = [
        {
            "role": "developer",
            "content": [{"type": "text", "text": "be "}, {"type": "text", "text": "brief"}],
        },
        *HELLO,
    ]
    assert call(messages=messages).messages[0] == Message("system", "be brief")


@pytest.mark.parametrize(
    ("fields", "parameter"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"frequency_penalty": 0.5}, "frequency_penalty"),
        ({"temperature": 3}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": 1.5}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"seed": 1.5}, "seed"),
        ({"stop": [1]}, "stop"),
        ({"stop": ["x"] * 17}, "stop"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages"),
        ({"messages": [{"role": "user", "content": None}]}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages"),
    ],
)
def test_what_would_change_the_answer_is_refused_by_name(fields: dict[str, Any], parameter: str) -> None:
    with pytest.raises(BadRequest) as caught:
        call(**fields)
    assert caught.value.parameter == parameter


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"text"', b"[" * 100_000])
def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest, match="JSON"):
        read_call(body, most_tokens=1)
