"""The engine `ray`: generation, evaluation and tuning on the workers of a Ray cluster.

The only module that imports Ray. Scheduling, retries and the replacement of lost workers are Ray's: tasks for
pure functions over shards, actors for what keeps a state, Ray Train for a gang.
"""

from __future__ import annotations

import os
import shutil
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from inspect import isawaitable
from typing import Any, TypeVar

from labtune.config.engine import EngineConfig
from labtune.engine.failure import kept_failure
from labtune.engine.rank import GPU_BACKEND, PATIENCE, work_in_gang
from labtune.engine.site import Site
from labtune.errors import ConfigError, EngineError, LabtuneError, MissingDependencyError
from labtune.protocols import Host
from labtune.types import Emit

T = TypeVar("T")
R = TypeVar("R")

CALLS_AT_ONCE = 1000
_QUIET = {
    # Nothing about a run leaves the machine.
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


@contextmanager
def open_ray(config: EngineConfig, site: Site) -> Iterator[RayExecutor]:
    """The engine `ray`: the cluster of `config.address`, or one on this machine.

    A cluster that this process already belongs to is used and left as it is.

    Raises:
        MissingDependencyError: Ray is not installed.
        ConfigError: the address is one of a Ray client, from which this machine's files cannot be reached.
        EngineError: no cluster answers at the address.
    """
    try:
        import ray
    except ImportError as error:
        raise MissingDependencyError.for_extra("ray", "ray") from error
    mine = not ray.is_initialized()
    if mine:
        _join(ray, config)
    try:
        with _losses_told(site.emit):
            yield RayExecutor(config, site, worker_shape(config, ray.cluster_resources()))
    finally:
        if mine:
            ray.shutdown()


@contextmanager
def _losses_told(emit: Emit) -> Iterator[None]:
    """Tell as notices what Ray would print when workers are lost.

    It prints to stdout, whatever `log_to_driver` says, and stdout belongs to the command's JSON document.
    There is no public way to have it elsewhere; where this one is gone, Ray prints.
    """
    from ray._private import worker

    printing = getattr(worker, "print_to_stdstream", None)

    def tell(data: Mapping[str, Any], *_: object, **__: object) -> None:
        for line in data.get("lines", ()):
            emit("notice", {"text": f"Ray: {str(line).strip().partition('. ')[0]}"})

    worker.print_to_stdstream = tell
    try:
        yield
    finally:
        worker.print_to_stdstream = printing


def address_of(config: EngineConfig, environment: Mapping[str, str]) -> str:
    """Where the cluster is; `local`: nowhere yet.

    Raises:
        ConfigError: it is the address of a Ray client.
    """
    address = config.address or environment.get("RAY_ADDRESS") or "local"
    if address.startswith("ray://"):
        raise ConfigError(
            f"engine.address {address!r} is that of a Ray client, which the lab's files do not reach",
            hint="run labtune on a node of the cluster (address: auto), or as a Ray job (deploy/)",
        )
    return address


def _join(ray: Any, config: EngineConfig) -> None:
    address = address_of(config, os.environ)
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address == "local":
        cores = os.cpu_count() or 1
        wanted = (config.workers or 1) * config.cpus_per_worker
        settings |= {"num_cpus": max(cores, int(wanted + 0.999)), "include_dashboard": False}
    try:
        ray.init(address, **settings)
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise EngineError(
            f"no Ray cluster can be used at {address!r}: {first}",
            hint="ray start --head   on this machine starts one; engine.address: None makes its own",
        ) from error


@dataclass(frozen=True, slots=True)
class Shape:
    """How many workers there are, and what each gets."""

    workers: int
    cpus: float
    gpus: float

    @property
    def resources(self) -> dict[str, float]:
        """As Ray Train wants it."""
        return {"CPU": self.cpus, **({"GPU": self.gpus} if self.gpus else {})}


def worker_shape(config: EngineConfig, cluster: Mapping[str, float]) -> Shape:
    """The workers of a cluster that has these resources."""
    n_gpus = cluster.get("GPU", 0.0)
    gpus = config.gpus_per_worker if config.gpus_per_worker is not None else float(n_gpus > 0)
    fitting = n_gpus / gpus if gpus else cluster.get("CPU", 1.0) / config.cpus_per_worker
    return Shape(config.workers or max(1, int(fitting)), config.cpus_per_worker, gpus)


class RayExecutor:
    """An `Executor` on a Ray cluster that this process has joined."""

    def __init__(self, config: EngineConfig, site: Site, shape: Shape) -> None:
        import ray

        self._ray = ray
        self._config = config
        self._site = site
        self._shape = shape
        self._tell_shortage()

    @property
    def workers(self) -> int:
        """Shards or hosts at once."""
        return self._shape.workers

    @property
    def gang(self) -> int:
        """Processes that tune together."""
        return self._shape.workers

    def map(self, function: Callable[[T], R], shards: Iterable[T]) -> Iterator[R]:
        """Results in the order of `shards`; a lost worker's shard is done again by another.

        Raises:
            EngineError: that happened more often than `engine.restarts`.
            LabtuneError: what the function raised.
        """
        task = self._ray.remote(function).options(
            num_cpus=self._shape.cpus, max_retries=self._config.restarts, name="labtune-shard"
        )
        waiting: deque[Any] = deque()
        running: list[Any] = []
        for shard in shards:
            while len(running) >= self.workers:
                _, running = self._ray.wait(running, num_returns=1)
            reference = task.remote(shard)
            waiting.append(reference)
            running.append(reference)
            # What is at the head of the line is handed out as soon as it is there.
            while waiting and waiting[0] not in running:
                yield self._result(waiting.popleft())
        while waiting:
            yield self._result(waiting.popleft())

    @contextmanager
    def host(
        self, makes: Sequence[Callable[[], object]], *, near: bool = False, gpus: bool = False
    ) -> Iterator[Sequence[Host]]:
        """Each object in an actor that Ray replaces; `near`: on this process's node, without a core."""
        actor = self._ray.remote(_Hosted)
        settings: dict[str, Any] = {
            "num_cpus": 0 if near else self._shape.cpus,
            "num_gpus": self._shape.gpus if gpus and not near else 0,
            "max_restarts": self._config.restarts,
            "max_task_retries": self._config.restarts,
            "max_concurrency": CALLS_AT_ONCE,
        }
        if near:
            from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

            here = self._ray.get_runtime_context().get_node_id()
            settings["scheduling_strategy"] = NodeAffinitySchedulingStrategy(here, soft=False)
        actors = [actor.options(**settings).remote(make) for make in makes]
        try:
            yield [RayHost(one) for one in actors]
        finally:
            # Politely: a killed actor is reported as a lost worker.
            for one in actors:
                one.__ray_terminate__.options(max_task_retries=0).remote()

    def launch(self, target: str, argument: str) -> None:
        """Run `module:function` in each process of a gang that Ray Train holds together.

        Raises:
            EngineError: the gang was lost more often than `engine.restarts`.
            LabtuneError: what the function raised.
        """
        from ray.train import FailureConfig, RunConfig, ScalingConfig
        from ray.train.torch import TorchConfig, TorchTrainer
        from ray.train.v2.api.exceptions import TrainingFailedError

        folder = self._site.scratch.absolute()
        folder.mkdir(parents=True, exist_ok=True)
        failure = folder / "failure.json"
        failure.unlink(missing_ok=True)
        # Ray Train goes on with an earlier run of the same name; labtune's own resume points do that here.
        name = f"gang-{uuid.uuid4().hex[:12]}"
        trainer = TorchTrainer(
            partial(_in_gang, target, argument, str(failure)),
            torch_config=TorchConfig(
                backend=GPU_BACKEND if self._shape.gpus else "gloo", timeout_s=int(PATIENCE.total_seconds())
            ),
            scaling_config=ScalingConfig(
                num_workers=self.gang,
                use_gpu=self._shape.gpus > 0,
                resources_per_worker=self._shape.resources,
            ),
            run_config=RunConfig(
                name=name,
                storage_path=str(folder),
                failure_config=FailureConfig(max_failures=self._config.restarts),
            ),
        )
        try:
            _in_a_thread(trainer.fit)
        except TrainingFailedError as error:
            raise kept_failure(failure) or EngineError(
                f"tuning on {self.gang} Ray workers failed after {self._config.restarts} restarts: "
                f"{_last_line(error)}",
                hint="labtune run goes on from the last resume point",
            ) from error
        finally:
            shutil.rmtree(folder / name, ignore_errors=True)

    def _result(self, reference: Any) -> Any:
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            raise translated(error) from error

    def _tell_shortage(self) -> None:
        """Say so when the cluster is too small at this moment: Ray then waits for it to grow."""
        cluster, shape = self._ray.cluster_resources(), self._shape
        for kind, each in shape.resources.items():
            if shape.workers * each > cluster.get(kind, 0.0):
                text = (
                    f"the Ray cluster has {cluster.get(kind, 0.0):g} {kind}, {shape.workers} workers of "
                    f"{each:g} need {shape.workers * each:g}: waiting for it to grow"
                )
                self._site.emit("notice", {"text": text})


class _Hosted:
    """The actor: an object and its methods."""

    def __init__(self, make: Callable[[], object]) -> None:
        self._make = make
        self._object: object = None

    async def call(self, method: str, *arguments: object) -> object:
        """Call a method of the object, which is made with the first call: in the thread that will use it."""
        if self._object is None:
            self._object = self._make()
        result = getattr(self._object, method)(*arguments)
        return await result if isawaitable(result) else result


class RayHost:
    """A `Host` in an actor; can be sent to other workers."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    def call(self, method: str, *arguments: object) -> Future[Any]:
        """See `Host.call`."""
        done: Future[Any] = Future()
        self._actor.call.remote(method, *arguments).future().add_done_callback(partial(_pass_on, done))
        return done


def _pass_on(done: Future[Any], ended: Future[Any]) -> None:
    if not done.set_running_or_notify_cancel():
        return
    error = ended.exception()
    if error is None:
        done.set_result(ended.result())
    else:
        done.set_exception(translated(error))


def translated(error: BaseException) -> BaseException:
    """What the worker's code raised, or an EngineError for a worker that was lost for good."""
    from ray.exceptions import RayError, RayTaskError

    if isinstance(error, RayTaskError):
        cause = error.cause
        return cause if isinstance(cause, LabtuneError) else error
    if isinstance(error, RayError):
        return EngineError(
            f"Ray workers were lost too often: {_last_line(error)}",
            hint="labtune run goes on with what is done; engine.restarts says how often that may happen",
        )
    return error


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _in_a_thread(function: Callable[[], object]) -> None:
    """Call a function beside the main thread, where Ray Train would take Ctrl-C for itself and exit."""
    done: Future[None] = Future()

    def run() -> None:
        try:
            function()
        except BaseException as error:  # noqa: BLE001 - the caller raises it
            done.set_exception(error)
        else:
            done.set_result(None)

    threading.Thread(target=run, name="labtune-gang", daemon=True).start()
    done.result()


def _in_gang(target: str, argument: str, failure: str) -> None:
    """What each worker of Ray Train runs; process group, device and environment are there already."""
    work_in_gang(target, argument, failure)
