"""How the simulated teacher behaves, as an object and as a command line."""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass, field, fields


@dataclass(frozen=True, slots=True)
class Faults:
    """Share of requests (0..1) that each fault hits.

    Faults of the transport are drawn anew at each attempt; faults of the content belong to the body, so that
    asking the same again brings the same reply.
    """

    rate_limit: float = 0.0
    """429 with Retry-After, in bursts of `rate_limit_burst` requests."""
    unavailable: float = 0.0
    """503."""
    reset: float = 0.0
    """The connection breaks before a byte of the reply."""
    cut: float = 0.0
    """The connection breaks in the middle of the reply."""
    slow: float = 0.0
    """The reply takes `slow_factor` times as long."""
    truncated: float = 0.0
    """The text ends half way, finish reason "length"."""
    malformed: float = 0.0
    """JSON that is not quite JSON; without JSON, an empty text."""
    wrong_language: float = 0.0
    refusal: float = 0.0
    content_filter: float = 0.0
    """Empty text, finish reason "content_filter"."""
    rate_limit_burst: float = 8
    retry_after_s: float = 0.2
    slow_factor: float = 20.0

    TRANSPORT = ("rate_limit", "unavailable", "reset", "cut", "slow")
    CONTENT = ("truncated", "malformed", "wrong_language", "refusal", "content_filter")


@dataclass(frozen=True, slots=True)
class TeacherConfig:
    """How the teacher behaves. `latency_ms` is the mean; `sigma` > 0 makes it log-normal."""

    model: str = "simulated-teacher"
    max_model_len: int = 32768
    slots: int = 32
    queue: int | None = None
    """Requests that may wait for a slot; more are answered 429. None: any number."""
    latency_ms: float = 0.0
    sigma: float = 0.0
    json_schema: str = "yes"
    """"yes"; "reject" (400 when asked); "ignore" (plain reply unless the prompt asks for JSON)."""
    approve: float = 0.95
    """Share of requests in which a judge says yes."""
    api_key: str | None = None
    seed: int = 0
    keep: bool = False
    """Keep every request's body, for tests that look at them."""
    log: str | None = None
    """File to which every request's body is added, a line each."""
    faults: Faults = field(default_factory=Faults)


def arguments_of(config: TeacherConfig) -> list[str]:
    """The command line that gives this configuration."""
    words = []
    for item in fields(config):
        value = getattr(config, item.name)
        if item.name == "faults" or value is None:
            continue
        flag = f"--{item.name.replace('_', '-')}"
        words += ([flag] if value else []) if isinstance(value, bool) else [flag, str(value)]
    for name, value in asdict(config.faults).items():
        words += ["--fault", f"{name}={value}"]
    return words


def parse(arguments: list[str]) -> tuple[str, int, TeacherConfig]:
    """Host, port and configuration of a command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.simulated_teacher", description="A simulated OpenAI-compatible teacher."
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000, help="0: any free one")
    parser.add_argument("--model", default="simulated-teacher")
    parser.add_argument("--max-model-len", type=int, default=32768)
    parser.add_argument("--slots", type=int, default=32)
    parser.add_argument("--queue", type=int, default=None)
    parser.add_argument("--latency-ms", type=float, default=0.0)
    parser.add_argument("--sigma", type=float, default=0.0)
    parser.add_argument("--json-schema", choices=("yes", "reject", "ignore"), default="yes")
    parser.add_argument("--approve", type=float, default=0.95)
    parser.add_argument("--api-key", default=None)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--log", default=None)
    parser.add_argument("--fault", action="append", default=[], metavar="NAME=SHARE", help="repeatable")
    options = vars(parser.parse_args(arguments))
    host, port, given = options.pop("host"), options.pop("port"), options.pop("fault")
    faults = Faults(**{name: float(value) for name, value in (text.split("=", 1) for text in given)})
    return host, port, TeacherConfig(**options, faults=faults)
