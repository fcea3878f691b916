"""The models that a lab names as teacher and judge, opened over its journal and under its budget."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from labtune.config.endpoint import EndpointConfig
from labtune.config.lab import GenerateConfig
from labtune.generation.flow.pipeline import FlowPipeline, load_flow
from labtune.generation.school import Faculty
from labtune.types import Emit, Json
from labtune.workflow.lab import Lab

DEFAULT_PIPELINE = "full"


@asynccontextmanager
async def open_faculty(lab: Lab, teacher: EndpointConfig, emit: Emit) -> AsyncIterator[Faculty]:
    """Teacher and judge, closed at the end of the block. Nothing is sent before the first request.

    Raises:
        ConfigError: the budget is malformed, or bounds money while a price is not known.
    """
    from labtune.models.endpoint.budget import Budget, Meter
    from labtune.models.endpoint.teacher import open_teacher
    from labtune.models.journal import Journal, JournaledModel
    from labtune.models.journal_file import JOURNAL_FILE

    judge = lab.config.lab.judge
    meter = Meter(Budget.parse(lab.budget) if lab.budget else None)
    async with AsyncExitStack() as stack:
        journal = stack.enter_context(Journal(lab.cache_dir / JOURNAL_FILE))
        # Equal settings are one client with one limiter.
        wanted = [teacher] if judge is None or judge == teacher else [teacher, judge]
        clients = [
            await stack.enter_async_context(
                open_teacher(config, cache_dir=lab.cache_dir, meter=meter, emit=emit)
            )
            for config in wanted
        ]
        yield Faculty(
            JournaledModel(clients[0], journal),
            JournaledModel(clients[-1], journal),
            lambda: sum(client.limiter.in_flight for client in clients),
            lambda: sum(client.limiter.limit for client in clients),
        )


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


def identity_of(config: EndpointConfig) -> dict[str, Json]:
    """What of a model decides its replies; where it is reached does not."""
    values: Mapping[str, Json] = config.model_dump(include={"model", "extra_body"})
    return dict(values)
