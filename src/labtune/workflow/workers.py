"""What of a lab's work goes to the workers of its engine, and how it is put together there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

from labtune.config.endpoint import EndpointConfig, ModelConfig
from labtune.engine.engines import open_engine
from labtune.engine.site import Site
from labtune.generation.branch import Models
from labtune.generation.school import Away
from labtune.models.ledger import Ledger, LedgerMeter, LedgerModel
from labtune.protocols import Host, LikelihoodModel, OpenExecutor
from labtune.types import Emit
from labtune.workflow.faculty import DEFAULT_PIPELINE, pipeline_path
from labtune.workflow.lab import Lab

ENGINE_FOLDER = "engine"
"""Logs and what engines keep while they run, in a lab's cache folder."""


def executor_of(lab: Lab, emit: Emit) -> OpenExecutor:
    """Opens the engine that the lab names."""
    return partial(open_engine, lab.config.lab.engine, Site(lab.cache_dir / ENGINE_FOLDER, emit))


def away_of(lab: Lab, teacher: ModelConfig, emit: Emit) -> Away | None:
    """How leaves are taught on workers; None where this process asks the models.

    A model for which labtune starts a server is asked from where the server is.
    """
    from labtune.models.endpoint.client import identity
    from labtune.models.journal_file import JOURNAL_FILE

    config = lab.config.lab
    judge = config.judge or teacher
    if not config.engine.has_workers:
        return None
    if not isinstance(teacher, EndpointConfig) or not isinstance(judge, EndpointConfig):
        return None
    wanted = (teacher,) if judge == teacher else (teacher, judge)
    bounds = [one for each in wanted for one in (each.max_concurrency, each.rpm, each.tpm) if one is not None]
    most = min([config.engine.workers or 1 << 20, *bounds])
    name = DEFAULT_PIPELINE if config.generate.pipeline == "auto" else config.generate.pipeline
    return Away(
        open_executor=executor_of(lab, emit),
        make_ledger=partial(Ledger, lab.cache_dir / JOURNAL_FILE, lab.budget),
        open_models=partial(open_models, wanted, lab.budget, lab.cache_dir.absolute()),
        names=(identity(teacher), identity(judge)),
        pipeline=pipeline_path(lab.root.absolute(), name),
        most=most,
    )


@contextmanager
def exam_models(lab: Lab, emit: Emit) -> Iterator[Callable[[Path, str], LikelihoodModel]]:
    """Opens models that sit exams: (folder, name). On workers they are loaded with the first question.

    In this process a model is loaded at once; on workers a batch goes to each.
    """
    if not lab.config.lab.engine.has_workers:
        from labtune.models.hf import HfChatModel

        yield lambda folder, name: HfChatModel.load(folder, name=name)
        return
    from labtune.models.distant import DistantModel, Hall, Seat

    with executor_of(lab, emit)() as executor, executor.host([Seat] * executor.workers, gpus=True) as hosts:
        hall = Hall(hosts)
        yield lambda folder, name: DistantModel(hall, folder, name=name)


@asynccontextmanager
async def open_models(
    wanted: tuple[EndpointConfig, ...],
    budget: str,
    cache_dir: Path,
    ledger: Host,
    share: tuple[int, int],
    emit: Emit,
) -> AsyncIterator[Models]:
    """Teacher and judge in worker `share[0]` of `share[1]`, whose replies and budget the ledger keeps.

    The API key is read from the worker's own environment.
    """
    from labtune.models.endpoint.budget import Budget, Meter
    from labtune.models.endpoint.teacher import open_teacher

    worker, workers = share
    meter = LedgerMeter(ledger, worker, Budget.parse(budget)) if budget else Meter()
    cache = cache_dir if cache_dir.is_dir() else None
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(
                open_teacher(share_of(config, workers), cache_dir=cache, meter=meter, emit=emit)
            )
            for config in wanted
        ]
        models = [LedgerModel(client, ledger, worker) for client in clients]
        yield models[0], models[-1]


def share_of(config: EndpointConfig, workers: int) -> EndpointConfig:
    """One worker's share of what the endpoint may get at once and a minute; together they keep its bounds."""
    bounds = {name: getattr(config, name) for name in ("max_concurrency", "rpm", "tpm")}
    return config.model_copy(
        update={name: max(1, bound // workers) for name, bound in bounds.items() if bound is not None}
    )
