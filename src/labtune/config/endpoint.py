"""How to reach a teacher or judge: behind an OpenAI-compatible API, or with a server that labtune starts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, Discriminator, Field, Tag, field_validator

from labtune.config.section import Section
from labtune.types import Json

_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]{0,63}")
_SECRET_NAMES = re.compile(
    r"(?:api|access|secret|auth)?[_-]?(?:key|token|secret|password)|authorization|bearer", re.IGNORECASE
)
_NEVER_SECRET = frozenset({"endpoint", "model", "ca_file", "gguf", "vllm"})
"""Settings whose values may look like a key: host names, names of models."""
_SECRET_SHAPE = re.compile(
    r"(?:Bearer\s+\S{8,}|\b(?:sk|pk|rk|gsk|hf|xai|nvapi|csk|tgp)[-_]\S{12,})", re.IGNORECASE
)


ANY_MODEL = "*"
"""The model of an endpoint that is still to be asked which it serves."""


class PriceConfig(Section):
    """What a model's tokens cost; it overrides the price table that labtune brings."""

    input: float = Field(ge=0, description="Price of a million prompt tokens, in `currency`.")
    output: float = Field(ge=0, description="Price of a million completion tokens, in `currency`.")
    currency: str = Field("USD", pattern="^[A-Z]{3}$", description="Currency of both prices, three letters.")


class EndpointConfig(Section):
    """An OpenAI-compatible endpoint. Only `endpoint` and `model` are needed."""

    endpoint: str = Field(
        description="Base URL of an OpenAI-compatible API, such as http://localhost:8000/v1 (/v1 is added "
        "to a URL without a path)."
    )
    model: str = Field(min_length=1, description="Model name that the endpoint serves.")
    api_key_env: str | None = Field(
        None,
        description="Environment variable that holds the API key; None = no key is sent. The key itself is "
        "refused in files and flags.",
    )
    max_concurrency: int | None = Field(
        None,
        ge=1,
        le=8192,
        description="Most requests in flight; None = found by trying, up to 256.",
    )
    rpm: int | None = Field(None, ge=1, description="Most requests a minute; None = no bound.")
    tpm: int | None = Field(
        None, ge=1, description="Most tokens a minute, prompt and completion; None = no bound."
    )
    timeout_s: float = Field(300.0, gt=0, description="Seconds after which an unanswered request is retried.")
    attempts: int = Field(
        8, ge=1, le=100, description="Times that one request is sent before it is given up."
    )
    context_tokens: int | None = Field(
        None,
        ge=64,
        description="Tokens that prompt and completion may have together; None = ask the endpoint.",
    )
    json_mode: Literal["auto", "schema", "object", "text"] = Field(
        "auto",
        description="How JSON replies are asked for: schema and object use the endpoint's response_format, "
        "text only the prompt; auto = tried once per endpoint.",
    )
    ca_file: str | None = Field(
        None, description="PEM file of certificates trusted besides the system's (SSL_CERT_FILE works too)."
    )
    prices: PriceConfig | None = Field(
        None, description="What tokens cost: {input, output} per million; None = labtune's dated table."
    )
    extra_body: dict[str, Json] = Field(
        default_factory=dict,
        description="Further fields of each request, as in {chat_template_kwargs: {enable_thinking: false}}.",
    )

    @field_validator("endpoint")
    @classmethod
    def _is_base_url(cls, value: str) -> str:
        parts = urlsplit(value.strip())
        if parts.username or parts.password or parts.query:
            raise ValueError("a URL with a user, a password or a query may hold a key; use api_key_env")
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("a base URL begins with http:// or https:// and a host")
        path = parts.path.rstrip("/").removesuffix("/chat/completions").rstrip("/")
        return f"{parts.scheme}://{parts.netloc}{path or '/v1'}"

    @field_validator("api_key_env")
    @classmethod
    def _names_a_variable(cls, value: str | None) -> str | None:
        if value is not None and not _VARIABLE.fullmatch(value):
            raise ValueError(
                "api_key_env is the NAME of an environment variable, in capitals such as OPENAI_API_KEY, "
                "never the key"
            )
        return value


class LocalConfig(Section):
    """A model for which labtune starts a server, with the first question that the journal cannot answer."""

    slots: int = Field(4, ge=1, le=4096, description="Requests that the local server works on at once.")
    context_tokens: int | None = Field(
        None,
        ge=64,
        description="Tokens that prompt and completion may have together; None = what the model was trained "
        "for, for a GGUF file at most 8192.",
    )
    timeout_s: float = Field(600.0, gt=0, description="Seconds after which an unanswered request is retried.")
    json_mode: Literal["auto", "schema", "object", "text"] = Field(
        "auto", description="How JSON replies are asked for, as for an endpoint."
    )
    extra_body: dict[str, Json] = Field(
        default_factory=dict,
        description="Further fields of each request, as in {chat_template_kwargs: {enable_thinking: false}}.",
    )


class GgufConfig(LocalConfig):
    """A GGUF file, served by llama.cpp on this machine."""

    gguf: str = Field(min_length=1, description="GGUF file, relative to the lab.")


class VllmConfig(LocalConfig):
    """A model served by vLLM on this machine's GPUs."""

    vllm: str = Field(
        min_length=1, description="Hub id, or folder in Hugging Face layout (absolute, or beginning with ./)."
    )
    slots: int = Field(256, ge=1, le=8192, description="Requests that vLLM works on at once.")
    arguments: list[str] = Field(
        default_factory=list,
        description="Further arguments of `vllm serve`, as in [--tensor-parallel-size, '2'].",
    )


ModelConfig = EndpointConfig | GgufConfig | VllmConfig
"""A model in the role of teacher or judge."""


def _way(value: object) -> str:
    """Which of the ways to a model a setting means."""
    if isinstance(value, str):
        return "builtin"
    names = type(value).model_fields if isinstance(value, BaseModel) else value
    found = names if isinstance(names, Mapping) else {}
    return next((name for name in ("gguf", "vllm") if name in found), "endpoint")


_Endpoint = Annotated[EndpointConfig, Tag("endpoint")]
_Gguf = Annotated[GgufConfig, Tag("gguf")]
_Vllm = Annotated[VllmConfig, Tag("vllm")]
_Builtin = Annotated[Literal["builtin"], Tag("builtin")]
TeacherSetting = Annotated[_Builtin | _Endpoint | _Gguf | _Vllm, Discriminator(_way)]
"""`builtin`, {endpoint, model}, {gguf} or {vllm}."""
JudgeSetting = Annotated[_Endpoint | _Gguf | _Vllm, Discriminator(_way)]


def secrets_in(value: object, path: str = "") -> Iterator[str]:
    """Dotted keys below `value` (nested mappings and lists) that hold what looks like an API key."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            if str(name).rpartition(".")[2] in _NEVER_SECRET:
                continue
            key = f"{path}.{name}" if path else str(name)
            if isinstance(item, str) and item and _SECRET_NAMES.fullmatch(str(name).rpartition(".")[2]):
                yield key
            else:
                yield from secrets_in(item, key)
    elif isinstance(value, list):
        for item in value:
            yield from secrets_in(item, path)
    elif isinstance(value, str) and _SECRET_SHAPE.search(value):
        yield path
