"""What an endpoint's failures mean: try again, ask for less, give the request up, or give the endpoint up."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Literal

from labtune.errors import RequestError

MAX_MESSAGE = 300
"""Most characters of a server's message that an error repeats."""

Kind = Literal["congested", "retry", "context", "parameter", "refused", "key", "quota", "missing", "place"]

_CONGESTED = frozenset({429, 503, 504, 529})
_RETRY = frozenset({408, 409, 425, 500, 502, 520, 521, 522, 523, 524})
_QUOTA = re.compile(
    r"insufficient_quota|exceeded your current quota|billing|insufficient (?:balance|credit)", re.I
)
_CONTEXT = re.compile(
    r"context[ _](?:length|size|window)|maximum model length|too many tokens|prompt is too long|"
    r"max_(?:new_|completion_)?tokens\W.{0,60}(?:too large|must be|at most|less than)|reduce the length",
    re.IGNORECASE | re.DOTALL,
)
_PARAMETER = re.compile(
    r"unsupported|not support|not permitted|unrecogni[sz]ed|unknown (?:field|parameter|argument)|"
    r"not allowed|extra (?:inputs|fields)|unexpected keyword",
    re.IGNORECASE,
)
_PARAMETERS = ("response_format", "max_completion_tokens", "max_tokens", "temperature", "top_p", "seed")
_N = r"(\d{2,9})"
_LIMITS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"(?:maximum context length|context (?:length|size|window)|maximum model length)[^.\d]{{0,40}}{_N}",
        rf"<=\s*{_N}",
        rf"> {_N} maximum",
        rf"with {_N} maximum context",
        rf'"n_ctx":\s*{_N}',
    )
)
_PROMPTS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"{_N} (?:in (?:the|your) (?:messages|prompt)|input tokens|`inputs` tokens)",
        rf"prompt \(length {_N}\)",
        rf"too long: {_N} tokens",
        rf"prompt contains {_N} tokens",
        rf'"n_prompt_tokens":\s*{_N}',
        rf"prompt (?:has|of|with|contains at least) {_N}",
    )
)
_TOTAL = re.compile(rf"(?:requested|resulted in|given:?) (?:about )?{_N} tokens", re.IGNORECASE)
_CAP = re.compile(rf"(?:at most|less than or equal to) `?{_N}`?(?: completion| output)?", re.IGNORECASE)
_SECRET = re.compile(r"(?:Bearer\s+\S+|\b[A-Za-z]{2,6}[-_][A-Za-z0-9_*-]{12,})")


class PromptTooLong(RequestError):
    """A prompt does not fit the model's context. `excess_tokens`: about how much is to be cut."""

    excess_tokens = 0


class Refused(RequestError):
    """The endpoint does not take the request as it is, and will not take it later."""


@dataclass(frozen=True, slots=True)
class ContextLimit:
    """What an error text tells about the limits; None where it is silent. `cap` bounds the reply alone."""

    context: int | None = None
    prompt: int | None = None
    total: int | None = None
    cap: int | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """A reply that is no completion.

    `message` is what the server said, cut and without secrets. `retry_after_s` is its wish, 0 when unsaid.
    `parameter` names the field that a "parameter" fault is about; `limit` belongs to "context".
    """

    kind: Kind
    status: int
    message: str
    retry_after_s: float = 0.0
    parameter: str = ""
    limit: ContextLimit = ContextLimit()


def classify(status: int, headers: Mapping[str, str], body: bytes, *, secret: str | None = None) -> Fault:
    """What a reply with an error status means."""
    if status in {401, 403, 407}:
        # Servers like to repeat part of the key here.
        return Fault("key", status, "")
    raw = body[:20_000].decode(errors="replace")
    code, message = _said(raw)
    shown = redact(message, secret)[:MAX_MESSAGE]
    if status == 402 or (status in {400, 429} and _QUOTA.search(f"{code} {message}")):
        return Fault("quota", status, shown)
    if status in _CONGESTED:
        return Fault("congested", status, shown, retry_after(headers, time.time()))
    if status in _RETRY or status >= 500:
        return Fault("retry", status, shown)
    if 300 <= status < 400:
        return Fault("place", status, redact(headers.get("Location", ""), secret)[:MAX_MESSAGE])
    if status in {404, 405, 410}:
        return Fault("missing", status, shown)
    return _objection(status, f"{code} {message}", raw, shown)


def _objection(status: int, message: str, raw: str, shown: str) -> Fault:
    """What the server does not like about the request."""
    if _CONTEXT.search(message) or "exceed_context_size" in raw:
        return Fault("context", status, shown, limit=context_limit(raw))
    if _PARAMETER.search(message):
        # Servers name the field at fault first, and perhaps another to be used instead.
        named = sorted((raw.index(name), name) for name in _PARAMETERS if name in raw)
        if named:
            return Fault("parameter", status, shown, parameter=named[0][1])
    return Fault("refused", status, shown)


def _said(raw: str) -> tuple[str, str]:
    """The code and message of an error body, whatever its shape."""
    try:
        value: Any = json.loads(raw)
    except (ValueError, RecursionError):
        return "", " ".join(raw.split())
    while isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, dict):
        return "", str(value)
    error = value.get("error", value)
    if not isinstance(error, dict):
        return "", str(error)
    code = f"{error.get('code') or ''} {error.get('type') or ''}"
    for name in ("message", "msg", "detail", "error_description"):
        if error.get(name):
            said = error[name]
            return code, said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)
    return code, raw


def context_limit(text: str) -> ContextLimit:
    """The figures in a message about the context length."""
    text = text.replace(",", "") if re.search(r"\d,\d{3}", text) else text
    limit = ContextLimit(_first(_LIMITS, text), _first(_PROMPTS, text), _first((_TOTAL,), text))
    if limit.context is None and (cap := _first((_CAP,), text)) is not None:
        return ContextLimit(cap=cap)
    return limit


def _first(patterns: tuple[re.Pattern[str], ...], text: str) -> int | None:
    for pattern in patterns:
        if match := pattern.search(text):
            return int(match.group(1))
    return None


def retry_after(headers: Mapping[str, str], now: float) -> float:
    """Seconds to wait as `Retry-After` says, in seconds or as a date; 0 when it says nothing sensible."""
    text = headers.get("retry-after-ms", "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d+)?", text):
        return float(text) / 1000
    text = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d+)?", text):
        return float(text)
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return 0.0
    return max(0.0, when.timestamp() - now)


def redact(text: str, secret: str | None) -> str:
    """The text without the key and without what looks like one."""
    if secret:
        text = text.replace(secret, "[key]")
    return _SECRET.sub("[...]", text) if "earer" in text or "sk-" in text or "key" in text.lower() else text
