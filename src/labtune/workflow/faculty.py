"""The models that a lab names as teacher and judge, opened over its journal and under its budget."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from labtune.config.endpoint import EndpointConfig, GgufConfig, ModelConfig, VllmConfig
from labtune.config.lab import GenerateConfig
from labtune.errors import ConfigError
from labtune.generation.flow.pipeline import FlowPipeline, load_flow
from labtune.generation.school import Faculty
from labtune.types import Emit, Json
from labtune.workflow.lab import LAB_FILE, Lab

if TYPE_CHECKING:
    from labtune.models.endpoint.budget import Budget, Meter
    from labtune.models.endpoint.client import EndpointClient
    from labtune.serving.local import LocalModel

DEFAULT_PIPELINE = "full"


@asynccontextmanager
async def open_faculty(lab: Lab, teacher: ModelConfig, emit: Emit) -> AsyncIterator[Faculty]:
    """Teacher and judge, closed at the end of the block. Nothing is sent before the first request.

    Servers that labtune starts for them are gone after the block: their memory is free for training.

    Raises:
        ConfigError: the budget is malformed, or bounds money while a price is not known.
        MissingDependencyError: the engine of a local model is not installed.
    """
    from labtune.models.endpoint.budget import Budget, Meter
    from labtune.models.journal import Journal, JournaledModel
    from labtune.models.journal_file import JOURNAL_FILE

    judge = lab.config.lab.judge
    # Equal settings are one client with one limiter, and one server.
    wanted = [teacher] if judge is None or judge == teacher else [teacher, judge]
    budget = Budget.parse(lab.budget) if lab.budget else None
    opening = _Opening(lab, Meter(budget), emit, _currency(wanted, budget))
    async with AsyncExitStack() as stack:
        journal = stack.enter_context(Journal(lab.cache_dir / JOURNAL_FILE))
        clients = [await stack.enter_async_context(opening.open(config)) for config in wanted]
        yield Faculty(
            JournaledModel(clients[0], journal),
            JournaledModel(clients[-1], journal),
            lambda: sum(client.limiter.in_flight for client in clients),
            lambda: sum(client.limiter.limit for client in clients),
        )


@dataclass(frozen=True, slots=True)
class _Opening:
    """What all models of a run are opened with."""

    lab: Lab
    meter: Meter
    emit: Emit
    currency: str

    def open(self, config: ModelConfig) -> AbstractAsyncContextManager[EndpointClient]:
        """A client of the model, by whatever way it is reached."""
        from labtune.models.endpoint.teacher import open_teacher

        cache = self.lab.cache_dir
        if isinstance(config, EndpointConfig):
            return open_teacher(config, cache_dir=cache, meter=self.meter, emit=self.emit)
        from labtune.serving.local import open_local

        model = local_model(self.lab, config)
        log = cache / "servers" / f"{model.identity.replace('/', '--')}.log"
        return open_local(model, log=log, meter=self.meter, currency=self.currency, emit=self.emit)


def _currency(wanted: Sequence[ModelConfig], budget: Budget | None) -> str:
    """What is counted in: local models cost nothing in any currency, and must not bring in a second."""
    from labtune.models.endpoint.prices import price_of

    if budget is not None and budget.money is not None:
        return budget.currency
    prices = [price_of(config) for config in wanted if isinstance(config, EndpointConfig)]
    return next((price.currency for price in prices if price is not None), "USD")


def local_model(lab: Lab, config: GgufConfig | VllmConfig) -> LocalModel:
    """The model that a setting means, with its identity; a GGUF file is meant relative to the lab.

    Raises:
        ConfigError: there is no such file or folder.
    """
    from labtune.serving.identity import SHOWN, model_hash
    from labtune.serving.local import LocalModel

    if isinstance(config, VllmConfig):
        folder = lab.root / Path(config.vllm).expanduser()
        if not config.vllm.startswith(("/", "./", "../", "~")):
            # A hub id names one model by itself.
            return LocalModel(config, config.vllm, config.vllm)
        if not (folder / "config.json").is_file():
            raise ConfigError(f"vllm: {folder} is no folder of a model", hint="name a folder or a hub id")
        path = folder
    else:
        path = lab.root / Path(config.gguf).expanduser()
        if not path.is_file():
            raise ConfigError(f"gguf: there is no file {path}", hint=f"mend its path in {LAB_FILE}")
    name = path.resolve().stem if path.is_file() else path.resolve().name
    return LocalModel(config, str(path), f"{name}@{model_hash(path, lab.cache_dir)[:SHOWN]}")


def pipeline_of(lab: Lab, config: GenerateConfig) -> FlowPipeline:
    """The pipeline for a teacher model; a .yaml file is meant relative to the lab.

    Raises:
        ConfigError: unknown or malformed, with file:line.
    """
    name = DEFAULT_PIPELINE if config.pipeline == "auto" else config.pipeline
    return load_flow(pipeline_path(lab.root, name))


def pipeline_path(root: Path, name: str) -> str:
    """A pipeline's name, or the path of a file of the lab."""
    return str(root / name) if name.endswith((".yaml", ".yml")) else name


def identity_of(lab: Lab, config: ModelConfig) -> dict[str, Json]:
    """What of a model decides its replies; where it is reached does not. Raises as `local_model`."""
    if isinstance(config, EndpointConfig):
        values: Mapping[str, Json] = config.model_dump(include={"model", "extra_body"})
        return dict(values)
    return {"model": local_model(lab, config).identity, "extra_body": config.extra_body}
