"""Pipelines: YAML that lists blocks, checked before anything runs, and the stream through them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from labtune.config.section import Section
from labtune.errors import ConfigError
from labtune.generation.rows import BlockContext, Row, RowBlock
from labtune.generation.shipped import find_pipeline
from labtune.generation.yaml_file import at, compose, fields_of, scalar, settings_of
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
LEAF_SECTIONS = ("knowledge", "freeform_skill", "grounded_skill")
"""Keys of the pipelines that ask teacher models (see `flow.pipeline`)."""
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
    found = find_pipeline(name)
    return parse_pipeline(found.text, found.file)


def parse_pipeline(text: str, file: str) -> Pipeline:
    """Check the text of a pipeline file.

    Raises:
        ConfigError: see `load_pipeline`.
    """
    root = compose(text, file)
    if isinstance(root, yaml.MappingNode) and any(scalar(key) in LEAF_SECTIONS for key, _ in root.value):
        raise ConfigError(
            f"{at(root, file)}: this pipeline asks a teacher model, and the built-in teacher is none",
            hint="set teacher to an endpoint and a model, or generate.pipeline to builtin",
        )
    fields = fields_of(root, file, _PIPELINE_KEYS)
    name, blocks = fields.get("name"), fields.get("blocks")
    if not isinstance(blocks, yaml.SequenceNode) or not blocks.value:
        raise ConfigError(f"{file}:1: a pipeline needs 'blocks', a list of at least one block")
    title = name.value if isinstance(name, yaml.ScalarNode) else file
    specs = tuple(_block(node, file) for node in blocks.value)
    names = [spec.name for spec in specs]
    for index, spec in enumerate(specs):
        if spec.name in names[:index]:
            raise ConfigError(f"{at(blocks.value[index], file)}: two blocks are called {spec.name!r}")
    return Pipeline(title, specs)


def _block(node: yaml.Node, file: str) -> BlockSpec:
    fields = fields_of(node, file, _BLOCK_KEYS)
    kind = fields.get("type")
    if not isinstance(kind, yaml.ScalarNode):
        raise ConfigError(
            f"{at(node, file)}: a block needs a 'type'", hint=f"known: {', '.join(BLOCKS.names())}"
        )
    try:
        factory = BLOCKS.load(kind.value)
    except ConfigError as error:
        raise ConfigError(f"{at(kind, file)}: {error.message}", hint=error.hint) from error
    name = fields.get("name")
    settings = settings_of(factory.Config, fields.get("config"), node, file, f"block {kind.value!r}")
    return BlockSpec(
        name.value if isinstance(name, yaml.ScalarNode) else kind.value, kind.value, factory, settings
    )
