"""Models to talk to, opened by name: runs and base of a lab, files, servers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from labtune.config.endpoint import ANY_MODEL, EndpointConfig
from labtune.errors import ConfigError, UserError
from labtune.workflow.lab import Lab
from labtune.workflow.target import BASE, TUNED, Target, find_target

if TYPE_CHECKING:
    from labtune.serving.records import ServerRecord
    from labtune.serving.speaker import Speaker

SERVED = "served"


@dataclass(frozen=True, slots=True)
class Voice:
    """A model that is open.

    Attributes:
        name: how it was asked for.
        speaker: who answers.
        live: which model of which run that is, in one line.
        run: number of the run that tuned it, or None.
    """

    name: str
    speaker: Speaker
    live: str
    run: str | None = None


@dataclass(frozen=True, slots=True)
class Address:
    """How to reach a served model beside its URL: model name and variable of the key, None = not needed."""

    model: str | None = None
    key_env: str | None = None


class Voices:
    """Opens models and keeps them open until they are dropped or the block ends.

    Args:
        lab: where runs are looked for; None outside of any lab.
        addresses: what is known of endpoints beside their URLs.
    """

    def __init__(self, lab: Lab | None, addresses: Mapping[str, Address] | None = None) -> None:
        self._lab = lab
        self._addresses = addresses or {}
        self._open: dict[str, tuple[Voice, ExitStack]] = {}

    def __enter__(self) -> Voices:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.keep_only()

    def open(self, name: str) -> Voice:
        """The model of this name: `tuned`, `base`, a run's number, a path, a URL, or `served`.

        Raises:
            UserError: there is no such model.
            ModelError: it cannot be loaded or reached.
        """
        if name not in self._open:
            stack = ExitStack()
            try:
                self._open[name] = (self._opened(name, stack), stack)
            except BaseException:
                stack.close()
                raise
        return self._open[name][0]

    def keep_only(self, *names: str) -> None:
        """Close all other models and give their memory back."""
        from labtune.models.device_memory import release_memory

        dropped = [name for name in self._open if name not in names]
        for name in dropped:
            _, stack = self._open.pop(name)
            stack.close()
        if dropped:
            release_memory()

    def _opened(self, name: str, stack: ExitStack) -> Voice:
        if "://" in name:
            return self._reached(name, name, self._addresses.get(name, Address()), stack)
        if name == SERVED:
            return self._served(stack)
        target = find_target(self._lab, name)
        if target.kind == "gguf":
            return self._started(name, target, stack)
        from labtune.models.hf import HfChatModel

        return Voice(name, HfChatModel.load(target.path, name=target.live), target.live, target.run)

    def _started(self, name: str, target: Target, stack: ExitStack) -> Voice:
        """A GGUF file, by a server of its own for as long as it is talked to."""
        from labtune.workflow.serve import ServeOptions, serve

        served = stack.enter_context(serve(self._lab, target, ServeOptions(port=0)))
        voice = self._reached(name, served.record.url, Address(served.record.model), stack)
        return Voice(name, voice.speaker, target.live, target.run)

    def _served(self, stack: ExitStack) -> Voice:
        from labtune.workflow.serve import servers_of

        found = servers_of(self._lab) if self._lab is not None else []
        if not found:
            raise UserError("no model of this lab is being served", hint="labtune serve")
        record = found[-1]
        return self._reached(SERVED, record.url, Address(record.model, record.key_env), stack)

    def _reached(self, name: str, url: str, address: Address, stack: ExitStack) -> Voice:
        from labtune.models.endpoint.speaker import open_speaker

        config = endpoint_config(url, address)
        speaker = stack.enter_context(open_speaker(config))
        live, run = f"{speaker.name} at {config.endpoint}", None
        for record in self._records():
            if record.url == config.endpoint and record.model == speaker.name:
                live, run = f"{record.live}, served by {record.engine} at {record.url}", record.run
        return Voice(name, speaker, live, run)

    def _records(self) -> list[ServerRecord]:
        from labtune.workflow.serve import servers_of

        return servers_of(self._lab) if self._lab is not None else []


def endpoint_config(url: str, address: Address) -> EndpointConfig:
    """The settings of an endpoint that was named by its URL.

    Raises:
        ConfigError: the URL or the name of the key's variable is malformed.
    """
    from pydantic import ValidationError

    try:
        return EndpointConfig(
            endpoint=url, model=address.model or ANY_MODEL, api_key_env=address.key_env, attempts=1
        )
    except ValidationError as error:
        first = error.errors()[0]
        name = {"endpoint": "--endpoint", "api_key_env": "--key-env"}.get(str(first["loc"][0]), "--model")
        raise ConfigError(f"{name}: {first['msg'].removeprefix('Value error, ')}") from error


def pair_to_compare(live: str) -> tuple[str, str]:
    """The two models that `/compare` sets side by side: the base, and the live one or the tuned."""
    return BASE, TUNED if live == BASE else live


def conversations_folder(lab: Lab | None) -> Path:
    """Where conversations are kept: in the lab, or outside of any in the user's own folder."""
    if lab is not None:
        return lab.root / "chats"
    home = os.environ.get("XDG_DATA_HOME", "")
    return (Path(home) if home else Path.home() / ".local" / "share") / "labtune" / "chats"
