"""The simulated teacher: a real server, so that tests of everything above it meet real HTTP."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import jsonschema
import pytest
from benchmarks.plausible_replies import find_document, reply_text, schema_in
from benchmarks.simulated_teacher import (
    Faults,
    SimulatedTeacher,
    TeacherConfig,
    arguments_of,
    parse,
    teacher_process,
)

HERONS = (
    "The heron stands in shallow water for hours. It eats fish and frogs, sometimes a mouse. "
    "Its nest lies in a tall tree near the lake. Young herons fly after fifty days."
)
CHINESE = (
    "苍鹭在浅水里一站就是几个小时。它吃鱼和青蛙，有时也吃老鼠。它的巢筑在湖边的高树上。小苍鹭五十天后会飞。"
)
PAIRS = {
    "type": "object",
    "properties": {
        "pairs": {
            "type": "array",
            "minItems": 2,
            "items": {
                "type": "object",
                "properties": {"question": {"type": "string"}, "answer": {"type": "string"}},
                "required": ["question", "answer"],
            },
        }
    },
    "required": ["pairs"],
}
VERDICT = {
    "type": "object",
    "properties": {
        "reason": {"type": "string"},
        "verdict": {"enum": ["no", "yes"]},
        "score": {"type": "integer", "minimum": 1, "maximum": 3},
        "relevant": {"type": "boolean"},
    },
    "required": ["reason", "verdict", "score", "relevant"],
}


def body(text: str, schema: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    asked: dict[str, Any] = {"model": "simulated-teacher", "messages": [{"role": "user", "content": text}]}
    if schema is not None:
        asked["response_format"] = {"type": "json_schema", "json_schema": {"name": "reply", "schema": schema}}
    return {**asked, **more}


Post = Callable[[dict[str, Any]], Awaitable[tuple[int, dict[str, Any]]]]


def with_teacher(
    config: TeacherConfig, use: Callable[[SimulatedTeacher, Post], Awaitable[None]]
) -> SimulatedTeacher:
    async def run() -> SimulatedTeacher:
        async with SimulatedTeacher(config) as teacher, aiohttp.ClientSession() as session:

            async def post(payload: dict[str, Any]) -> tuple[int, dict[str, Any]]:
                async with session.post(f"{teacher.url}/chat/completions", json=payload) as reply:
                    return reply.status, await reply.json()

            await use(teacher, post)
        return teacher

    return asyncio.run(run())


def content(reply: dict[str, Any]) -> str:
    return str(reply["choices"][0]["message"]["content"])


def test_a_reply_follows_the_schema_and_quotes_the_document() -> None:
    async def use(_: SimulatedTeacher, post: Post) -> None:
        status, reply = await post(body(f"Write 4 questions.\n\n{HERONS}", PAIRS))
        assert status == 200
        value = json.loads(content(reply))
        jsonschema.validate(value, PAIRS)
        assert len(value["pairs"]) == 4
        assert all(pair["answer"] in HERONS for pair in value["pairs"])
        assert len({pair["answer"] for pair in value["pairs"]}) == 4
        assert reply["usage"]["total_tokens"] == (
            reply["usage"]["prompt_tokens"] + reply["usage"]["completion_tokens"]
        )
        assert (await post(body(f"Write 4 questions.\n\n{HERONS}", PAIRS)))[1] == reply
        other = (await post(body(f"Write 4 questions.\n\n{HERONS}", PAIRS, seed=1)))[1]
        assert content(other) != content(reply)

    teacher = with_teacher(TeacherConfig(), use)
    assert teacher.stats()["requests"] == 3
    assert (teacher.stats()["distinct"], teacher.stats()["answered_twice"]) == (2, 1)


def test_chinese_documents_get_chinese_replies() -> None:
    value = json.loads(reply_text([{"role": "user", "content": f"写3个问题。\n\n{CHINESE}"}], PAIRS, "1"))
    assert len(value["pairs"]) == 3
    assert all(pair["answer"] in CHINESE and "？" in pair["question"] for pair in value["pairs"])


def test_judges_say_yes_as_often_as_set() -> None:
    asked = [{"role": "user", "content": f"Judge.\n\n{HERONS}"}]
    verdicts = [json.loads(reply_text(asked, VERDICT, str(n), approve_share=0.8)) for n in range(500)]
    yes = Counter(verdict["verdict"] for verdict in verdicts)["yes"]
    assert 0.74 < yes / 500 < 0.86
    for verdict in verdicts:
        jsonschema.validate(verdict, VERDICT)
        assert (verdict["verdict"] == "yes") == verdict["relevant"] == (verdict["score"] == 3)


def test_fields_are_found_in_the_prompt_where_no_schema_is_supported() -> None:
    asked = f'Reply with JSON only: [{{"question": "...", "answer": "..."}}]\n\n{HERONS}'
    assert schema_in(asked)["type"] == "array"  # type: ignore[index]
    for prompt in (asked, f"Reply with JSON of this schema: {json.dumps(PAIRS)}\n\n{HERONS}"):
        value = json.loads(reply_text([{"role": "user", "content": prompt}], None, "1"))
        pairs = value if isinstance(value, list) else value["pairs"]
        assert pairs[0]["answer"] in HERONS
    assert schema_in(f"Say what it eats.\n\n{HERONS}") is None


def test_a_tagged_document_wins_over_longer_instructions() -> None:
    rules = "Follow each of these rules with great care and never forget a single one of them. " * 20
    assert find_document(f"{rules}\n\n<document>\n{HERONS}\n</document>\n\nNow write.") == HERONS


def test_slots_bound_what_runs_at_once_and_the_queue_what_waits() -> None:
    async def use(_: SimulatedTeacher, post: Post) -> None:
        replies = await asyncio.gather(*(post(body("Hello.", seed=n)) for n in range(12)))
        assert Counter(status for status, _ in replies) == {200: 5, 429: 7}

    with_teacher(TeacherConfig(slots=2, queue=3, latency_ms=100), use)


@pytest.mark.parametrize(
    ("config", "payload", "status"),
    [
        (TeacherConfig(api_key="k"), body("Hello."), 401),
        (TeacherConfig(), {**body("Hello."), "model": "other"}, 404),
        (TeacherConfig(max_model_len=50), body("Hello.", max_tokens=60), 400),
        (TeacherConfig(json_schema="reject"), body("Hello.", PAIRS), 400),
        (TeacherConfig(faults=Faults(unavailable=1)), body("Hello."), 503),
        (TeacherConfig(faults=Faults(rate_limit=1)), body("Hello."), 429),
    ],
)
def test_refusals_of_the_server(config: TeacherConfig, payload: dict[str, Any], status: int) -> None:
    async def use(_: SimulatedTeacher, post: Post) -> None:
        found, reply = await post(payload)
        assert found == status
        assert reply["error"]["message"]

    assert with_teacher(config, use).stats()["answered"] == 0


@pytest.mark.parametrize("fault", ["reset", "cut"])
def test_broken_connections_are_not_answers(fault: str) -> None:
    async def use(teacher: SimulatedTeacher, post: Post) -> None:
        with pytest.raises(aiohttp.ClientError):
            await post(body("Hello."))
        assert teacher.stats()["answered"] == 0
        assert teacher.stats()["faults"] == {fault: 1}

    with_teacher(TeacherConfig(faults=Faults(**{fault: 1.0})), use)


def test_faults_of_the_content_belong_to_the_body() -> None:
    faults = Faults(truncated=0.2, malformed=0.2, wrong_language=0.2, refusal=0.2, content_filter=0.1)

    async def use(_: SimulatedTeacher, post: Post) -> None:
        first = [await post(body(f"Ask.\n\n{HERONS}", PAIRS, seed=n)) for n in range(60)]
        again = [await post(body(f"Ask.\n\n{HERONS}", PAIRS, seed=n)) for n in range(60)]
        assert first == again
        assert {reply["choices"][0]["finish_reason"] for _, reply in first} == {
            "stop",
            "length",
            "content_filter",
        }

    stats = with_teacher(TeacherConfig(faults=faults), use).stats()
    assert set(stats["faults"]) == set(Faults.CONTENT)
    assert stats["answered_twice"] == 60


def test_faults_of_the_transport_are_drawn_at_each_attempt() -> None:
    async def use(_: SimulatedTeacher, post: Post) -> None:
        statuses = [(await post(body("Hello.")))[0] for _ in range(100)]
        assert 30 < statuses.count(503) < 70

    with_teacher(TeacherConfig(faults=Faults(unavailable=0.5)), use)


def test_it_runs_as_a_process_of_its_own() -> None:
    config = TeacherConfig(slots=4, latency_ms=1, sigma=0.5, keep=True, faults=Faults(refusal=1))

    async def ask(url: str) -> dict[str, Any]:
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{url}/models") as reply:
                assert (await reply.json())["data"][0]["max_model_len"] == 32768
            async with session.post(f"{url}/chat/completions", json=body("Hello.")) as reply:
                answer: dict[str, Any] = await reply.json()
                return answer

    with teacher_process(config) as teacher:
        assert content(asyncio.run(ask(teacher.url))).startswith("I'm sorry")
        assert teacher.requests() == [body("Hello.")]
        assert teacher.stats()["faults"] == {"refusal": 1}
        teacher.set_faults(Faults())
        teacher.reset()
        assert not content(asyncio.run(ask(teacher.url))).startswith("I'm sorry")
        assert teacher.stats()["faults"] == {}


def test_the_command_line_says_all_of_a_configuration() -> None:
    config = TeacherConfig(model="m", slots=3, queue=2, api_key="k", keep=True, faults=Faults(cut=0.25))
    assert parse(["--port", "1", *arguments_of(config)]) == ("127.0.0.1", 1, config)
