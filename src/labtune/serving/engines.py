"""The engines that can serve a model, as a table: what each serves, what it needs, how it is started.

Every engine listens at `host:port`, answers `/health` with 200 once it can be asked, speaks the OpenAI API
below `/v1` and decodes greedily where a request names no temperature, as the exam does.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from labtune.errors import MissingDependencyError, UserError

GREEDY = {"temperature": 0.0, "top_p": 1.0, "top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}
"""What vLLM draws with where a request says nothing."""

EngineName = Literal["transformers", "llama.cpp", "vllm"]
Kind = Literal["safetensors", "gguf", "hub"]
"""What is served: a folder in Hugging Face layout, a GGUF file, or an id that the engine fetches itself."""


@dataclass(frozen=True, slots=True)
class Launch:
    """What one server is started with.

    Attributes:
        model: folder, file or hub id.
        name: the id under which clients ask for it.
        host: address to listen on.
        port: a free port.
        key_env: environment variable that holds the API key; None = no key is asked for.
        context_tokens: tokens of prompt and answer together; None = as many as the model can read.
        slots: requests worked on at once, where the engine works on several.
        extra: further arguments of the engine's command line (vllm only).
    """

    model: str
    name: str
    host: str
    port: int
    key_env: str | None = None
    context_tokens: int | None = None
    slots: int | None = None
    extra: tuple[str, ...] = ()

    def to_json(self) -> str:
        """For the command line of the servers of this package; the key itself never stands there."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Launch:
        """Read what `to_json` wrote."""
        fields = json.loads(text)
        return cls(**{**fields, "extra": tuple(fields["extra"])})


@dataclass(frozen=True, slots=True)
class Engine:
    """One row of the table.

    Attributes:
        name: as `--engine` takes it.
        kinds: what it can serve.
        missing: the error when it is not installed, else None.
        command: the command line that serves.
        environment: variables that the command gets besides this process's own.
        patience_s: seconds that loading may take before the server counts as hung.
        grace_s: seconds that the server has to end by itself.
    """

    name: EngineName
    kinds: frozenset[Kind]
    missing: Callable[[], MissingDependencyError | None]
    command: Callable[[Launch], list[str]]
    environment: Callable[[Launch, Mapping[str, str]], dict[str, str]]
    patience_s: float
    grace_s: float = 10.0


def transformers_command(launch: Launch) -> list[str]:
    """The server of this package over transformers."""
    return [sys.executable, "-m", "labtune.serving.transformers_server", launch.to_json()]


def llama_command(launch: Launch) -> list[str]:
    """llama.cpp's own server, loaded from xllamacpp."""
    return [sys.executable, "-m", "labtune.serving.llama_server", launch.to_json()]


def vllm_command(launch: Launch) -> list[str]:
    """`vllm serve`, which brings its own Python environment more often than not."""
    command = ["vllm", "serve", launch.model, "--host", launch.host, "--port", str(launch.port)]
    command += ["--served-model-name", launch.name]
    # The model's generation_config.json still says which tokens end an answer, but not how answers are drawn.
    command += ["--override-generation-config", json.dumps(GREEDY)]
    if launch.context_tokens is not None:
        command += ["--max-model-len", str(launch.context_tokens)]
    if launch.slots is not None:
        command += ["--max-num-seqs", str(launch.slots)]
    return [*command, *launch.extra]


def vllm_environment(launch: Launch, environment: Mapping[str, str]) -> dict[str, str]:
    """The key goes by environment, since everybody can read a command line; nothing is reported home."""
    values = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    if launch.key_env is not None:
        values["VLLM_API_KEY"] = environment[launch.key_env]
    if Path(launch.model).exists():
        values["HF_HUB_OFFLINE"] = "1"
    return values


def _offline(_launch: Launch, _environment: Mapping[str, str]) -> dict[str, str]:
    return {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}


def _nothing(_launch: Launch, _environment: Mapping[str, str]) -> dict[str, str]:
    return {}


def _without_torch() -> MissingDependencyError | None:
    if find_spec("torch") and find_spec("transformers"):
        return None
    return MissingDependencyError.for_extra("torch and transformers", "train")


def _without_llama() -> MissingDependencyError | None:
    return None if find_spec("xllamacpp") else MissingDependencyError.for_extra("xllamacpp", "serve")


def _without_vllm() -> MissingDependencyError | None:
    if shutil.which("vllm"):
        return None
    return MissingDependencyError(
        "there is no vllm command on the PATH",
        hint="pip install vllm   (in an environment of its own; put its bin folder on the PATH)",
    )


ENGINES: dict[str, Engine] = {
    engine.name: engine
    for engine in (
        Engine(
            "transformers", frozenset({"safetensors"}), _without_torch, transformers_command, _offline, 600.0
        ),
        Engine("llama.cpp", frozenset({"gguf"}), _without_llama, llama_command, _nothing, 600.0),
        Engine(
            "vllm", frozenset({"safetensors", "hub"}), _without_vllm, vllm_command, vllm_environment, 3600.0
        ),
    )
}


def choose_engine(wanted: str, kind: Kind, *, has_cuda: bool, has_vllm: bool) -> Engine:
    """The engine for what is to be served; `auto` = vLLM where it can run, else what needs least.

    Raises:
        UserError: there is no such engine, or it cannot serve this.
    """
    if wanted == "auto":
        if kind == "gguf":
            return ENGINES["llama.cpp"]
        prefers_vllm = kind == "hub" or (has_cuda and has_vllm)
        return ENGINES["vllm" if prefers_vllm else "transformers"]
    engine = ENGINES.get(wanted)
    if engine is None:
        raise UserError(f"there is no engine {wanted!r}", hint=f"engines: auto, {', '.join(ENGINES)}")
    if kind in engine.kinds:
        return engine
    if wanted == "llama.cpp":
        hint = "labtune export --format gguf --out DIR, then labtune serve DIR"
    else:
        hint = "--engine llama.cpp serves GGUF files" if kind == "gguf" else "--engine vllm fetches hub ids"
    raise UserError(f"the engine {wanted} cannot serve {_NAMES[kind]}", hint=hint)


_NAMES: dict[Kind, str] = {
    "safetensors": "a folder of safetensors",
    "gguf": "a GGUF file",
    "hub": "a model that is not on this machine",
}


def has_cuda() -> bool:
    """Whether an NVIDIA driver is here, without loading torch."""
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None
