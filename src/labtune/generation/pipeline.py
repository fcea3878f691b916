"""Pipelines: YAML that lists blocks, checked before anything runs, and the stream through them."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from labtune.config.section import Section
from labtune.errors import ConfigError
from labtune.generation.rows import BlockContext, Row, RowBlock
from labtune.registry import Registry

BLOCKS: Registry[Any] = Registry(
    "block",
    {
        "passages": "labtune.generation.blocks.passages:Passages",
        "facts": "labtune.generation.blocks.facts:Facts",
        "joins": "labtune.generation.blocks.joins:Joins",
        "phrasing": "labtune.generation.blocks.phrasing:Phrasing",
        "answers": "labtune.generation.blocks.answers:Answers",
        "check": "labtune.generation.blocks.check:Check",
        "dedup": "labtune.generation.blocks.dedup:Dedup",
        "coverage": "labtune.generation.blocks.coverage:Coverage",
    },
    group="labtune.blocks",
)
_PIPELINE_KEYS = ("name", "about", "blocks")
_BLOCK_KEYS = ("name", "type", "config")


@dataclass(frozen=True, slots=True)
class BlockSpec:
    """One block of a pipeline: its name in reports, its type, its checked settings."""

    name: str
    type: str
    factory: Any
    config: Section


@dataclass(frozen=True, slots=True)
class Pipeline:
    """An ordered list of blocks."""

    name: str
    blocks: tuple[BlockSpec, ...]

    def stream(self, context: BlockContext) -> Iterator[Row]:
        """Run one leaf: each row walks through all blocks before the next one is made."""
        rows: Iterator[Row] = iter(())
        for spec in self.blocks:
            block: RowBlock = spec.factory(spec.config, context)
            rows = block(rows)
        return rows


def load_pipeline(name: str) -> Pipeline:
    """Read a pipeline that ships (by name) or a file (by path ending in .yaml).

    Raises:
        ConfigError: no such pipeline, unknown key or block (nearest named), bad settings; with file:line.
    """
    if name.endswith((".yaml", ".yml")):
        path = Path(name)
        try:
            return parse_pipeline(path.read_text(encoding="utf-8"), path.as_posix())
        except OSError as error:
            raise ConfigError(f"pipeline {path} cannot be read: {error.strerror}") from error
    folder = files("labtune.generation.pipelines")
    known = sorted(item.name[:-5] for item in folder.iterdir() if item.name.endswith(".yaml"))
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
        raise ConfigError(f"there is no pipeline called {name!r}", hint=hint)
    return parse_pipeline(folder.joinpath(f"{name}.yaml").read_text(encoding="utf-8"), f"{name}.yaml")


def parse_pipeline(text: str, file: str) -> Pipeline:
    """Check the text of a pipeline file.

    Raises:
        ConfigError: see `load_pipeline`.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        raise ConfigError(f"{file}:{line}: not YAML: {getattr(error, 'problem', error)}") from error
    except RecursionError as error:
        raise ConfigError(f"{file}:1: nested too deeply") from error
    fields = _fields(root, file, _PIPELINE_KEYS)
    name, blocks = fields.get("name"), fields.get("blocks")
    if not isinstance(blocks, yaml.SequenceNode) or not blocks.value:
        raise ConfigError(f"{file}:1: a pipeline needs 'blocks', a list of at least one block")
    title = name.value if isinstance(name, yaml.ScalarNode) else file
    specs = tuple(_block(node, file) for node in blocks.value)
    names = [spec.name for spec in specs]
    for index, spec in enumerate(specs):
        if spec.name in names[:index]:
            raise ConfigError(f"{_at(blocks.value[index], file)}: two blocks are called {spec.name!r}")
    return Pipeline(title, specs)


def _block(node: yaml.Node, file: str) -> BlockSpec:
    fields = _fields(node, file, _BLOCK_KEYS)
    kind = fields.get("type")
    if not isinstance(kind, yaml.ScalarNode):
        raise ConfigError(
            f"{_at(node, file)}: a block needs a 'type'", hint=f"known: {', '.join(BLOCKS.names())}"
        )
    try:
        factory = BLOCKS.load(kind.value)
    except ConfigError as error:
        raise ConfigError(f"{_at(kind, file)}: {error.message}", hint=error.hint) from error
    name = fields.get("name")
    config = fields.get("config")
    values = _plain(config, file) if config is not None else {}
    try:
        settings = factory.Config.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        near = difflib.get_close_matches(where, list(factory.Config.model_fields), n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near and near[0] != where else None
        raise ConfigError(
            f"{_at(config or node, file)}: block {kind.value!r}: {where}: {first['msg']}", hint=hint
        ) from error
    return BlockSpec(
        name.value if isinstance(name, yaml.ScalarNode) else kind.value, kind.value, factory, settings
    )


def _plain(node: yaml.Node, file: str) -> object:
    try:
        loader = yaml.SafeLoader("")
        return loader.construct_document(node)
    except yaml.YAMLError as error:
        raise ConfigError(f"{_at(node, file)}: not a plain value: {error}") from error


def _fields(node: yaml.Node | None, file: str, known: tuple[str, ...]) -> dict[str, yaml.Node]:
    if not isinstance(node, yaml.MappingNode):
        where = _at(node, file) if node is not None else f"{file}:1"
        raise ConfigError(f"{where}: expected 'key: value' lines with the keys {', '.join(known)}")
    fields: dict[str, yaml.Node] = {}
    for key, value in node.value:
        label = str(key.value) if isinstance(key, yaml.ScalarNode) else "?"
        if label not in known:
            near = difflib.get_close_matches(label, known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
            raise ConfigError(f"{_at(key, file)}: unknown key {label!r}", hint=hint)
        fields[label] = value
    return fields


def _at(node: yaml.Node, file: str) -> str:
    return f"{file}:{node.start_mark.line + 1}"
