"""What the client does with a server's replies and faults. The server is real and scripted."""

import asyncio
import json
import logging
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from benchmarks.simulated_teacher import SimulatedTeacher
from endpoint_server import Server, chat, completion, refusal, run, script

from labtune.config.endpoint import EndpointConfig, PriceConfig
from labtune.errors import BudgetReached, ConfigError, EndpointError, RequestError
from labtune.models.endpoint.budget import Budget, Meter
from labtune.models.endpoint.client import EndpointClient
from labtune.models.endpoint.faults import PromptTooLong
from labtune.models.endpoint.structured import ask
from labtune.models.endpoint.teacher import open_teacher
from labtune.protocols import AsyncChatModel, ChatRequest, Reply, Sampling
from labtune.types import Message

KEY = "sk-very-secret-0123456789"
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"colour": {"type": "string"}},
    "required": ["colour"],
    "additionalProperties": False,
}


def config(server: Server, **more: Any) -> EndpointConfig:
    return EndpointConfig(**{"endpoint": server.url, "model": "m", "json_mode": "schema", **more})


async def one_reply(server: Server, request: ChatRequest | None = None, **more: Any) -> Reply:
    async with server, open_teacher(config(server, **more)) as teacher:
        return await teacher.chat(request or chat())


def raised(server: Server, kind: type[Exception], request: ChatRequest | None = None, **more: Any) -> Any:
    with pytest.raises(kind) as caught:
        run(one_reply(server, request, **more))
    return caught.value


def test_a_chat_is_sent_as_the_api_wants_it_and_read_back() -> None:
    server = Server(script(lambda: completion("Hallo.", usage=(12, 4))))
    request = ChatRequest((Message("system", "s"), Message("user", "ü")), Sampling(50, 0.5, 0.9, 7), index=2)
    reply = run(one_reply(server, request, extra_body={"think": False}))
    assert reply == Reply("Hallo.", True, 12, 4, finish="stop", latency_s=reply.latency_s)
    assert reply.latency_s > 0
    [body] = server.bodies
    assert body.pop("seed") != 7
    assert body == {
        "model": "m",
        "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "ü"}],
        "max_tokens": 50,
        "temperature": 0.5,
        "top_p": 0.9,
        "think": False,
    }


def test_a_server_that_loads_its_model_is_waited_for_and_a_broken_model_list_is_none() -> None:
    listed = {"data": [{"id": "m", "max_model_len": 5000}]}
    replies = iter([refusal(503, "Loading model"), refusal(429), web.json_response(listed)])
    loading = Server()
    loading.pages = {"/v1/models": lambda: next(replies)}
    assert run(one_reply(loading)).text == "fine"
    assert loading.gets.count("/v1/models") == 3
    broken = Server()
    broken.pages = {"/v1/models": lambda: web.Response(status=500, text="Internal Server Error")}
    assert run(one_reply(broken)).text == "fine"
    assert broken.gets.count("/v1/models") == 1


def test_the_draws_of_one_request_differ_in_their_seed_only() -> None:
    async def two() -> list[dict[str, Any]]:
        async with Server() as server, open_teacher(config(server)) as teacher:
            for index in (0, 1, 1):
                await teacher.chat(chat(index=index))
            return server.bodies

    first, second, again = run(two())
    assert first["seed"] != second["seed"]
    assert second == again
    assert {**first, "seed": 0} == {**second, "seed": 0}


def test_nothing_is_sent_before_the_first_chat_and_the_name_needs_no_endpoint() -> None:
    async def opened() -> str:
        nowhere = EndpointConfig(
            endpoint="http://127.0.0.1:9/v1", model="m", api_key_env="NO_SUCH_VARIABLE_1"
        )
        async with open_teacher(nowhere) as teacher:
            assert isinstance(teacher, AsyncChatModel)
            return teacher.name

    assert run(opened()) == "m"


@pytest.mark.parametrize(
    ("reply", "text", "stopped"),
    [
        (lambda: completion("half a sen", finish="length"), "half a sen", False),
        (lambda: completion("partial", finish="content_filter"), "", True),
        (lambda: completion(None, refusal="I cannot."), "I cannot.", True),
        (lambda: completion(None, reasoning_content="hm", finish="length"), "", False),
        (lambda: completion("<think>2 + 2</think>\n\n4"), "4", True),
        (lambda: completion("it is 4</think>4"), "4", True),
        (lambda: completion("<think>still thinking", finish="length"), "", False),
        (lambda: completion([{"type": "thinking"}, {"type": "text", "text": "4"}]), "4", True),  # type: ignore[arg-type]
    ],
    ids=["length", "filter", "refusal", "reasoning", "think", "end of think", "only think", "parts"],
)
def test_odd_ends_are_data(reply: Any, text: str, stopped: bool) -> None:
    found = run(one_reply(Server(script(reply))))
    assert (found.text, found.stopped) == (text, stopped)


def test_tokens_are_estimated_when_the_server_does_not_count() -> None:
    reply = run(one_reply(Server(script(lambda: completion("abc " * 30, usage=None))), chat("x" * 300)))
    assert reply.n_tokens == 40
    assert 100 <= reply.n_prompt_tokens <= 130


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 529, 408])
def test_passing_faults_are_tried_again(status: int) -> None:
    server = Server(script(lambda: refusal(status, headers={"Retry-After": "0.01"}), completion))
    assert run(one_reply(server)).text == "fine"
    assert len(server.bodies) == 2
    assert server.bodies[0] == server.bodies[1]


def test_broken_connections_and_cut_or_foreign_replies_are_tried_again() -> None:
    async def handler(_body: dict[str, Any], request: web.Request) -> web.StreamResponse:
        number = len(server.bodies)
        assert request.transport is not None
        if number == 1:
            request.transport.abort()
        if number == 2:
            cut = web.StreamResponse(headers={"Content-Length": "1000"})
            await cut.prepare(request)
            await cut.write(b'{"choices"')
            request.transport.close()
            return cut
        if number == 3:
            return web.Response(text='{"choices": [{"mess')
        if number == 4:
            return web.json_response({"error": {"code": 502, "message": "upstream"}})
        return completion()

    server = Server(handler)
    assert run(one_reply(server)).text == "fine"
    assert len(server.bodies) == 5


def test_an_unanswered_request_is_sent_again_after_its_timeout() -> None:
    async def handler(_body: dict[str, Any], _request: web.Request) -> web.StreamResponse:
        if len(server.bodies) == 1:
            await asyncio.sleep(30)
        return completion()

    server = Server(handler)
    assert run(one_reply(server, timeout_s=0.3)).text == "fine"
    assert len(server.bodies) == 2


def test_retry_after_is_kept_for_all_requests_as_seconds_and_as_a_date() -> None:
    async def arrivals(value: str) -> tuple[float, list[float]]:
        loop, times = asyncio.get_running_loop(), []

        async def handler(_body: dict[str, Any], _request: web.Request) -> web.StreamResponse:
            times.append(loop.time())
            return refusal(429, headers={"Retry-After": value}) if len(times) == 1 else completion()

        async with Server(handler) as server, open_teacher(config(server, max_concurrency=1)) as teacher:
            await asyncio.gather(teacher.chat(chat("a")), teacher.chat(chat("b")))
        return times[0], times[1:]

    first, later = run(arrivals("0.4"))
    assert len(later) == 2
    assert min(later) - first >= 0.39
    when = datetime.now(UTC) + timedelta(seconds=3)
    first, later = run(arrivals(format_datetime(when, usegmt=True)))
    assert min(later) - first >= 0.9


def test_a_request_that_never_succeeds_ends_the_work_only_when_nothing_succeeds() -> None:
    async def handler(body: dict[str, Any], _request: web.Request) -> web.StreamResponse:
        return refusal(500, "boom") if "bad" in body["messages"][0]["content"] else completion()

    async def both() -> tuple[Exception, Reply]:
        async with Server(handler) as server, open_teacher(config(server, attempts=2)) as teacher:
            bad = asyncio.ensure_future(teacher.chat(chat("bad")))
            await asyncio.sleep(0.05)
            good = await teacher.chat(chat("good"))
            with pytest.raises(RequestError) as caught:
                await bad
            return caught.value, good

    error, good = run(both())
    assert "status 500: boom" in str(error)
    assert good.text == "fine"
    error = raised(Server(script(lambda: refusal(500, "boom"))), EndpointError, attempts=2)
    assert "has not answered for" in error.message and "boom" in error.message


@pytest.mark.parametrize(
    ("reply", "kind", "message", "hint"),
    [
        (lambda: refusal(401), EndpointError, "wants an API key", "api_key_env"),
        (lambda: refusal(403), EndpointError, "wants an API key", "api_key_env"),
        (lambda: refusal(402, "pay"), EndpointError, "no credit left: pay", "top it up"),
        (
            lambda: refusal(429, "You exceeded your current quota", code="insufficient_quota"),
            EndpointError,
            "no credit left",
            "replies are kept",
        ),
        (lambda: refusal(429, headers={"Retry-After": "7200"}), EndpointError, "wait 2.0 hours", "quota"),
        (lambda: refusal(404, "no such model"), EndpointError, "no model 'm'", "/v1"),
        (
            lambda: web.Response(status=307, headers={"Location": "https://x/v1"}),
            EndpointError,
            "redirects",
            "",
        ),
        (
            lambda: web.Response(text="<html>hi</html>", content_type="text/html"),
            EndpointError,
            "a web page",
            "/v1",
        ),
        (lambda: refusal(400, "content policy"), RequestError, "(status 400): content policy", None),
        (
            lambda: web.json_response({"detail": [{"msg": "bad role"}]}, status=422),
            RequestError,
            "bad role",
            None,
        ),
        (lambda: web.json_response({"choices": []}), RequestError, "holds no completion, 3 times", None),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_lasting_faults_are_one_sentence(
    reply: Any, kind: type[Exception], message: str, hint: str | None
) -> None:
    error = raised(Server(script(reply)), kind)
    assert message in error.message
    assert "\n" not in error.message
    if hint is not None:
        assert hint in (error.hint or "")


def test_a_wrong_model_is_answered_with_the_nearest() -> None:
    server = Server(script(lambda: refusal(404, "gone")))
    server.models = [{"id": "org/granite-4.0-micro"}, {"id": "other"}]
    error = raised(server, EndpointError, model="granite-4-micro")
    assert "serves no model 'granite-4-micro'" in error.message
    assert error.hint == "did you mean 'org/granite-4.0-micro'?"


def test_after_an_endpoint_error_nothing_more_is_sent() -> None:
    async def many() -> int:
        async with Server(script(lambda: refusal(401))) as server, open_teacher(config(server)) as teacher:
            await asyncio.gather(*(teacher.chat(chat(str(n))) for n in range(100)), return_exceptions=True)
            with pytest.raises(EndpointError, match="wants an API key"):
                await teacher.chat(chat("again"))
            return len(server.bodies)

    assert run(many()) <= 32


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 429, 500])
def test_the_key_is_sent_and_appears_nowhere_else(
    status: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("TEACHER_KEY", KEY)
    events: list[object] = []
    server = Server(script(lambda: refusal(status, f"Incorrect key provided: {KEY}, {KEY[:9]}***{KEY[-4:]}")))

    async def attempt() -> None:
        settings = config(server, api_key_env="TEACHER_KEY", attempts=1, json_mode="auto")
        async with open_teacher(
            settings, cache_dir=tmp_path, emit=lambda *event: events.append(event)
        ) as teacher:
            events.append(repr(teacher) + teacher.name)
            await teacher.chat(chat())

    async def with_server() -> None:
        async with server:
            await attempt()

    with pytest.raises((EndpointError, RequestError)) as caught:
        run(with_server())
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"
    kept = "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    chain: list[object] = []
    error: BaseException | None = caught.value
    while error is not None:
        chain.append(repr(error))
        error = error.__cause__ or error.__context__
    seen = f"{caught.value.message} {caught.value.hint} {chain} {events} {caplog.text} {kept}"
    assert KEY not in seen
    assert KEY[:9] not in seen


def test_an_unset_key_is_told_with_the_first_chat() -> None:
    error = raised(Server(), ConfigError, api_key_env="NO_SUCH_VARIABLE_1")
    assert "NO_SUCH_VARIABLE_1" in error.message
    assert error.hint == "export NO_SUCH_VARIABLE_1=..."


@pytest.mark.parametrize(
    "said",
    [
        "This model's maximum context length is 1000 tokens. However, you requested 1300 tokens (800 in the "
        "messages, 500 in the completion).",
        "'max_tokens' or 'max_completion_tokens' is too large: 500. This model's maximum context length is "
        "1000 tokens and your request has 800 input tokens (500 > 1000 - 800).",
        "`inputs` tokens + `max_new_tokens` must be <= 1000. Given: 800 `inputs` tokens and 500 "
        "`max_new_tokens`",
        "This model's maximum context length is 1000 tokens. However, you requested 1300 tokens.",
    ],
    ids=["openai", "vllm", "tgi", "total"],
)
def test_the_reply_shrinks_to_what_the_error_says_is_left(said: str) -> None:
    server = Server(script(lambda: refusal(400, said), completion))
    assert run(one_reply(server, chat("x" * 2600, max_tokens=500))).text == "fine"
    assert [body["max_tokens"] for body in server.bodies] == [500, 200]


def test_a_cap_on_the_reply_alone_is_kept() -> None:
    said = "max_tokens is too large: 9000. This model supports at most 4096 completion tokens."
    server = Server(script(lambda: refusal(400, said), completion))
    run(one_reply(server, chat(max_tokens=9000)))
    assert [body["max_tokens"] for body in server.bodies] == [9000, 4096]


def test_an_unspecific_complaint_halves_the_reply_until_it_is_useless() -> None:
    server = Server(script(lambda: refusal(400, "too many tokens")))
    error = raised(server, PromptTooLong, chat("x" * 900, max_tokens=400))
    assert [body["max_tokens"] for body in server.bodies] == [400, 200, 100]
    assert "from message 1 (user, 900 characters)" in error.message


def test_a_prompt_that_cannot_fit_names_what_to_cut() -> None:
    said = '{"error":{"message":"exceeds the available context size","type":"exceed_context_size_error",'
    said += '"n_prompt_tokens":5000,"n_ctx":4096}}'
    server = Server(script(lambda: web.Response(text=said, status=400, content_type="application/json")))
    error = raised(server, PromptTooLong, chat("y" * 9000, max_tokens=200))
    assert "5,000 tokens" in error.message and "4,096" in error.message
    assert error.excess_tokens == 5000 + 50 - 4096
    assert len(server.bodies) == 1


def test_the_prompt_is_budgeted_before_sending_where_the_context_is_known() -> None:
    server = Server(entry={"max_model_len": 1000})
    run(one_reply(server, chat("x" * 2400, max_tokens=500)))
    [body] = server.bodies
    assert 125 <= body["max_tokens"] <= 200
    server = Server(entry={"max_model_len": 1000})
    error = raised(server, PromptTooLong, chat("x" * 9000))
    assert server.bodies == []
    assert "m holds 1,000" in error.message


@pytest.mark.parametrize(
    ("entry", "pages", "expected"),
    [
        ({"owned_by": "vllm", "max_model_len": 8192}, {}, ("vllm", 8192, None)),
        (
            {"owned_by": "llamacpp", "meta": {"n_ctx_train": 131072}},
            {"/props": {"default_generation_settings": {"n_ctx": 2048}, "total_slots": 4}},
            ("llama.cpp", 2048, 4),
        ),
        (
            {"owned_by": "library"},
            {
                "/api/show": {
                    "parameters": "stop x\nnum_ctx   16384",
                    "model_info": {"a.context_length": 40960},
                }
            },
            ("ollama", 16384, None),
        ),
        (
            {"owned_by": "library"},
            {"/api/show": {"model_info": {"a.context_length": 2048}}},
            ("ollama", 2048, None),
        ),
        (
            {"owned_by": "library"},
            {"/api/ps": {"models": [{"name": "m:latest", "context_length": 9000}]}},
            ("ollama", 9000, None),
        ),
        ({"context_length": 65536}, {}, ("other", 65536, None)),
        ({}, {}, ("other", None, None)),
    ],
)
def test_each_kind_of_server_is_asked_for_its_context(
    entry: dict[str, Any], pages: dict[str, Any], expected: tuple[object, ...]
) -> None:
    async def asked() -> EndpointClient:
        server = Server(entry=entry)
        server.pages = pages
        async with server, open_teacher(config(server)) as teacher:
            await teacher.prepare()
            return teacher

    teacher = run(asked())
    found = teacher.capabilities
    assert (found.kind, found.context_tokens, found.slots) == expected
    assert teacher.limiter.maximum == (5 if found.slots == 4 else 256)


def test_the_lab_file_overrides_the_context() -> None:
    async def asked() -> int | None:
        server = Server(entry={"max_model_len": 8192})
        async with server, open_teacher(config(server, context_tokens=2000)) as teacher:
            await teacher.prepare()
            return teacher.capabilities.context_tokens

    assert run(asked()) == 2000


def test_fields_that_the_server_refuses_are_left_out_from_then_on() -> None:
    async def handler(body: dict[str, Any], _request: web.Request) -> web.StreamResponse:
        if "max_tokens" in body:
            return refusal(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")
        if "temperature" in body:
            return refusal(400, "Unsupported value: 'temperature' does not support 0 with this model.")
        if "seed" in body:
            detail = [
                {"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}
            ]
            return web.json_response({"detail": detail}, status=422)
        return completion()

    async def twice(cache: Path) -> int:
        async with Server(handler) as server:
            for _ in range(2):
                async with open_teacher(config(server), cache_dir=cache) as teacher:
                    await teacher.chat(chat())
            assert server.bodies[-1] == {
                "model": "m",
                "messages": [{"role": "user", "content": "Say something."}],
                "max_completion_tokens": 64,
            }
            return len(server.bodies)

    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        assert run(twice(Path(folder))) == 4 + 1


def by_schema(body: dict[str, Any], *, supported: str) -> web.StreamResponse:
    wanted = body.get("response_format", {}).get("type")
    if wanted == "json_schema" and supported == "schema":
        return completion('{"colour": "red"}')
    if wanted is not None and supported == "refused":
        return refusal(400, "response_format is not supported")
    if wanted == "json_object" and supported == "object":
        return completion('{"colour": "green"}')
    return completion("Hello there!")


@pytest.mark.parametrize(
    ("supported", "mode", "requests"),
    [("schema", "schema", 1), ("object", "object", 3), ("refused", "text", 2)],
)
def test_json_modes_are_tried_once_per_endpoint_and_model(
    supported: str, mode: str, requests: int, tmp_path: Path
) -> None:
    async def handler(body: dict[str, Any], _request: web.Request) -> web.StreamResponse:
        return by_schema(body, supported=supported)

    async def modes() -> tuple[list[str], list[int]]:
        found, counts = [], []
        async with Server(handler) as server:
            for entry in ({"max_model_len": 10}, {"max_model_len": 10}, {"max_model_len": 20}):
                server.entry = {"id": "m", "created": len(found), **entry}
                settings = config(server, json_mode="auto", context_tokens=5000)
                async with open_teacher(settings, cache_dir=tmp_path) as teacher:
                    await asyncio.gather(*(teacher.prepare(json_mode=True) for _ in range(3)))
                    found.append(teacher.json_mode)
                    counts.append(len(server.bodies))
        return found, counts

    found, counts = run(modes())
    assert found == [mode] * 3
    assert counts == [requests, requests, 2 * requests]


def test_a_schema_goes_into_the_prompt_where_the_format_is_not_supported() -> None:
    request = chat("Which colour?", schema=SCHEMA)
    server = Server()
    run(one_reply(server, request, json_mode="text"))
    assert "response_format" not in server.bodies[0]
    assert json.dumps(SCHEMA) in server.bodies[0]["messages"][0]["content"]
    server = Server()
    run(one_reply(server, request, json_mode="schema"))
    assert server.bodies[0]["messages"][0]["content"] == "Which colour?"
    format_ = server.bodies[0]["response_format"]["json_schema"]
    assert (format_["schema"], format_["strict"]) == (SCHEMA, True)


def test_a_schema_that_is_refused_later_is_asked_for_in_the_prompt() -> None:
    async def handler(body: dict[str, Any], _request: web.Request) -> web.StreamResponse:
        return by_schema(body, supported="refused")

    server = Server(handler)
    assert run(one_reply(server, chat(schema=SCHEMA), json_mode="schema")).text == "Hello there!"
    assert [body.get("response_format", {}).get("type") for body in server.bodies] == [
        "json_schema",
        "json_object",
        None,
    ]


def test_a_broken_reply_is_mended_by_one_more_turn() -> None:
    server = Server(script(lambda: completion("The colour is red."), lambda: completion("{'colour': 'red'}")))

    async def asked() -> Any:
        async with server, open_teacher(config(server)) as teacher:
            return await ask(teacher, chat("Which colour?", schema=SCHEMA))

    parsed = run(asked())
    assert parsed.value == {"colour": "red"}
    assert parsed.repaired
    turns = server.bodies[1]["messages"]
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]
    assert turns[1]["content"] == "The colour is red."
    assert "the reply holds no JSON" in turns[2]["content"]


def test_an_empty_reply_is_not_asked_for_again() -> None:
    server = Server(script(lambda: completion("", finish="content_filter")))

    async def asked() -> None:
        async with server, open_teacher(config(server)) as teacher:
            await ask(teacher, chat("Which colour?", schema=SCHEMA))

    with pytest.raises(RequestError, match="the endpoint withheld it"):
        run(asked())
    assert len(server.bodies) == 1


def test_no_more_than_the_stated_number_is_in_flight() -> None:
    async def handler(_body: dict[str, Any], _request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.02)
        return completion()

    async def many() -> int:
        async with Server(handler) as server, open_teacher(config(server, max_concurrency=5)) as teacher:
            await asyncio.gather(*(teacher.chat(chat(str(n))) for n in range(30)))
            assert len(server.bodies) == 30
            return server.most_active

    assert run(many()) == 5


def test_a_budget_of_tokens_stops_before_it_is_exceeded() -> None:
    async def many() -> tuple[int, Meter]:
        meter = Meter(Budget.parse("1ktok"))

        async def handler(_body: dict[str, Any], _request: web.Request) -> web.StreamResponse:
            await asyncio.sleep(0.01)
            return completion(usage=(20, 30))

        async with Server(handler) as server, open_teacher(config(server), meter=meter) as teacher:
            results = await asyncio.gather(
                *(teacher.chat(chat(str(n), max_tokens=60)) for n in range(60)), return_exceptions=True
            )
        assert all(isinstance(result, (Reply, BudgetReached)) for result in results)
        return sum(isinstance(result, Reply) for result in results), meter

    done, meter = run(many())
    spent = meter.spent
    assert spent.n_prompt_tokens + spent.n_tokens == 50 * done
    assert 900 < 50 * done <= 1000


def test_money_is_counted_and_an_unknown_price_is_said() -> None:
    async def cost(meter: Meter, **more: Any) -> Meter:
        async with Server() as server, open_teacher(config(server, **more), meter=meter) as teacher:
            await teacher.chat(chat())
        return meter

    spent = run(cost(Meter(Budget.parse("5USD")), prices=PriceConfig(input=1000, output=100))).spent
    assert (round(spent.money, 6), spent.currency, spent.n_unpriced) == (0.0103, "USD", 0)
    spent = run(cost(Meter())).spent
    assert (spent.money, spent.n_unpriced, spent.n_requests) == (0.0, 1, 1)
    with pytest.raises(ConfigError, match="the price of m is unknown"):
        run(cost(Meter(Budget.parse("5USD"))))
    with pytest.raises(ConfigError, match="paid in EUR"):
        run(cost(Meter(Budget.parse("5USD")), prices=PriceConfig(input=1, output=1, currency="EUR")))


def test_a_failed_request_costs_nothing_and_gives_its_hold_back() -> None:
    async def twice() -> Meter:
        meter = Meter(Budget.parse("200tok"))
        replies = script(lambda: refusal(400, "no"), completion)
        async with Server(replies) as server, open_teacher(config(server), meter=meter) as teacher:
            with pytest.raises(RequestError):
                await teacher.chat(chat(max_tokens=150))
            await teacher.chat(chat(max_tokens=150))
        return meter

    assert run(twice()).spent.n_tokens == 3


def test_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async def through() -> list[str]:
        asked: list[str] = []

        async def answer(request: web.BaseRequest) -> web.StreamResponse:
            asked.append(str(request.url))
            if request.path.endswith("/models"):
                return web.json_response({"data": [{"id": "m"}]})
            return completion()

        runner = web.ServerRunner(web.Server(answer))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{runner.addresses[0][1]}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        settings = EndpointConfig(endpoint="http://teacher.invalid/v1", model="m")
        async with open_teacher(settings) as teacher:
            assert (await teacher.chat(chat())).text == "fine"
        await runner.cleanup()
        return asked

    assert run(through()) == [
        "http://teacher.invalid/v1/models",
        "http://teacher.invalid/v1/chat/completions",
    ]


def test_a_server_that_restarts_in_mid_run_is_waited_for_and_one_that_stays_away_is_an_error() -> None:
    async def work(back: bool) -> str:
        server = SimulatedTeacher()
        await server.start("127.0.0.1", 0)
        values = {"model": server.config.model, "attempts": 2, "timeout_s": 8 if back else 0.5}
        async with open_teacher(EndpointConfig(endpoint=server.url, **values)) as teacher:
            await teacher.chat(chat("one"))
            await server.stop()
            late = asyncio.ensure_future(teacher.chat(chat("two")))
            if back:
                await asyncio.sleep(2)
                assert not late.done()
                again = SimulatedTeacher()
                await again.start("127.0.0.1", int(server.url.split(":")[2].removesuffix("/v1")))
                text = (await late).text
                await again.stop()
                return text
            return (await late).text

    assert run(work(back=True))
    with pytest.raises(EndpointError, match="nothing listens"):
        run(work(back=False))
