"""A lab: the folder with `labtune.yaml`, its settings, and the lock that lets one writer work at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from labtune.config.layers import LoadedConfig, load
from labtune.errors import LabLockedError, TaxonomyError, UserError

LAB_FILE = "labtune.yaml"
RUNS, CACHE = "runs", ".labtune"


def find_lab(start: Path) -> Path | None:
    """The folder of the lab that holds `start`, or None outside of any lab."""
    start = start.resolve()
    return next((folder for folder in (start, *start.parents) if (folder / LAB_FILE).is_file()), None)


@dataclass(frozen=True, slots=True)
class Lab:
    """An opened lab. Reading needs no lock; whatever writes runs inside `locked()`.

    `budget` bounds what this command may spend on teacher models, as `5USD|2h|1Mtok`; empty: no bound.
    """

    root: Path
    config: LoadedConfig
    budget: str = ""

    @classmethod
    def open(cls, start: Path, *, overrides: Sequence[str] = (), budget: str = "") -> Lab:
        """Find the lab that holds `start` (a folder or a file in it) and read its settings.

        Raises:
            UserError: no labtune.yaml here or above.
            ConfigError: a setting is wrong.
        """
        root = find_lab(start)
        if root is not None:
            return cls(root, load(root / LAB_FILE, overrides=overrides), budget)
        raise UserError(
            f"there is no {LAB_FILE} in {start.resolve()} or above it",
            hint="labtune init my-lab --example customer-service   makes a lab to start from",
        )

    @property
    def taxonomy_root(self) -> Path:
        """The taxonomy's folder. Raises TaxonomyError when it does not exist."""
        folder = (self.root / self.config.lab.taxonomy).resolve()
        if not folder.is_dir():
            raise TaxonomyError(
                f"the taxonomy folder {folder} does not exist",
                hint=f"make it, or set 'taxonomy:' in {LAB_FILE}",
            )
        return folder

    @property
    def runs_dir(self) -> Path:
        """Where runs lie."""
        return self.root / RUNS

    @property
    def cache_dir(self) -> Path:
        """Where caches lie; may be deleted at any time, at the price of doing work again."""
        return self.root / CACHE

    def busy_process(self) -> str | None:
        """The process that works in the lab now; None when nobody does."""
        try:
            with (self.cache_dir / "lock").open() as stream:
                fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return None
        except OSError:
            return (self.cache_dir / "lock").read_text().strip() or "unknown"
        return None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lab's lock; the system frees it when the process ends in any way.

        Raises:
            LabLockedError: another process holds it.
        """
        self.cache_dir.mkdir(parents=True, exist_ok=True)
        path = self.cache_dir / "lock"
        with path.open("a+") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                stream.seek(0)
                holder = stream.read().strip() or "unknown"
                raise LabLockedError(
                    f"another labtune (process {holder}) is working in {self.root}",
                    hint="wait for it, or stop it",
                ) from error
            stream.truncate(0)
            stream.write(str(os.getpid()))
            stream.flush()
            yield
