"""The engine that needs nothing: everything happens in this process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from importlib import import_module
from inspect import isawaitable
from typing import Any, TypeVar

from labtune.config.engine import EngineConfig
from labtune.engine.site import Site
from labtune.protocols import Host

T = TypeVar("T")
R = TypeVar("R")


@contextmanager
def open_local(_config: EngineConfig, _site: Site) -> Iterator[LocalExecutor]:
    """The engine `local`."""
    yield LocalExecutor()


class LocalExecutor:
    """An `Executor` of one worker, which is this process."""

    workers = 1
    gang = 1

    @classmethod
    @contextmanager
    def open(cls) -> Iterator[LocalExecutor]:
        """An `OpenExecutor`."""
        yield cls()

    def map(self, function: Callable[[T], R], shards: Iterable[T]) -> Iterator[R]:
        """Results in the order of `shards`, each made when it is asked for."""
        return map(function, shards)

    @contextmanager
    def host(
        self, makes: Sequence[Callable[[], object]], *, near: bool = False, gpus: bool = False
    ) -> Iterator[Sequence[Host]]:
        """Each object in a thread with an event loop of its own, near and beside this machine's GPUs."""
        hosts = [LocalHost(make) for make in makes]
        try:
            yield hosts
        finally:
            for host in hosts:
                host.close()

    def launch(self, target: str, argument: str) -> None:
        """Call `module:function` with `argument`."""
        entry_point(target)(argument)


class LocalHost:
    """A `Host` in a thread of this process."""

    def __init__(self, make: Callable[[], object]) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="labtune-host", daemon=True)
        self._thread.start()
        self._object = self._run(self._make(make)).result()

    def call(self, method: str, *arguments: object) -> Future[Any]:
        """What the object's method returns, or what the coroutine does that it returns."""
        return self._run(self._call(method, arguments))

    def close(self) -> None:
        """End the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Any) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    @staticmethod
    async def _make(make: Callable[[], object]) -> object:
        return make()

    async def _call(self, method: str, arguments: tuple[object, ...]) -> object:
        result = getattr(self._object, method)(*arguments)
        return await result if isawaitable(result) else result


def entry_point(target: str) -> Callable[[str], object]:
    """The function that `module:function` names."""
    module, _, name = target.partition(":")
    function: Callable[[str], object] = getattr(import_module(module), name)
    return function
