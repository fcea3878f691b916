"""A chat model behind an OpenAI-compatible endpoint."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

from labtune.artifact import content_hash
from labtune.config.endpoint import EndpointConfig
from labtune.errors import EndpointError, LabtuneError, ModelError, RequestError
from labtune.models.endpoint.budget import Meter
from labtune.models.endpoint.capabilities import (
    Capabilities,
    Findings,
    JsonMode,
    discover,
    not_an_api,
    read_findings,
    unusable,
    write_findings,
)
from labtune.models.endpoint.context import plan_tokens, shrink
from labtune.models.endpoint.faults import Fault, Refused, classify
from labtune.models.endpoint.json_probe import PROBES, asked_for
from labtune.models.endpoint.limiter import Limiter, Permit
from labtune.models.endpoint.payload import Encoder, Unreadable, decode, hidden_status
from labtune.models.endpoint.prices import price_of
from labtune.models.endpoint.transport import HttpReply, Interrupted, TimedOut, Transport, Unreachable
from labtune.protocols import ChatRequest, Reply
from labtune.types import Emit, no_events

FIRST_BACKOFF_S = 0.5
LONGEST_BACKOFF_S = 30.0
OUTAGE_S = 90.0
"""Seconds that a server which answered before may be gone in mid-run."""
LONGEST_WAIT_S = 900.0
"""Longest Retry-After that is waited for; a longer one means a quota of hours."""
CONGESTION_WEIGHT = 0.25
"""What a refusal for overload counts of an attempt: the limiter is already slowing down."""
UNREADABLE_ATTEMPTS = 3
MOST_ADAPTED = 8
"""Fields that may be left out of one request before it counts as refused."""
NEVER = float("-inf")


class GivenUp(RequestError):
    """No usable reply came, however often it was asked; a later run may have more luck."""

    transient = True


def identity(config: EndpointConfig) -> str:
    """The model's name, with a hash of `extra_body` when that is set."""
    extra = config.extra_body
    return f"{config.model}+{content_hash(extra)[:8]}" if extra else config.model


@dataclass(slots=True)
class _Call:
    """One request on its way: what is sent, and how often it failed."""

    request: ChatRequest
    max_tokens: int
    prompt_tokens: int
    since: float
    mode: JsonMode = "text"
    body: bytes = b""
    failures: float = 0.0
    unreadable: int = 0
    adapted: int = 0
    is_probe: bool = False


class EndpointClient:
    """An AsyncChatModel; made and closed by `open_teacher`, used within one event loop.

    Nothing is sent before the first `chat`; that one also asks the endpoint about itself.
    """

    def __init__(
        self,
        config: EndpointConfig,
        transport: Transport,
        *,
        cache_dir: Path | None = None,
        meter: Meter | None = None,
        emit: Emit = no_events,
    ) -> None:
        self.config = config
        self.meter = meter or Meter()
        self.price = price_of(config)
        self.capabilities = Capabilities()
        self.limiter = Limiter(config.max_concurrency, rpm=config.rpm, tpm=config.tpm, on_cut=self._tell_cut)
        self._transport = transport
        self._cache_dir = cache_dir
        self._emit = emit
        self._findings = Findings()
        self._encoder = Encoder(config, self._findings.dropped)
        self._jitter = random.Random(0)
        self._discovery: asyncio.Task[None] | None = None
        self._probing: asyncio.Task[None] | None = None
        self._is_known = False
        self._needs_probe = config.json_mode == "auto"
        self._broken: LabtuneError | None = None
        self._answered_at = NEVER

    @property
    def name(self) -> str:
        """See `identity`."""
        return identity(self.config)

    @property
    def json_mode(self) -> JsonMode:
        """How JSON is asked for; "text" while it is unknown."""
        configured = self.config.json_mode
        return self._findings.json_mode or (configured if configured != "auto" else "text")

    async def prepare(self, *, json_mode: bool = False) -> None:
        """Ask the endpoint about itself, and how it takes schemas, once. Raises as `chat` does."""
        if not self._is_known:
            if self._discovery is None:
                self._discovery = asyncio.ensure_future(self._discover())
            await asyncio.shield(self._discovery)
        if json_mode and self._needs_probe:
            if self._probing is None:
                self._probing = asyncio.ensure_future(self._probe())
            await asyncio.shield(self._probing)

    async def chat(self, request: ChatRequest) -> Reply:
        """Complete one chat; see `AsyncChatModel`."""
        if self._broken is not None:
            self._raise_broken()
        if not self._is_known or (self._needs_probe and request.schema is not None):
            await self.prepare(json_mode=request.schema is not None)
        return await self._complete(request)

    def close(self) -> None:
        """Stop what is under way."""
        for task in (self._discovery, self._probing):
            if task is not None:
                task.cancel()

    async def _complete(self, request: ChatRequest, *, is_probe: bool = False) -> Reply:
        max_tokens, prompt = plan_tokens(request, self.capabilities, self.config)
        hold = await self.meter.reserve(self.price, prompt, max_tokens)
        call = _Call(request, max_tokens, prompt, time.monotonic(), is_probe=is_probe)
        try:
            reply = None
            while reply is None:
                reply = await self._try(call)
        except BaseException as error:
            self.meter.release(hold)
            if isinstance(error, EndpointError):
                self._broken = error
            raise
        self.meter.settle(hold, self.price, reply.n_prompt_tokens, reply.n_tokens)
        if self.price is None:
            return reply
        cost = self.price.of(reply.n_prompt_tokens, reply.n_tokens)
        return replace(reply, cost=cost, currency=self.price.currency)

    async def _try(self, call: _Call) -> Reply | None:
        """Send once; None = to be sent again, perhaps changed."""
        if not call.body:
            call.mode = self.json_mode
            call.body = self._encoder.encode(call.request, call.max_tokens, call.mode)
        tokens = call.prompt_tokens + call.max_tokens
        permit = await self.meter.within(self.limiter.acquire(tokens, again=call.failures > 0))
        try:
            if self._broken is not None:
                self._raise_broken()
            self.meter.check_time()
            sent = time.monotonic()
            answer = await self._transport.post("/chat/completions", call.body)
        except TimedOut as failure:
            self.limiter.congested(permit, "timeout")
            await self._after_interruption(failure, call)
            return None
        except BaseException as error:
            self.limiter.failed(permit)
            if not isinstance(error, Interrupted):
                raise
            await self._after_interruption(error, call)
            return None
        status = answer.status
        if status == 200:
            try:
                reply = decode(answer.body, call.request)
            except Unreadable as error:
                if (status := hidden_status(answer.body)) == 200:
                    self.limiter.failed(permit)
                    await self._after_unreadable(str(error), answer, call)
                    return None
            else:
                self._answered_at = time.monotonic()
                self.limiter.done(permit, reply.n_prompt_tokens + reply.n_tokens)
                return replace(reply, latency_s=self._answered_at - sent)
        fault = classify(status, answer.headers, answer.body, secret=self._transport.secret)
        await self._after_fault(fault, call, permit)
        return None

    async def _after_fault(self, fault: Fault, call: _Call, permit: Permit) -> None:
        """Change the call or wait, so that it can be sent again; else raise."""
        if fault.kind == "congested":
            wait = min(fault.retry_after_s, LONGEST_WAIT_S)
            self.limiter.congested(permit, str(fault.status), retry_after_s=wait)
        else:
            self.limiter.failed(permit)
        if fault.kind == "context":
            call.max_tokens = shrink(call.request, call.max_tokens, fault.limit, self.capabilities)
            call.body = b""
        elif fault.kind == "parameter" and call.adapted < MOST_ADAPTED and self._adapt(fault, call):
            call.adapted += 1
            call.body = b""
        else:
            await self._wait_or_give_up(fault, call)

    def _adapt(self, fault: Fault, call: _Call) -> bool:
        """Leave out what the endpoint refuses, from now on; False when that is left out already."""
        name, dropped = fault.parameter, self._findings.dropped
        if name == "response_format":
            if call.mode == "text" or call.is_probe:
                return False
            if self.json_mode == call.mode:
                self._findings.json_mode = "object" if call.mode == "schema" else "text"
        elif name not in dropped:
            dropped.append(name)
        self._keep_findings()
        self._emit("endpoint_note", {"endpoint": self.config.endpoint, "left_out": name})
        return True

    async def _after_interruption(self, failure: Interrupted, call: _Call) -> None:
        if isinstance(failure, Unreachable) and (failure.fatal or self._answered_at == NEVER):
            raise failure.error
        call.failures += 1
        if call.failures >= self.config.attempts:
            if not isinstance(failure, Unreachable):
                raise self._given_up(str(failure), call)
            # A server that restarts is worth more patience than jitter gives the unluckiest of many requests.
            if time.monotonic() - self._answered_at > min(OUTAGE_S, self.config.timeout_s):
                raise failure.error
        await self._back_off(call)

    async def _after_unreadable(self, what: str, answer: HttpReply, call: _Call) -> None:
        if answer.body.lstrip()[:1] == b"<" and self._answered_at == NEVER:
            raise not_an_api(self.config)
        call.unreadable += 1
        call.failures += 1
        if call.unreadable >= UNREADABLE_ATTEMPTS or call.failures >= self.config.attempts:
            raise GivenUp(f"{self.config.endpoint}: {what}, {call.unreadable} times")
        await self._back_off(call)

    async def _wait_or_give_up(self, fault: Fault, call: _Call) -> None:
        if fault.kind in {"key", "quota", "missing", "place"}:
            raise unusable(fault, self.config, self.capabilities)
        said = f": {fault.message}" if fault.message else ""
        if fault.kind not in {"congested", "retry"}:
            raise Refused(f"the endpoint refuses the request (status {fault.status}){said}")
        if fault.retry_after_s > LONGEST_WAIT_S:
            raise EndpointError(
                f"{self.config.endpoint} asks to wait {fault.retry_after_s / 3600:.1f} hours{said}",
                hint="its quota is used up; run again then, replies are kept",
            )
        call.failures += CONGESTION_WEIGHT if fault.kind == "congested" else 1
        if call.failures >= self.config.attempts:
            raise self._given_up(f"status {fault.status}{said}", call)
        if fault.retry_after_s:
            await self.meter.within(asyncio.sleep(fault.retry_after_s))
        else:
            await self._back_off(call)

    def _given_up(self, why: str, call: _Call) -> ModelError:
        if self._answered_at < call.since:
            seconds = time.monotonic() - call.since
            return EndpointError(
                f"{self.config.endpoint} has not answered for {seconds:.0f} s ({why})",
                hint="look at the server; run again to go on, replies are kept",
            )
        return GivenUp(f"no reply after {self.config.attempts} attempts ({why})")

    async def _back_off(self, call: _Call) -> None:
        """Wait with full jitter, so that requests that failed together do not come back together."""
        longest = min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2 ** max(0.0, call.failures - 1))
        await self.meter.within(asyncio.sleep(self._jitter.uniform(0, longest)))

    def _raise_broken(self) -> NoReturn:
        # A new one each time: an exception that many tasks raise gathers all their tracebacks.
        assert self._broken is not None
        raise type(self._broken)(self._broken.message, hint=self._broken.hint)

    async def _discover(self) -> None:
        call = _Call(ChatRequest((), PROBES[0].sampling), 0, 0, time.monotonic())
        try:
            self.meter.accept(self.price, self.config.model)
            while not self._is_known:
                try:
                    self.capabilities = await discover(self._transport, self.config)
                    self._is_known = True
                except Interrupted as failure:
                    await self._after_interruption(failure, call)
        except LabtuneError as error:
            self._broken = error
            raise
        known = self.capabilities
        if self._cache_dir is not None:
            self._findings = read_findings(self._cache_dir, self.config, known.fingerprint)
            self._encoder.dropped = self._findings.dropped
        self._needs_probe = self.config.json_mode == "auto" and self._findings.json_mode is None
        if known.slots is not None and self.config.max_concurrency is None:
            self.limiter.bound(known.slots + max(1, known.slots // 4))
        self._emit(
            "endpoint",
            {
                "endpoint": self.config.endpoint,
                "model": self.config.model,
                "kind": known.kind,
                "context_tokens": known.context_tokens,
                "slots": known.slots,
                "price": self.price.source if self.price else None,
            },
        )

    async def _probe(self) -> None:
        """Try with a few tiny requests how the endpoint takes schemas; see `json_probe`."""
        modes: tuple[JsonMode, ...] = ("schema", "object")
        certain = True
        for mode in modes:
            verdict = await self._obeys(mode)
            if verdict:
                self._findings.json_mode = mode
                break
            certain = certain and verdict is not None
        else:
            self._findings.json_mode = "text"
        self._needs_probe = False
        if certain:
            self._keep_findings()
        self._emit("endpoint_note", {"endpoint": self.config.endpoint, "json_mode": self.json_mode})

    async def _obeys(self, mode: JsonMode) -> bool | None:
        """Whether the endpoint keeps to a format; None when that could not be found out."""
        certain = True
        for request in PROBES:
            self._findings.json_mode = mode
            try:
                reply = await self._complete(request, is_probe=True)
            except Refused:
                return False
            except RequestError:
                certain = False
                continue
            if asked_for(reply.text, mode):
                return True
        return False if certain else None

    def _keep_findings(self) -> None:
        if self._cache_dir is not None and self._is_known and not self._needs_probe:
            write_findings(self._cache_dir, self.config, self._findings)

    def _tell_cut(self, limit: int, reason: str) -> None:
        self._emit("endpoint_limit", {"endpoint": self.config.endpoint, "limit": limit, "reason": reason})
