"""Prove in seconds what an endpoint can do: reachable, model, context, JSON, throughput, price."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from labtune.config.endpoint import ANY_MODEL, EndpointConfig
from labtune.errors import EndpointError
from labtune.models.endpoint.budget import Meter
from labtune.models.endpoint.capabilities import Capabilities, discover
from labtune.models.endpoint.client import EndpointClient
from labtune.models.endpoint.teacher import open_teacher
from labtune.models.endpoint.transport import Overloaded, TimedOut, Transport, Unreachable
from labtune.protocols import ChatRequest, Reply, Sampling
from labtune.types import Message

PROBE_TOKENS = 96
PARALLEL = 8
LEAST_CONTEXT = 4096
"""Tokens below which a prompt with examples and a passage gets tight."""

_TASK = Message("user", "Write one paragraph about how bread is baked.")
_MODES = {
    "schema": ("ok", "keeps to a JSON schema"),
    "object": ("ok", "writes JSON objects, but not by schema: replies are checked and asked for again"),
    "text": ("warn", "keeps to no JSON format: replies are read leniently and asked for again"),
}


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One line about an endpoint. `mend` is empty when all is well."""

    name: str
    state: Literal["ok", "warn"]
    found: str
    mend: str = ""


async def diagnose(config: EndpointConfig, cache_dir: Path | None) -> AsyncIterator[Diagnosis]:
    """Examine an endpoint; lines come as they are found.

    Args:
        config: the endpoint; with ANY_MODEL the only model that it serves is examined.
        cache_dir: where findings are kept; None = nowhere.

    Raises:
        EndpointError: it cannot be used; the message says why in one sentence, the hint how to mend it.
        ConfigError: the key's variable is empty, or a certificate file is unreadable.
    """
    asked = config
    started = time.monotonic()
    known = await _reach(asked)
    found = f"{asked.endpoint} ({known.kind}), {_ms(time.monotonic() - started)}"
    if asked.api_key_env is not None and is_exposed(asked.endpoint):
        yield Diagnosis("reachable", "warn", f"{found}; the key travels unencrypted", "use https://")
    else:
        yield Diagnosis("reachable", "ok", found)
    if asked.model == ANY_MODEL:
        if not known.models:
            hint = "check that it is the base URL, usually ending in /v1, or name a model with --model"
            raise EndpointError(f"{asked.endpoint} lists no models", hint=hint)
        if len(known.models) > 1:
            listed = ", ".join(known.models[:8]) + (" ..." if len(known.models) > 8 else "")
            yield Diagnosis("model", "warn", listed, "name one: --model NAME")
            return
        asked = asked.model_copy(update={"model": known.models[0]})
    yield _model_line(asked, known)
    meter = Meter()
    async with open_teacher(asked, cache_dir=cache_dir, meter=meter) as client:
        await client.prepare()
        yield _context_line(client.capabilities)
        first = await _timed(client, 0)
        await client.prepare(json_mode=True)
        state, found = _MODES[client.json_mode]
        yield Diagnosis("json", "ok" if state == "ok" else "warn", found)
        yield await _throughput(client, first)
        yield _price_line(client, meter)


def is_exposed(url: str) -> bool:
    """Whether plain HTTP leaves for a host that is neither this machine nor in a private network."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        return parts.scheme == "http" and not ipaddress.ip_address(host).is_private
    except ValueError:
        local = "." not in host or host.endswith((".local", ".internal", ".lan", ".localhost"))
        return parts.scheme == "http" and not local


async def _reach(config: EndpointConfig) -> Capabilities:
    async with Transport(config) as transport:
        try:
            return await discover(transport, config)
        except Unreachable as failure:
            raise failure.error from failure
        except TimedOut as failure:
            hint = "look at the server's log; a server that loads its model needs a while"
            raise EndpointError(
                f"{config.endpoint} takes the connection but does not answer", hint=hint
            ) from failure
        except Overloaded as failure:
            hint = "wait until it has loaded its model or has less to do; look at its log"
            raise EndpointError(f"{config.endpoint} is not ready ({failure})", hint=hint) from failure


def _model_line(config: EndpointConfig, known: Capabilities) -> Diagnosis:
    model = config.model
    if not known.models:
        return Diagnosis("model", "warn", f"{model}; the endpoint lists no models, so this is tried next")
    if model in known.models or f"{model}:latest" in known.models:
        others = len(known.models) - 1
        return Diagnosis("model", "ok", f"{model}{f' (and {others} others)' if others else ''}")
    near = known.nearest(model)
    mend = f"did you mean {near!r}?" if near else f"it lists {', '.join(known.models[:5])}"
    return Diagnosis("model", "warn", f"{model} is not in the endpoint's list", mend)


def _context_line(known: Capabilities) -> Diagnosis:
    tokens = known.context_tokens
    if tokens is None:
        mend = "set context_tokens in the lab file, so that long prompts are shortened beforehand"
        return Diagnosis("context", "warn", "the endpoint does not say how many tokens fit", mend)
    found = f"{tokens:,} tokens, says {known.context_source}"
    if tokens < LEAST_CONTEXT or known.cuts_prompts:
        cut = "; longer prompts would silently lose their beginning" if known.cuts_prompts else ""
        mend = "raise it in the server (Ollama: OLLAMA_CONTEXT_LENGTH, vLLM: --max-model-len, llama.cpp: -c)"
        small = tokens <= LEAST_CONTEXT
        return Diagnosis("context", "warn" if small else "ok", found + cut, mend if small else "")
    return Diagnosis("context", "ok", found)


async def _timed(client: EndpointClient, index: int) -> tuple[Reply, float]:
    started = time.monotonic()
    request = ChatRequest((_TASK,), Sampling(max_tokens=PROBE_TOKENS, temperature=0.7, seed=1), index=index)
    reply = await client.chat(request)
    return reply, time.monotonic() - started


async def _throughput(client: EndpointClient, first: tuple[Reply, float]) -> Diagnosis:
    started = time.monotonic()
    many = await asyncio.gather(*(_timed(client, index) for index in range(1, PARALLEL + 1)))
    seconds = max(time.monotonic() - started, 1e-6)
    alone = first[0].n_tokens / max(first[1], 1e-6)
    together = sum(reply.n_tokens for reply, _ in many) / seconds
    found = (
        f"{alone:,.0f} tokens/s alone ({_ms(first[1])} a reply), "
        f"{together:,.0f} tokens/s with {PARALLEL} in parallel"
    )
    if not any(reply.text.strip() for reply, _ in (first, *many)):
        mend = "a model that thinks aloud spends them on reasoning; switch it off with extra_body"
        return Diagnosis("throughput", "warn", f"{found}; {PROBE_TOKENS} tokens gave no answer", mend)
    return Diagnosis("throughput", "ok", found)


def _price_line(client: EndpointClient, meter: Meter) -> Diagnosis:
    spent = meter.spent
    used = (
        f"this check took {spent.n_requests} requests and {spent.n_prompt_tokens + spent.n_tokens:,} tokens"
    )
    price = client.price
    if price is None:
        mend = (
            "set prices: {input: ..., output: ...} per million tokens in the lab file; 0 for your own server"
        )
        return Diagnosis("price", "warn", f"unknown, so budgets of money cannot be kept; {used}", mend)
    found = f"{price.input:g} / {price.output:g} {price.currency} per million prompt / completion tokens"
    return Diagnosis("price", "ok", f"{found} ({price.source}); {used}, {spent.money:.5f} {spent.currency}")


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 10 else f"{seconds:.1f} s"
