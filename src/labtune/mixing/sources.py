"""Files of chats beside the samples: which they are, and which of their rows are drawn.

A draw ranks rows by a hash of the seed and their content. It depends on no order, and adding a row displaces
one other at most. Rows are read one at a time; only those that are drawn are kept.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from labtune.config.lab import MixSource
from labtune.errors import ConfigError, DataError
from labtune.mixing.messages import SUFFIXES, ChatRow, count_lines, read_chats
from labtune.mixing.replay import shuffle_key

_RECIPES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A messages file and how much is wanted of it. `name` is its path in the lab."""

    name: str
    path: Path
    size: int | float = 1.0
    role: Literal["skills", "knowledge", "replay"] = "skills"
    repeat: bool = False
    system_prompt: str | None = None


@dataclass(frozen=True, slots=True)
class Drawn:
    """What was drawn of a file: its `rows`, `rounds` times each, the first `rest` of them once more."""

    rows: Sequence[ChatRow]
    asked: int
    rounds: int = 1
    rest: int = 0


def locate_sources(settings: Sequence[MixSource], root: Path) -> list[SourceFile]:
    """The files that settings name, recipes opened.

    Args:
        settings: `mix.sources`.
        root: the lab; every file must lie inside it.

    Raises:
        ConfigError: a file is outside the lab, missing, of another kind, or named twice.
        DataError: a recipe is malformed (file and line named).
    """
    found: list[SourceFile] = []
    for setting in settings:
        path = _inside(root, root / setting.path, setting.path, "mix.sources")
        if path.suffix in _RECIPES:
            if setting.size != 1.0:
                raise ConfigError(
                    f"mix.sources: {setting.path} is a recipe, which names its own sizes",
                    hint="leave size out",
                )
            found += _recipe(path, setting, root)
        else:
            found.append(
                _source(path, root, setting.path, size=setting.size, role=setting.role, repeat=setting.repeat)
            )
    names = [source.name for source in found]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"mix.sources: {name} is named twice")
    return found


def draw_rows(source: SourceFile, seed: int) -> Drawn:
    """Draw the rows of a file, each once; more often only where `repeat` allows it.

    Raises:
        DataError: the file or one of its lines is malformed (file and line named).
    """
    whole = source.size == 1.0 and isinstance(source.size, float)
    lines = 0 if isinstance(source.size, int) else count_lines(source.path, source.name)
    asked = source.size if isinstance(source.size, int) else round(source.size * lines)
    rows = _distinct(read_chats(source.path, source.name))
    if whole or asked == 0:
        everything = sorted(rows, key=lambda row: _rank(row, seed))
        return Drawn(everything if whole else (), len(everything) if whole else 0)
    drawn = heapq.nsmallest(asked, rows, key=lambda row: _rank(row, seed))
    if len(drawn) == asked or not source.repeat or not drawn:
        return Drawn(drawn, asked)
    rounds, rest = divmod(asked, len(drawn))
    return Drawn(drawn, asked, rounds, rest)


def _distinct(rows: Iterable[ChatRow]) -> Iterator[ChatRow]:
    seen: set[str] = set()
    for row in rows:
        content = row.content
        if content not in seen:
            seen.add(content)
            yield row


def _rank(row: ChatRow, seed: int) -> bytes:
    return shuffle_key(seed, "source", row.content)


def _inside(root: Path, path: Path, said: str, where: str) -> Path:
    resolved = path.resolve()
    if not resolved.is_relative_to(root.resolve()):
        raise ConfigError(f"{where}: {said} is outside the lab", hint="put the file into the lab's folder")
    if not resolved.is_file():
        raise ConfigError(f"{where}: there is no file {said} in the lab")
    return resolved


def _source(path: Path, root: Path, said: str, **fields: Any) -> SourceFile:
    if not path.name.endswith(SUFFIXES):
        raise ConfigError(
            f"mix.sources: {said} is of no kind that can be read",
            hint=f"give {', '.join((*SUFFIXES, *_RECIPES))}; datasets writes one with to_json()",
        )
    source = SourceFile(path.relative_to(root.resolve()).as_posix(), path, **fields)
    if isinstance(source.size, float) and source.size > 1 and (not source.repeat or math.isinf(source.size)):
        raise ConfigError(
            f"mix.sources: {said} has size {source.size:g}, more than all of its rows",
            hint="repeat: true, or a whole number of rows",
        )
    return source


def _recipe(path: Path, setting: MixSource, root: Path) -> Iterator[SourceFile]:
    """The files of an InstructLab recipe: `datasets: [{path, sampling_size}]`, `metadata: {sys_prompt}`."""
    node, value = _read_yaml(path, setting.path)
    entries = value.get("datasets")
    prompt = (
        (value.get("metadata") or {}).get("sys_prompt") if isinstance(value.get("metadata"), dict) else None
    )
    if not isinstance(entries, list) or not entries:
        raise DataError(f"{setting.path} is no recipe: it has no list of datasets")
    if prompt is not None and not isinstance(prompt, str):
        raise DataError(f"{setting.path}: metadata.sys_prompt is not text")
    lines = _entry_lines(node)
    for entry, line in zip(entries, lines, strict=True):
        where = f"{setting.path}:{line}"
        said = entry.get("path") if isinstance(entry, dict) else None
        size = entry.get("sampling_size", 1.0) if isinstance(entry, dict) else None
        if not isinstance(said, str) or isinstance(size, bool) or not isinstance(size, (int, float)):
            raise DataError(f"{where}: a dataset needs path and a number as sampling_size")
        if not size >= 0:
            raise DataError(f"{where}: sampling_size is {size:g}, less than nothing")
        place = _inside(root, path.parent / said, said, where)
        yield _source(
            place,
            root,
            f"{where}: {said}",
            size=size,
            role=setting.role,
            repeat=setting.repeat,
            system_prompt=prompt or None,
        )


def _read_yaml(path: Path, said: str) -> tuple[Any, dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
        node, value = yaml.compose(text, yaml.SafeLoader), yaml.safe_load(text)
    except UnicodeDecodeError as error:
        raise DataError(f"{said} is not UTF-8 text") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{said}:{mark.line + 1}" if mark else said
        raise DataError(f"{where} is not YAML: {getattr(error, 'problem', None) or 'malformed'}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{said} is not YAML that can be read: {error}") from error
    if not isinstance(value, dict):
        raise DataError(f"{said} is no recipe: it has no list of datasets")
    return node, value


def _entry_lines(node: Any) -> list[int]:
    for key, value in node.value:
        if key.value == "datasets":
            return [entry.start_mark.line + 1 for entry in value.value]
    return []
