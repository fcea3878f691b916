"""A GGUF file in this process, through llama.cpp (the xllamacpp wheel).

The engine is llama.cpp's own server on a loopback port behind a random key: the code that serves is the code
that is tested. Its log does not reach the terminal.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import math
import os
import secrets
import signal
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from labtune.errors import MissingDependencyError, ModelError
from labtune.models.conversation import harmless
from labtune.models.gguf_header import GgufHeader, read_header
from labtune.protocols import Reply, Sampling
from labtune.types import Message

SMALL_BYTES = 64 * 2**20
"""Files up to this size run on one thread: llama.cpp's threads wait for each other by spinning, which costs a
small model on a busy machine more than its arithmetic."""

TIMEOUT_S = 3600
"""Longest wait for one reply: a large model on a small CPU is slow, not dead."""


@dataclass(frozen=True, slots=True)
class Continuation:
    """What the model says after given tokens, always taking the likeliest.

    Attributes:
        tokens: the new tokens, without the one that ends the reply.
        logprobs: of each new token's place, the ending one's included, the likeliest tokens with their
            log-probabilities (nats); empty where the engine does not tell.
        end: the token that ended the reply; None when it ran into the limit.
    """

    tokens: tuple[int, ...]
    logprobs: tuple[dict[int, float], ...]
    end: int | None = None

    @property
    def stopped(self) -> bool:
        """Whether the reply ended by itself."""
        return self.end is not None


class LlamaCppModel:
    """A `ChatModel` over a GGUF file. `close` frees the memory; `with` does so too."""

    def __init__(self, server: Any, header: GgufHeader, key: str, *, name: str, context: int) -> None:
        self._server: Any = server
        self._header = header
        self._key = key
        self._name = name
        self._context = context
        self._control = header.control_tokens()

    @classmethod
    def load(
        cls, path: Path, *, name: str = "", context: int | None = None, threads: int | None = None
    ) -> LlamaCppModel:
        """Load a GGUF file.

        Args:
            path: the file.
            name: identity for manifests and reports; empty: the name in the file.
            context: tokens that prompt and answer may have together; None: what the model was made for, but
                no more than it was trained on before positions are stretched.
            threads: None: as many as this process may use, one for a small file.

        Raises:
            ModelError: the file is missing, damaged, or of a kind that this llama.cpp cannot run.
            MissingDependencyError: xllamacpp or gguf is not installed.
        """
        header = read_header(path)
        wanted = context or default_context(header)
        key = secrets.token_hex(16)
        many = 1 if path.stat().st_size <= SMALL_BYTES else _usable_cores()
        server = _start(path, context=wanted, threads=threads or many, key=key)
        return cls(server, header, key, name=name or header.name, context=wanted)

    def __enter__(self) -> LlamaCppModel:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the engine and free its memory."""
        self._server = None

    @property
    def name(self) -> str:
        """Identity for manifests and journals."""
        return self._name

    @property
    def context_length(self) -> int:
        """Tokens that prompt and answer may have together."""
        return self._context

    def complete(self, chats: Sequence[Sequence[Message]], sampling: Sampling) -> list[Reply]:
        """Complete each chat; replies in the order of `chats`. Greedy when `sampling.temperature` is 0.

        Raises:
            ModelError: a chat does not fit the context, or the engine failed.
        """
        replies = []
        for chat in chats:
            prompt = self.prompt_ids(chat)
            found = self._post("/completion", {"prompt": prompt, **_options(sampling), "return_tokens": True})
            stopped = found["stop_type"] == "eos"
            replies.append(Reply(found["content"], stopped, len(prompt), int(found["tokens_predicted"])))
        return replies

    def stream(self, chat: Sequence[Message], sampling: Sampling) -> Iterator[str]:
        """Complete one chat and yield its text piece by piece. Raises ModelError."""
        body = {"prompt": self.prompt_ids(chat), **_options(sampling), "stream": True}
        with self._request("/completion", body) as response:
            for line in response:
                if line.startswith(b"data: "):
                    piece = json.loads(line[6:])
                    if "error" in piece:
                        raise ModelError(f"llama.cpp failed: {piece['error'].get('message', '')}")
                    yield piece.get("content", "")

    def prompt_ids(self, chat: Sequence[Message]) -> list[int]:
        """The tokens of a chat up to the answer, by the template and tokenizer in the file.

        Text that spells a special token is broken up, as for the student in training. Raises ModelError.
        """
        (turns,) = harmless([chat], self._control)
        prompt = self._post("/apply-template", {"messages": turns})["prompt"]
        return self.tokenize(prompt, special=True)

    def tokenize(self, text: str, *, special: bool = False) -> list[int]:
        """Tokens of a text; with `special`, special tokens are read and the beginning of a text is marked."""
        body = {"content": text, "add_special": special, "parse_special": special}
        ids: list[int] = self._post("/tokenize", body)["tokens"]
        return ids

    def continue_tokens(self, prompt: Sequence[int], *, max_tokens: int, top: int) -> Continuation:
        """Continue given tokens greedily and say how likely the `top` likeliest were at each place.

        Raises:
            ModelError: the prompt does not fit the context, or the engine failed.
        """
        found = self._ask_greedily(prompt, max_tokens, top)
        tokens = [int(token) for token in found["tokens"]]
        places = _likeliest(found)
        if len(places) != len(tokens):
            # llama.cpp leaves out places where a character is not complete yet: ask for each place alone.
            places = [self._place([*prompt, *tokens[:count]], top) for count in range(len(tokens))]
        stopped = found["stop_type"] == "eos"
        if stopped:
            return Continuation(tuple(tokens[:-1]), tuple(places), tokens[-1])
        return Continuation(tuple(tokens), tuple(places))

    def _place(self, prompt: Sequence[int], top: int) -> dict[int, float]:
        return (_likeliest(self._ask_greedily(prompt, 1, top, cached=True)) or [{}])[0]

    def _ask_greedily(
        self, prompt: Sequence[int], max_tokens: int, top: int, *, cached: bool = False
    ) -> dict[str, Any]:
        extra = {"n_probs": top, "return_tokens": True, "cache_prompt": cached}
        return self._post("/completion", {"prompt": list(prompt), **_options(Sampling(max_tokens)), **extra})

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        with self._request(path, body) as response:
            value: dict[str, Any] = json.loads(response.read())
        return value

    @contextlib.contextmanager
    def _request(self, path: str, body: dict[str, Any]) -> Iterator[http.client.HTTPResponse]:
        if self._server is None:
            raise ModelError(f"{self._name} is closed")
        place = urlsplit(self._server.listening_address)
        connection = http.client.HTTPConnection(place.hostname or "127.0.0.1", place.port, timeout=TIMEOUT_S)
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._key}"}
        try:
            connection.request("POST", path, json.dumps(body).encode(), headers)
            response = connection.getresponse()
            if response.status != http.client.OK:
                raise ModelError(f"llama.cpp refuses: {_reason(response.read())}")
            yield response
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ModelError(f"llama.cpp failed: {error or type(error).__name__}") from error
        finally:
            connection.close()


def require_engine() -> Any:
    """The module of llama.cpp. Raises MissingDependencyError when it is not installed."""
    try:
        import xllamacpp
    except ImportError as error:
        raise MissingDependencyError.for_extra("xllamacpp (llama.cpp)", "serve") from error
    return xllamacpp


def default_context(header: GgufHeader) -> int:
    """Tokens that a file's model computes as it was trained: before any stretching of its positions."""
    stated = header.context_length or 2048
    return min(stated, header.original_context_length or stated)


def _likeliest(found: dict[str, Any]) -> list[dict[int, float]]:
    return [
        {int(entry["id"]): _number(entry["logprob"]) for entry in place["top_logprobs"]}
        for place in found.get("completion_probabilities", ())
    ]


def _number(value: float | None) -> float:
    """JSON has no NaN: llama.cpp writes null for what is no number."""
    return math.nan if value is None else float(value)


def _options(sampling: Sampling) -> dict[str, Any]:
    """The request's fields. Only temperature and top_p shape a draw, as in the transformers engine."""
    return {
        "n_predict": sampling.max_tokens,
        "temperature": max(sampling.temperature, 0.0),
        "top_p": sampling.top_p,
        "top_k": 0,
        "min_p": 0.0,
        "seed": sampling.seed,
        "cache_prompt": False,
    }


def _start(path: Path, *, context: int, threads: int, key: str) -> Any:
    xllamacpp = require_engine()
    params = xllamacpp.CommonParams()
    params.model.path = str(path.resolve())
    params.n_ctx, params.n_parallel = context, 1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.warmup = params.fit_params = params.ui = False
    params.endpoint_metrics = True
    params.cache_ram_mib = 0
    params.port, params.api_keys = 0, [key]
    params.verbosity = -1
    with _own_signals():
        try:
            server = xllamacpp.Server(params)
            # Waits for the engine's loop: an engine closed before its loop begins would never end.
            server.handle_metrics()
            return server
        except (RuntimeError, ValueError) as error:
            raise ModelError(
                f"llama.cpp cannot load {path}",
                hint="it may need more memory, or a newer llama.cpp: pip install -U xllamacpp",
            ) from error


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Take back Ctrl-C and SIGTERM, which the engine claims for itself when it starts."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():
                if handler is not None:
                    signal.signal(number, handler)


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def _reason(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return body[:200].decode("utf-8", errors="replace")
