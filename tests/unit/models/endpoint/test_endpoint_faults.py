"""All faults of the simulated teacher at once."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from benchmarks.simulated_teacher import Faults, SimulatedTeacher, TeacherConfig
from endpoint_server import run

from labtune.config.endpoint import EndpointConfig
from labtune.models.endpoint.faults import retry_after
from labtune.models.endpoint.structured import MalformedReply, Parsed, ask
from labtune.models.endpoint.teacher import open_teacher
from labtune.protocols import ChatRequest, Sampling
from labtune.types import Message

PASSAGE = "The ferry to Sandholm leaves at six. It carries forty cars. The captain is Marit Aune. "
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"question": {"type": "string"}, "answer": {"type": "string"}},
    "required": ["question", "answer"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("json_schema", ["yes", "reject", "ignore"])
def test_every_request_ends_in_a_value_or_a_named_reason(json_schema: str, tmp_path: Path) -> None:
    share = 0.05
    faults = Faults(
        rate_limit=share,
        unavailable=share,
        reset=share,
        cut=share,
        truncated=share,
        malformed=share,
        wrong_language=share,
        refusal=share,
        content_filter=share,
        retry_after_s=0.02,
        rate_limit_burst=3,
    )
    settings = TeacherConfig(latency_ms=3, json_schema=json_schema, slots=16, faults=faults)

    async def work() -> tuple[list[Any], dict[str, Any]]:
        async with SimulatedTeacher(settings) as teacher:
            endpoint = EndpointConfig(endpoint=teacher.url, model="simulated-teacher", attempts=12)
            async with open_teacher(endpoint, cache_dir=tmp_path) as model:
                results = await asyncio.gather(
                    *(
                        ask(
                            model,
                            ChatRequest(
                                (Message("user", f"{PASSAGE} {n} Write a question and its answer as JSON."),),
                                Sampling(max_tokens=200, seed=n),
                                SCHEMA,
                            ),
                        )
                        for n in range(120)
                    ),
                    return_exceptions=True,
                )
            return results, teacher.stats()

    results, stats = run(work())
    reasons = [str(result) for result in results if isinstance(result, MalformedReply)]
    assert all(isinstance(result, (Parsed, MalformedReply)) for result in results)
    assert sum(isinstance(result, Parsed) for result in results) >= 95
    assert all("repl" in reason for reason in reasons)
    assert stats["answered_twice"] == 0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("3", 3.0),
        ("0.25", 0.25),
        ("Thu, 01 Jan 1970 00:02:00 GMT", 20.0),
        ("Thu, 01 Jan 1970 00:00:01 GMT", 0.0),
        ("soon", 0.0),
        ("", 0.0),
        ("-4", 0.0),
    ],
)
def test_retry_after_as_seconds_and_as_a_date(value: str, seconds: float) -> None:
    assert retry_after({"Retry-After": value}, 100.0) == seconds
