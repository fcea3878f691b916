"""What a block is told about itself when a pipeline is read, and what it tells about its fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from labtune.config.section import Section
from labtune.errors import ConfigError
from labtune.generation.flow.engine import FlowBlock, FlowStep
from labtune.generation.flow.prompt import Prompt, load_prompt


@dataclass(frozen=True, slots=True)
class BlockHome:
    """Where a block stands.

    `name` is its name in the pipeline, `folder` the pipeline file's (None for those that ship), and
    `at("key", ...)` gives the file:line of one of its settings.
    """

    name: str
    folder: Path | None
    at: Callable[..., str]

    def prompt(self, name: str, *path: str) -> Prompt:
        """A prompt that a setting names.

        Raises:
            ConfigError: there is none, or it is malformed; with file:line.
        """
        try:
            return load_prompt(name, self.folder)
        except ConfigError as error:
            if _has_line(error.message):
                raise
            raise ConfigError(f"{self.at(*path)}: {error.message}", hint=error.hint) from error


def _has_line(message: str) -> bool:
    return ".md:" in message.split(" ", 1)[0]


@runtime_checkable
class Checked(Protocol):
    """What every block tells, so that a pipeline's flow of fields is checked before anything is sent.

    `needs` maps each field that must be there to the file:line that uses it; `adds` and `drops` are fields
    that are there, or no longer there, afterwards.
    """

    @property
    def needs(self) -> Mapping[str, str]:
        """Field -> where it is used."""
        ...

    @property
    def adds(self) -> frozenset[str]:
        """Fields that rows hold afterwards."""
        ...

    @property
    def drops(self) -> frozenset[str]:
        """Fields that rows hold no longer."""
        ...


class CheckedBlock(FlowBlock, Checked, Protocol):
    """A block of a pipeline file."""


class BlockFactory(Protocol):
    """The class of a block: its settings and how it is made of them."""

    Config: type[Section]

    def __call__(self, config: Section, home: BlockHome) -> CheckedBlock:
        """Make the block. Raises ConfigError with file:line for what the settings' schema cannot check."""
        ...


@runtime_checkable
class Composite(Protocol):
    """A block that stands for several steps."""

    def parts(self) -> tuple[FlowStep, ...]:
        """The steps, in order."""
        ...
