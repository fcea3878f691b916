"""The engines by name; other packages bring theirs by the entry point group `labtune.engines`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from labtune.config.engine import EngineConfig
from labtune.engine.site import Site
from labtune.protocols import Executor
from labtune.registry import Registry

OpenEngine = Callable[[EngineConfig, Site], AbstractContextManager[Executor]]

ENGINES: Registry[OpenEngine] = Registry(
    "engine",
    {
        "local": "labtune.engine.local:open_local",
        "ray": "labtune.engine.ray:open_ray",
        "torchrun": "labtune.engine.torchrun:open_torchrun",
    },
    group="labtune.engines",
)


def open_engine(config: EngineConfig, site: Site) -> AbstractContextManager[Executor]:
    """The engine that `config` names, closed at the end of the block.

    Raises:
        ConfigError: there is no such engine.
        MissingDependencyError: its library is not installed.
        EngineError: it cannot be reached.
    """
    return ENGINES.load(config.kind)(config, site)
