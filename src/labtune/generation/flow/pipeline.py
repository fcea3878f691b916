"""Pipelines that ask teacher models: YAML with blocks for each type of leaf, checked before anything runs.

    name: my-own
    about: One sentence.
    version: 1
    knowledge:
      - name: pairs
        type: prompt
        config: {prompt: knowledge/pairs, many: pairs, reply: {question: text, answer: text}}
      - name: faithful
        type: judge
        when: {field: language, equals: en}
        config: {prompt: ./prompts/faithful, criteria: {faithful: yes_no}}
    freeform_skill: full

A section is a list of blocks or the name of a pipeline that ships, whose section is taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from labtune.artifact import content_hash
from labtune.errors import ConfigError
from labtune.generation.flow.block_home import BlockFactory, BlockHome, Checked, Composite
from labtune.generation.flow.engine import FlowBlock, FlowStep
from labtune.generation.flow.fields import OUTCOME_FIELDS, SECTIONS, SOURCE_FIELDS, Section, section_of
from labtune.generation.flow.rows import FlowRow
from labtune.generation.flow.rule import Rule
from labtune.generation.shipped import find_pipeline, pipeline_names
from labtune.generation.yaml_file import (
    at,
    compose,
    entries_of,
    fields_of,
    nearest,
    node_at,
    settings_of,
)
from labtune.registry import Registry
from labtune.types import Leaf

FLOW_BLOCKS: Registry[BlockFactory] = Registry(
    "block",
    {
        "prompt": "labtune.generation.flow.blocks.prompt:PromptBlock",
        "judge": "labtune.generation.flow.blocks.judge:JudgeBlock",
        "filter": "labtune.generation.flow.blocks.filter:FilterBlock",
        "views": "labtune.generation.flow.blocks.views:ViewsBlock",
        "expand": "labtune.generation.flow.blocks.expand:ExpandBlock",
        "dedup": "labtune.generation.flow.blocks.dedup:DedupBlock",
        "map": "labtune.generation.flow.blocks.map:MapBlock",
    },
    group="labtune.blocks",
)
_PIPELINE_KEYS = ("name", "about", "version", *SECTIONS)
_BLOCK_KEYS = ("name", "type", "when", "config")
_MAX_BLOCKS = 64


@dataclass(frozen=True, slots=True)
class FlowSection:
    """The steps for one type of leaf. `version` is a hash of all that they say, prompts included."""

    steps: tuple[FlowStep, ...]
    version: str


@dataclass(frozen=True, slots=True)
class FlowPipeline:
    """A checked pipeline. `version` is what its author calls it."""

    name: str
    about: str
    version: str
    sections: Mapping[Section, FlowSection]

    def section(self, leaf: Leaf) -> FlowSection:
        """What a leaf's rows walk.

        Raises:
            ConfigError: the pipeline has nothing for this type of leaf.
        """
        kind = section_of(leaf)
        found = self.sections.get(kind)
        if found is None:
            raise ConfigError(
                f"pipeline {self.name!r} has no section {kind!r}, which {leaf.path} needs",
                hint=f"add one, such as '{kind}: full'",
            )
        return found

    def steps(self, leaf: Leaf) -> tuple[FlowStep, ...]:
        """The steps of `section`."""
        return self.section(leaf).steps


def load_flow(name: str) -> FlowPipeline:
    """Read a pipeline that ships (by name) or a file (by path ending in .yaml).

    Raises:
        ConfigError: no such pipeline, unknown key, block, prompt or field (nearest named), bad settings; with
            file:line.
    """
    found = find_pipeline(name)
    return parse_flow(found.text, found.file, found.folder)


def parse_flow(text: str, file: str, folder: Path | None = None) -> FlowPipeline:
    """Check the text of a pipeline file.

    Args:
        text: YAML.
        file: its name in messages.
        folder: where `./` prompts lie; None for pipelines that ship.

    Raises:
        ConfigError: see `load_flow`.
    """
    root = compose(text, file)
    keys = fields_of(root, file, _PIPELINE_KEYS)
    sections: dict[Section, FlowSection] = {}
    for kind in SECTIONS:
        node = keys.get(kind)
        if node is not None:
            sections[kind] = _Reader(file, folder, kind).section(node)
    if not sections:
        raise ConfigError(
            f"{file}:1: a pipeline needs blocks for at least one type of leaf",
            hint=f"types: {', '.join(SECTIONS)}",
        )
    name, about, version = (_text(keys.get(key), file) for key in ("name", "about", "version"))
    return FlowPipeline(name or Path(file).stem, about, version, sections)


def _text(node: yaml.Node | None, file: str) -> str:
    if node is None:
        return ""
    if not isinstance(node, yaml.ScalarNode):
        raise ConfigError(f"{at(node, file)}: expected a text")
    return str(node.value)


class _Reader:
    """Reads one section and follows its fields from block to block."""

    def __init__(self, file: str, folder: Path | None, kind: Section) -> None:
        self._file = file
        self._folder = folder
        self._kind = kind
        self._fields = set(SOURCE_FIELDS[kind])
        self._sometimes: dict[str, str] = {}
        self._names: set[str] = set()

    def section(self, node: yaml.Node) -> FlowSection:
        if isinstance(node, yaml.ScalarNode):
            return self._of_another(node)
        if not isinstance(node, yaml.SequenceNode) or not node.value:
            raise ConfigError(f"{at(node, self._file)}: {self._kind!r} needs a list of at least one block")
        if len(node.value) > _MAX_BLOCKS:
            raise ConfigError(f"{at(node, self._file)}: more than {_MAX_BLOCKS} blocks")
        steps: list[FlowStep] = []
        said: list[object] = []
        for item in node.value:
            made, words = self._block(item)
            steps.extend(made)
            said.append(words)
        lacking = [name for name in OUTCOME_FIELDS[self._kind] if name not in self._fields]
        if lacking:
            raise ConfigError(
                f"{at(node.value[-1], self._file)}: the rows that come out have no {lacking[0]!r}"
                f"{self._where_sometimes(lacking[0])}",
                hint=f"rows of {self._kind!r} need {', '.join(OUTCOME_FIELDS[self._kind])}",
            )
        return FlowSection(tuple(steps), content_hash(self._kind, said)[:16])

    def _of_another(self, node: yaml.ScalarNode) -> FlowSection:
        name = str(node.value)
        if name not in pipeline_names() or f"{name}.yaml" == self._file:
            known = [one for one in pipeline_names() if f"{one}.yaml" != self._file]
            raise ConfigError(
                f"{at(node, self._file)}: expected a list of blocks, or the name of a pipeline that ships",
                hint=nearest(name, known),
            )
        found = load_flow(name).sections.get(self._kind)
        if found is None:
            raise ConfigError(f"{at(node, self._file)}: pipeline {name!r} has no section {self._kind!r}")
        return found

    def _block(self, node: yaml.Node) -> tuple[tuple[FlowStep, ...], object]:
        keys = fields_of(node, self._file, _BLOCK_KEYS)
        kind = keys.get("type")
        if not isinstance(kind, yaml.ScalarNode):
            hint = f"known: {', '.join(FLOW_BLOCKS.names())}"
            raise ConfigError(f"{at(node, self._file)}: a block needs a 'type'", hint=hint)
        name = _text(keys.get("name"), self._file) or str(kind.value)
        if name in self._names:
            raise ConfigError(f"{at(node, self._file)}: two blocks are called {name!r}")
        self._names.add(name)
        factory = self._factory(kind)
        config = keys.get("config")
        what = f"block {name!r}"
        settings = settings_of(factory.Config, config, node, self._file, what)
        home = BlockHome(name, self._folder, lambda *path: at(node_at(config, path) or node, self._file))
        block = factory(settings, home)
        when = self._when(keys.get("when"))
        self._follow(block, name, when, at(node, self._file))
        said = (
            name,
            str(kind.value),
            settings.model_dump(),
            [rule.model_dump() for rule in when],
            _version(block),
        )
        return _steps(name, block, when), said

    def _factory(self, kind: yaml.ScalarNode) -> BlockFactory:
        try:
            factory = FLOW_BLOCKS.load(str(kind.value))
        except ConfigError as error:
            raise ConfigError(f"{at(kind, self._file)}: {error.message}", hint=error.hint) from error
        if not hasattr(factory, "Config") or not hasattr(factory, "order"):
            raise ConfigError(
                f"{at(kind, self._file)}: block {kind.value!r} is none for pipelines of teacher models",
                hint="such a block has Config, order, needs, adds and drops; see docs/pipelines.md",
            )
        return factory

    def _when(self, node: yaml.Node | None) -> tuple[Rule, ...]:
        if node is None:
            return ()
        items = node.value if isinstance(node, yaml.SequenceNode) and node.value else [node]
        rules: list[Rule] = []
        for item in items:
            entries_of(item, self._file, "a field and a test, such as {field: view, equals: passage}")
            rules.append(settings_of(Rule, item, item, self._file, "when"))
            for name in rules[-1].names:
                self._require(name, at(item, self._file), "when")
        return tuple(rules)

    def _follow(self, block: Checked, name: str, when: Sequence[Rule], place: str) -> None:
        for field, where in block.needs.items():
            self._require(field, where or place, f"block {name!r}")
        sources = SOURCE_FIELDS[self._kind]
        for field in sorted(block.adds):
            if field in sources:
                raise ConfigError(f"{place}: block {name!r} would overwrite {field!r} of the source rows")
        if not when:
            self._fields |= block.adds
        else:
            for field in block.adds - self._fields:
                self._sometimes[field] = name
        self._fields -= block.drops

    def _require(self, field: str, where: str, what: str) -> None:
        if field not in self._fields:
            raise ConfigError(
                f"{where}: {what} uses {field!r}, which rows of {self._kind!r} do not hold at this step"
                f"{self._where_sometimes(field)}",
                hint=nearest(field, sorted(self._fields)),
            )

    def _where_sometimes(self, field: str) -> str:
        maker = self._sometimes.get(field)
        return f" (block {maker!r} adds it for some rows only)" if maker is not None else ""


def _steps(name: str, block: FlowBlock, when: tuple[Rule, ...]) -> tuple[FlowStep, ...]:
    parts = block.parts() if isinstance(block, Composite) else (FlowStep(name, block),)
    if not when:
        return parts
    return tuple(FlowStep(part.name, part.block, _Condition(when, part)) for part in parts)


@dataclass(frozen=True, slots=True)
class _Condition:
    """The pipeline's `when` together with the part's own."""

    rules: tuple[Rule, ...]
    part: FlowStep

    def __call__(self, row: FlowRow) -> bool:
        own = self.part.when
        return all(rule.holds(row.fields) for rule in self.rules) and (own is None or own(row))


def _version(block: object) -> str:
    return str(getattr(block, "version", ""))
