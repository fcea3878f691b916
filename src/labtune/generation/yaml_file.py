"""YAML files that people write for generation: read within bounds, every remark with file and line.

Only plain YAML is taken: mappings, lists, texts, numbers, booleans. Anchors, aliases and tags are refused, so
that a small file cannot stand for a large one.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NoReturn, TypeVar

import yaml
from pydantic import ValidationError

from labtune.config.section import Section
from labtune.errors import ConfigError
from labtune.types import Json

MAX_BYTES = 256 * 1024
MAX_DEPTH = 16
_TAG = "tag:yaml.org,2002:"
_MAX_DIGITS = 18
_SHOWN = 80

S = TypeVar("S", bound=Section)


def read_bounded(path: Path, what: str, limit: int = MAX_BYTES) -> str:
    """The text of a file that is not larger than it may be.

    Raises:
        ConfigError: it cannot be read, is too large or not UTF-8.
    """
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{what} {path.as_posix()} cannot be read: {reason}") from error
    if len(data) > limit:
        raise ConfigError(f"{path.as_posix()}:1: larger than {limit // 1024} KiB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path.as_posix()}:{line}: not UTF-8") from error


def compose(text: str, file: str) -> yaml.Node:
    """The nodes of one plain YAML document.

    Raises:
        ConfigError: not YAML, empty, too large, nested too deeply, or with anchors, aliases or tags.
    """
    if len(text) > MAX_BYTES:
        raise ConfigError(f"{file}:1: larger than {MAX_BYTES // 1024} KiB")
    try:
        _check_events(text, file)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark is not None else _line_of(text, getattr(error, "position", 0))
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read"
        raise ConfigError(f"{file}:{line}: not YAML: {problem}") from error
    except (RecursionError, ValueError, OverflowError) as error:
        # PyYAML turns `\U` escapes into characters that do not exist.
        raise ConfigError(f"{file}:1: not YAML: {error}") from error
    if root is None:
        raise ConfigError(f"{file}:1: the file is empty")
    return root


def _line_of(text: str, position: object) -> int:
    return text.count("\n", 0, position) + 1 if isinstance(position, int) else 1


def _check_events(text: str, file: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise ConfigError(f"{file}:{line}: anchors and aliases are not allowed", hint="write it out")
        tag = getattr(event, "tag", None)
        if tag:
            raise ConfigError(f"{file}:{line}: tags such as {tag!r} are not allowed", hint="drop it")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise ConfigError(f"{file}:{line}: nested too deeply, more than {MAX_DEPTH} levels")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def fields_of(node: yaml.Node | None, file: str, known: Sequence[str]) -> dict[str, yaml.Node]:
    """The values of a mapping by key, all keys known.

    Raises:
        ConfigError: not a mapping, an unknown key (nearest named), a key twice.
    """
    fields: dict[str, yaml.Node] = {}
    for key, value in entries_of(node, file, f"'key: value' lines with the keys {', '.join(known)}"):
        label = scalar(key)
        if label not in known:
            raise ConfigError(
                f"{at(key, file)}: unknown key {label[:_SHOWN]!r}", hint=nearest(label[:_SHOWN], known)
            )
        fields[label] = value
    return fields


def entries_of(node: yaml.Node | None, file: str, expected: str) -> list[tuple[yaml.Node, yaml.Node]]:
    """Keys and values of a mapping whose keys are texts, none twice.

    Raises:
        ConfigError: it is something else.
    """
    if not isinstance(node, yaml.MappingNode):
        where = at(node, file) if node is not None else f"{file}:1"
        raise ConfigError(f"{where}: expected {expected}")
    seen: set[str] = set()
    for key, _value in node.value:
        label = scalar(key)
        if label in seen:
            raise ConfigError(f"{at(key, file)}: {label[:_SHOWN]!r} stands here twice")
        seen.add(label)
    return list(node.value)


def plain(node: yaml.Node, file: str) -> Json:
    """The value of a node, made of JSON's types.

    Raises:
        ConfigError: a key that is not a text, or stands there twice.
    """
    if isinstance(node, yaml.MappingNode):
        return {scalar(key): plain(value, file) for key, value in entries_of(node, file, "a mapping")}
    if isinstance(node, yaml.SequenceNode):
        return [plain(item, file) for item in node.value]
    return _scalar_value(node)


def _scalar_value(node: yaml.Node) -> Json:
    text = str(node.value)
    kind = node.tag.removeprefix(_TAG)
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() in {"yes", "true", "on"}
    try:
        if kind == "int" and len(text) <= _MAX_DIGITS:
            return int(text)
        if kind == "float" and len(text) <= 2 * _MAX_DIGITS:
            return float(text)
    except ValueError:
        return text
    return text


def scalar(node: yaml.Node) -> str:
    """The text of a key; a mapping or list as key shows as `?`, which no key is called."""
    return str(node.value) if isinstance(node, yaml.ScalarNode) else "?"


def at(node: yaml.Node, file: str) -> str:
    """`file:line` of a node."""
    return f"{file}:{node.start_mark.line + 1}"


def node_at(node: yaml.Node | None, path: Iterable[object]) -> yaml.Node | None:
    """The node that a path of keys and indices leads to, or the last on the way that exists."""
    for part in path:
        below: yaml.Node | None = None
        if isinstance(node, yaml.MappingNode):
            below = next((value for key, value in node.value if scalar(key) == str(part)), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            below = node.value[part]
        if below is None:
            return node
        node = below
    return node


def settings_of(model: type[S], node: yaml.Node | None, owner: yaml.Node, file: str, what: str) -> S:
    """The settings that a node holds.

    Args:
        model: their schema.
        node: the mapping, or None for defaults.
        owner: names the line where `node` is missing.
        file: for messages.
        what: whose settings, for messages.

    Raises:
        ConfigError: unknown key (nearest named) or bad value, at its line.
    """
    values = plain(node, file) if node is not None else {}
    try:
        return model.model_validate(values)
    except ValidationError as error:
        _refuse(model, error, node, owner, file, what)


def _refuse(
    model: type[Section],
    error: ValidationError,
    node: yaml.Node | None,
    owner: yaml.Node,
    file: str,
    what: str,
) -> NoReturn:
    found = error.errors()
    # A misspelt key explains a missing one better than the other way round.
    first = next((one for one in found if one["type"] == "extra_forbidden"), found[0])
    location = first["loc"]
    where = ".".join(str(part) for part in location)
    place = node_at(node, location) if node is not None else None
    if first["type"] == "extra_forbidden" and isinstance(node, yaml.MappingNode):
        holder = node_at(node, location[:-1])
        keys = holder.value if isinstance(holder, yaml.MappingNode) else node.value
        place = next((key for key, _value in keys if scalar(key) == str(location[-1])), place)
    hint = None
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(where, list(model.model_fields), n=1, cutoff=0.5)
        known = ", ".join(model.model_fields)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {known}" if known else None
    message = first["msg"].removeprefix("Value error, ")
    raise ConfigError(
        f"{at(place or owner, file)}: {what}: {where + ': ' if where else ''}{message}", hint=hint
    ) from error


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint: the nearest known name, or all of them."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names)}"
