"""A teacher that is simulated: a real HTTP server with an OpenAI-compatible API, slots, latencies and faults.

    python -m benchmarks.simulated_teacher --port 8000 --slots 32 --latency-ms 500 --fault reset=0.05

In tests: `async with SimulatedTeacher(TeacherConfig()) as teacher: ... teacher.url`. As a process of its own:
`with teacher_process(TeacherConfig()) as teacher: ... teacher.url, teacher.stats()`.

Replies, content faults and latencies are functions of the request's body (and, for faults of the transport
and latencies, of how often that body came), so that two runs meet the same teacher whatever their timing.
Requests are counted by body: whoever asks twice is seen.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import random
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from aiohttp import web
from benchmarks.plausible_replies import CJK, reply_text
from benchmarks.spoiled_replies import spoil
from benchmarks.teacher_config import Faults, TeacherConfig, arguments_of, parse

__all__ = [
    "Faults",
    "SimulatedTeacher",
    "TeacherConfig",
    "TeacherProcess",
    "arguments_of",
    "parse",
    "teacher_process",
]

MAX_BODY = 64 << 20


class SimulatedTeacher:
    """The server. `config` may be replaced while it runs; `requests` is filled when `config.keep`."""

    def __init__(self, config: TeacherConfig | None = None) -> None:
        self.config = config or TeacherConfig()
        self.requests: list[dict[str, Any]] = []
        self.reset_counts()
        self._slots = asyncio.Semaphore(self.config.slots)
        self._burst_left = 0
        self._runner: web.AppRunner | None = None
        self._log: BinaryIO | None = None
        self.url = ""

    def reset_counts(self) -> None:
        """Forget all that was counted."""
        self.asked: Counter[bytes] = Counter()
        self.answered: Counter[bytes] = Counter()
        self.faults: Counter[str] = Counter()
        self.totals: Counter[str] = Counter()
        self.active = self.most_active = 0
        self.requests.clear()

    async def __aenter__(self) -> SimulatedTeacher:
        await self.start("127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self, host: str, port: int) -> None:
        """Listen; `url` is then the base of the API (".../v1")."""
        if self.config.log:
            self._log = Path(self.config.log).open("ab")  # noqa: SIM115 - closed by `stop`
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_get("/stats", self._stats)
        app.router.add_get("/requests", self._requests)
        app.router.add_post("/reset", self._reset)
        app.router.add_post("/faults", self._set_faults)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port, backlog=4096).start()
        self.url = f"http://{host}:{self._runner.addresses[0][1]}/v1"

    async def stop(self) -> None:
        """Close the server and its connections."""
        if self._runner is not None:
            await self._runner.cleanup()
        if self._log is not None:
            self._log.close()

    def stats(self) -> dict[str, Any]:
        """What was asked and answered so far; a body is `answered` when its whole reply was sent."""
        return {
            "requests": self.asked.total(),
            "distinct": len(self.asked),
            "answered": self.answered.total(),
            "answered_distinct": len(self.answered),
            "answered_twice": sum(1 for count in self.answered.values() if count > 1),
            "most_per_body": max(self.asked.values(), default=0),
            "most_active": self.most_active,
            "faults": dict(self.faults),
            **{key: self.totals[key] for key in ("prompt_tokens", "completion_tokens", "abandoned")},
        }

    async def _models(self, request: web.Request) -> web.Response:
        refused = self._unauthorised(request)
        if refused is not None:
            return refused
        entry = {
            "id": self.config.model,
            "object": "model",
            "owned_by": "labtune",
            "max_model_len": self.config.max_model_len,
        }
        return web.json_response({"object": "list", "data": [entry]})

    async def _stats(self, _: web.Request) -> web.Response:
        if self._log is not None:
            self._log.flush()
        return web.json_response(self.stats())

    async def _requests(self, _: web.Request) -> web.Response:
        return web.json_response(self.requests)

    async def _reset(self, _: web.Request) -> web.Response:
        self.reset_counts()
        return web.json_response({})

    async def _set_faults(self, request: web.Request) -> web.Response:
        self.config = replace(self.config, faults=Faults(**await request.json()))
        return web.json_response(asdict(self.config.faults))

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        digest = hashlib.blake2b(raw, digest_size=16).digest()
        self.asked[digest] += 1
        self.active += 1
        self.most_active = max(self.most_active, self.active)
        try:
            return await self._answer(request, raw, digest)
        except asyncio.CancelledError:
            self.totals["abandoned"] += 1
            raise
        finally:
            self.active -= 1

    async def _answer(self, request: web.Request, raw: bytes, digest: bytes) -> web.StreamResponse:
        refused = self._unauthorised(request)
        if refused is not None:
            return refused
        try:
            body = json.loads(raw)
        except ValueError:
            return _error(400, "the body is not JSON")
        if self.config.keep:
            self.requests.append(body)
        if self._log is not None:
            self._log.write(raw + b"\n")
        refused = self._unusable(body)
        if refused is not None:
            return refused
        draw = random.Random(f"{self.config.seed}:{digest.hex()}:{self.asked[digest]}")
        fault = self._transport_fault(draw)
        if fault == "rate_limit" or self._overfull():
            seconds = self.config.faults.retry_after_s
            return _error(429, "too many requests", {"Retry-After": f"{seconds:g}"})
        if fault == "unavailable":
            return _error(503, "overloaded, try later")
        async with self._slots:
            await asyncio.sleep(self._latency(draw, slow=fault == "slow"))
            if fault == "reset":
                return _abort(request)
            payload = self._completion(body, digest)
            if fault == "cut":
                return await _cut(request, payload)
            self.answered[digest] += 1
            return web.Response(body=payload, content_type="application/json")

    def _unauthorised(self, request: web.Request) -> web.Response | None:
        key = self.config.api_key
        if key is None or request.headers.get("Authorization") == f"Bearer {key}":
            return None
        return _error(401, "invalid API key")

    def _unusable(self, body: Mapping[str, Any]) -> web.Response | None:
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages:
            return _error(400, "messages must be a list that is not empty")
        if body.get("model") != self.config.model:
            return _error(404, f"The model `{body.get('model')}` does not exist.")
        if "response_format" in body and self.config.json_schema == "reject":
            return _error(400, "response_format is not supported by this server")
        wanted = n_tokens(messages) + int(body.get("max_completion_tokens") or body.get("max_tokens") or 0)
        if wanted > self.config.max_model_len:
            return _error(
                400,
                f"This model's maximum context length is {self.config.max_model_len} tokens. "
                f"However, you requested {wanted} tokens.",
                code="context_length_exceeded",
            )
        return None

    def _overfull(self) -> bool:
        return self.config.queue is not None and self.active > self.config.slots + self.config.queue

    def _transport_fault(self, draw: random.Random) -> str | None:
        faults = self.config.faults
        if self._burst_left:
            self._burst_left -= 1
            self.faults["rate_limit"] += 1
            return "rate_limit"
        for name in Faults.TRANSPORT:
            share = getattr(faults, name)
            if name == "rate_limit":
                share /= faults.rate_limit_burst - (faults.rate_limit_burst - 1) * share
            if share and draw.random() < share:
                self.faults[name] += 1
                if name == "rate_limit":
                    self._burst_left = int(faults.rate_limit_burst) - 1
                return name
        return None

    def _latency(self, draw: random.Random, *, slow: bool) -> float:
        seconds, sigma = self.config.latency_ms / 1000, self.config.sigma
        if sigma:
            seconds = draw.lognormvariate(math.log(seconds) - sigma * sigma / 2, sigma) if seconds else 0.0
        return seconds * self.config.faults.slow_factor if slow else seconds

    def _completion(self, body: Mapping[str, Any], digest: bytes) -> bytes:
        seed = f"{self.config.seed}:{digest.hex()}"
        draw = random.Random(f"{seed}:content")
        fault = next(
            (name for name in Faults.CONTENT if draw.random() < getattr(self.config.faults, name)), None
        )
        if fault is not None:
            self.faults[fault] += 1
        text = reply_text(
            body["messages"],
            self._schema(body),
            seed,
            approve_share=self.config.approve,
            foreign=fault == "wrong_language",
        )
        text, finish = spoil(text, fault, draw, body["messages"])
        usage = {"prompt_tokens": n_tokens(body["messages"]), "completion_tokens": max(1, count_tokens(text))}
        limit = body.get("max_completion_tokens") or body.get("max_tokens")
        if limit and usage["completion_tokens"] > int(limit):
            text, finish = text[: len(text) * int(limit) // usage["completion_tokens"]], "length"
            usage["completion_tokens"] = int(limit)
        self.totals.update(usage)
        usage["total_tokens"] = sum(usage.values())
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": text},
            "logprobs": None,
            "finish_reason": finish,
        }
        return json.dumps(
            {
                "id": f"chatcmpl-{digest.hex()}",
                "object": "chat.completion",
                "created": 1_700_000_000,
                "model": self.config.model,
                "choices": [choice],
                "usage": usage,
            },
            ensure_ascii=False,
        ).encode()

    def _schema(self, body: Mapping[str, Any]) -> Mapping[str, Any] | None:
        wanted = body.get("response_format") or {}
        if self.config.json_schema != "yes" or wanted.get("type") != "json_schema":
            return None
        schema = wanted.get("json_schema", {}).get("schema")
        return schema if isinstance(schema, dict) else None


def count_tokens(text: str) -> int:
    """A rough count: one for each CJK character, one for four others."""
    wide = 0 if text.isascii() else len(CJK.findall(text))
    return wide + math.ceil((len(text) - wide) / 4)


def n_tokens(messages: list[dict[str, Any]]) -> int:
    """Tokens of a prompt, with what a chat template adds."""
    return sum(4 + count_tokens(str(message.get("content") or "")) for message in messages)


def _error(
    status: int, message: str, headers: Mapping[str, str] | None = None, code: str | None = None
) -> web.Response:
    error = {"message": message, "type": "error", "code": code or status}
    return web.json_response({"error": error}, status=status, headers=headers)


def _abort(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


async def _cut(request: web.Request, payload: bytes) -> web.StreamResponse:
    response = web.StreamResponse(
        headers={"Content-Length": str(len(payload)), "Content-Type": "application/json"}
    )
    await response.prepare(request)
    await response.write(payload[: len(payload) // 2])
    if request.transport is not None:
        # close, not abort: what was written reaches the client first
        request.transport.close()
    return response


@dataclass(frozen=True, slots=True)
class TeacherProcess:
    """A teacher in a process of its own."""

    url: str
    process: subprocess.Popen[str]

    def stats(self) -> dict[str, Any]:
        """See `SimulatedTeacher.stats`."""
        stats: dict[str, Any] = self._call("/stats")
        return stats

    def requests(self) -> list[dict[str, Any]]:
        """All bodies so far, when `keep` is set."""
        requests: list[dict[str, Any]] = self._call("/requests")
        return requests

    def reset(self) -> None:
        """Forget all that was counted."""
        self._call("/reset", {})

    def set_faults(self, faults: Faults) -> None:
        """Behave so from now on."""
        self._call("/faults", asdict(faults))

    def _call(self, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url.removesuffix("/v1") + path, data=data)
        with urllib.request.urlopen(request, timeout=60) as reply:
            return json.load(reply)


@contextmanager
def teacher_process(config: TeacherConfig | None = None, *, port: int = 0) -> Iterator[TeacherProcess]:
    """Run a teacher in a process of its own; it is ended with the block."""
    command = [sys.executable, "-m", "benchmarks.simulated_teacher", "--port", str(port)]
    process = subprocess.Popen(
        [*command, *arguments_of(config or TeacherConfig())],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"the simulated teacher did not start (exit code {process.wait()})")
        yield TeacherProcess(json.loads(line)["url"], process)
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


async def _serve(host: str, port: int, config: TeacherConfig) -> None:
    teacher = SimulatedTeacher(config)
    await teacher.start(host, port)
    print(json.dumps({"url": teacher.url, "time": time.time()}), flush=True)
    await asyncio.Event().wait()


def main() -> None:
    host, port, config = parse(sys.argv[1:])
    try:
        asyncio.run(_serve(host, port, config))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
