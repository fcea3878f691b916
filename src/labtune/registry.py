"""Named implementations of an extension point: built-ins in a visible table, others by entry point."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Generic, TypeVar, cast

from labtune.errors import ConfigError

T = TypeVar("T")


class Registry(Generic[T]):
    """Resolves a name to an object, importing only what is asked for.

    Args:
        kind: the noun used in messages, such as "block".
        builtins: name -> dotted path `package.module:attribute`; listing names imports nothing.
        group: entry-point group of third parties, such as `labtune.blocks`.
    """

    def __init__(self, kind: str, builtins: Mapping[str, str], *, group: str) -> None:
        self._kind = kind
        self._paths = dict(builtins)
        self._group = group

    def names(self) -> list[str]:
        """All known names, sorted."""
        return sorted({*self._paths, *(point.name for point in entry_points(group=self._group))})

    def load(self, name: str) -> T:
        """Import and return the object called `name`.

        Raises:
            ConfigError: no such name (the nearest is suggested), or two third parties claim it.
        """
        if name in self._paths:
            module, _, attribute = self._paths[name].partition(":")
            return cast(T, getattr(import_module(module), attribute))
        found = [point for point in entry_points(group=self._group) if point.name == name]
        if len(found) > 1:
            raise ConfigError(f"{self._kind} {name!r} is claimed by {len(found)} installed packages")
        if not found:
            near = difflib.get_close_matches(name, self.names(), n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(self.names())}"
            raise ConfigError(f"there is no {self._kind} called {name!r}", hint=hint)
        return cast(T, found[0].load())
