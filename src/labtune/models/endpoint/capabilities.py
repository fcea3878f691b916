"""What an endpoint says about itself: kind of server, models, context length, slots; and what was found out.

What was found out by trying (JSON mode, fields it refuses) is kept in the cache folder and tried again when
the endpoint, the model or what the endpoint says about the model changes.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from labtune.artifact import content_hash, write_json
from labtune.config.endpoint import EndpointConfig
from labtune.errors import EndpointError
from labtune.models.endpoint.faults import Fault, classify
from labtune.models.endpoint.transport import HttpReply, Interrupted, Overloaded, Transport

CACHE_FILE = "endpoints.json"
OLLAMA_CONTEXT = 4096
"""Tokens that Ollama gives a model unless it is told otherwise; longer prompts lose their beginning."""

JsonMode = Literal["schema", "object", "text"]
Kind = Literal["vllm", "llama.cpp", "ollama", "other"]
_CONTEXT_FIELDS = (
    "max_model_len",
    "context_length",
    "context_window",
    "max_context_length",
    "loaded_context_length",
    "max_input_tokens",
)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an endpoint says.

    `models` is empty when it lists none. `context_tokens` None = it does not say. `slots` is how many
    requests it works on at once, where it says so. `cuts_prompts`: too long a prompt silently loses its
    beginning.
    """

    kind: Kind = "other"
    models: tuple[str, ...] = ()
    context_tokens: int | None = None
    context_source: str = ""
    slots: int | None = None
    cuts_prompts: bool = False
    fingerprint: str = ""

    def nearest(self, model: str) -> str | None:
        """The listed model whose name is most like `model`."""
        bare = {name.rsplit("/", 1)[-1].lower(): name for name in self.models}
        found = difflib.get_close_matches(model.rsplit("/", 1)[-1].lower(), bare, n=1, cutoff=0.3)
        return bare[found[0]] if found else None


@dataclass(slots=True)
class Findings:
    """What was found out by trying. `dropped` names request fields that the endpoint refuses."""

    json_mode: JsonMode | None = None
    dropped: list[str] = field(default_factory=list)
    fingerprint: str = ""


async def discover(transport: Transport, config: EndpointConfig) -> Capabilities:
    """Ask an endpoint about itself.

    Raises:
        EndpointError: it cannot be used: key refused, a web page instead of an API, no such place.
        Interrupted: no reply came.
    """
    entries = _entries(await transport.get(f"{config.endpoint}/models"), config, transport.secret)
    entry = _entry_of(entries, config.model)
    models = tuple(str(item["id"]) for item in entries if item.get("id"))
    kind = _kind(entries, config)
    context, source, slots, cuts = _stated_context(entry), "the model list", None, False
    root = config.endpoint.removesuffix("/v1")
    if kind == "llama.cpp":
        properties = _object(await _try_get(transport, f"{root}/props"))
        settings = properties.get("default_generation_settings")
        stated = _whole(settings.get("n_ctx")) if isinstance(settings, Mapping) else None
        slots = _whole(properties.get("total_slots"))
        context, source = (stated, "/props") if stated else (context, source)
    elif kind == "ollama":
        context, source = await _ollama_context(transport, root, config.model)
        cuts = True
    if config.context_tokens is not None:
        context, source = config.context_tokens, "the lab file"
    stable = {
        name: value for name, value in entry.items() if name not in {"created", "permission", "modified_at"}
    }
    return Capabilities(
        kind, models, context, source if context else "", slots, cuts, content_hash(kind, stable)[:16]
    )


def _entries(reply: HttpReply, config: EndpointConfig, secret: str | None) -> list[dict[str, Any]]:
    if reply.status in {404, 405, 500, 501}:
        # Some gateways list no models, some servers fail at it alone; the first chat tells more.
        return []
    if reply.status != 200:
        fault = classify(reply.status, reply.headers, reply.body, secret=secret)
        if fault.kind in {"congested", "retry"}:
            raise Overloaded(f"status {fault.status}{f': {fault.message}' if fault.message else ''}")
        raise unusable(fault, config, Capabilities())
    value = _object(reply)
    if not value:
        if not _is_json(reply.body):
            raise not_an_api(config)
        return []
    data = value.get("data", value.get("models"))
    return [item for item in data if isinstance(item, dict)] if isinstance(data, list) else []


def not_an_api(config: EndpointConfig) -> EndpointError:
    """The error for a server that answers with something else than JSON."""
    return EndpointError(
        f"{config.endpoint} answers with a web page or text, not with JSON",
        hint="the base URL of an OpenAI-compatible API usually ends in /v1",
    )


def unusable(fault: Fault, config: EndpointConfig, known: Capabilities) -> EndpointError:
    """The error for a fault that no further request can escape."""
    where, said = config.endpoint, f": {fault.message}" if fault.message else ""
    if fault.kind == "key":
        if fault.status == 407:
            return EndpointError(
                f"the proxy before {where} wants a password", hint="export HTTPS_PROXY with user and password"
            )
        if config.api_key_env is None:
            return EndpointError(
                f"{where} wants an API key (status {fault.status})",
                hint="export it as a variable and set api_key_env: NAME_OF_IT",
            )
        return EndpointError(
            f"{where} refuses the key in {config.api_key_env} (status {fault.status})",
            hint=f"check that {config.api_key_env} holds a valid key that may use {config.model}",
        )
    if fault.kind == "quota":
        return EndpointError(
            f"the account at {where} has no credit left{said}",
            hint="top it up and run again; replies are kept",
        )
    if fault.kind == "missing":
        return _missing(fault, config, known)
    if fault.kind == "place":
        return EndpointError(f"{where} redirects to {fault.message}", hint="write that address in `endpoint`")
    return EndpointError(f"{where} answers with status {fault.status}{said}", hint="look at the server's log")


def _missing(fault: Fault, config: EndpointConfig, known: Capabilities) -> EndpointError:
    if known.models and config.model not in known.models:
        near = known.nearest(config.model)
        listed = ", ".join(known.models[:5]) + (" ..." if len(known.models) > 5 else "")
        hint = f"did you mean {near!r}?" if near else f"it serves {listed}"
        return EndpointError(f"{config.endpoint} serves no model {config.model!r}", hint=hint)
    said = f": {fault.message}" if fault.message and "<" not in fault.message else ""
    return EndpointError(
        f"{config.endpoint} knows no /chat/completions or no model {config.model!r} "
        f"(status {fault.status}){said}",
        hint="check `model`, and that `endpoint` is the base URL, usually ending in /v1",
    )


def _entry_of(entries: Sequence[dict[str, Any]], model: str) -> dict[str, Any]:
    for entry in entries:
        if entry.get("id") in {model, f"{model}:latest"}:
            return entry
    return entries[0] if len(entries) == 1 else {}


def _kind(entries: Sequence[dict[str, Any]], config: EndpointConfig) -> Kind:
    owners = {str(entry.get("owned_by", "")).lower() for entry in entries}
    if "vllm" in owners:
        return "vllm"
    if "llamacpp" in owners or any(isinstance(entry.get("meta"), dict) for entry in entries):
        return "llama.cpp"
    if "library" in owners or ":11434" in config.endpoint:
        return "ollama"
    return "other"


def _stated_context(entry: Mapping[str, Any]) -> int | None:
    meta = entry.get("meta")
    for source in (entry, meta if isinstance(meta, Mapping) else {}):
        for name in (*_CONTEXT_FIELDS, "n_ctx"):
            if (found := _whole(source.get(name))) is not None:
                return found
    return None


async def _ollama_context(transport: Transport, root: str, model: str) -> tuple[int | None, str]:
    running = _object(await _try_get(transport, f"{root}/api/ps")).get("models")
    for item in running if isinstance(running, list) else []:
        is_it = isinstance(item, dict) and item.get("name") in {model, f"{model}:latest"}
        if is_it and (loaded := _whole(item.get("context_length"))):
            return loaded, "the loaded model (/api/ps)"
    shown = _object(await _try_get(transport, f"{root}/api/show", json.dumps({"model": model}).encode()))
    for line in str(shown.get("parameters", "")).splitlines():
        name, _, value = line.strip().partition(" ")
        if name == "num_ctx" and value.strip().isdigit():
            return int(value), "num_ctx of the model"
    facts = shown.get("model_info")
    most = (
        [_whole(value) for name, value in facts.items() if name.endswith(".context_length")]
        if isinstance(facts, dict)
        else []
    )
    return min(
        [OLLAMA_CONTEXT, *(n for n in most if n)]
    ), "Ollama's default (OLLAMA_CONTEXT_LENGTH raises it)"


async def _try_get(transport: Transport, url: str, body: bytes | None = None) -> HttpReply | None:
    try:
        return await transport.get(url, body)
    except Interrupted:
        return None


def _object(reply: HttpReply | None) -> dict[str, Any]:
    if reply is None or reply.status != 200:
        return {}
    try:
        value = json.loads(reply.body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {"data": value}


def _is_json(body: bytes) -> bool:
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def read_findings(cache_dir: Path, config: EndpointConfig, fingerprint: str) -> Findings:
    """What earlier runs found out about this endpoint and model, when it still is what it was."""
    known = _read_cache(cache_dir).get(_cache_key(config))
    if not isinstance(known, dict) or known.get("fingerprint") != fingerprint:
        return Findings(fingerprint=fingerprint)
    mode, dropped = known.get("json_mode"), known.get("dropped")
    return Findings(
        mode if mode in {"schema", "object", "text"} else None,
        [str(name) for name in dropped] if isinstance(dropped, list) else [],
        fingerprint,
    )


def write_findings(cache_dir: Path, config: EndpointConfig, findings: Findings) -> None:
    """Keep what was found out."""
    known = _read_cache(cache_dir)
    known[_cache_key(config)] = {"endpoint": config.endpoint, "model": config.model, **asdict(findings)}
    write_json(cache_dir / CACHE_FILE, known)


def _cache_key(config: EndpointConfig) -> str:
    return content_hash(config.endpoint, config.model, config.extra_body)[:16]


def _read_cache(cache_dir: Path) -> dict[str, Any]:
    # The cache may be gone or from another version; then things are tried again.
    try:
        value = json.loads((cache_dir / CACHE_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
