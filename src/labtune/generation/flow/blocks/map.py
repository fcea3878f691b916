"""Change a row's fields without a model: copy, rename, set by template, drop; or let a copy leave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import Field

from labtune.config.section import Section
from labtune.errors import ConfigError, DataError
from labtune.generation.flow.block_home import BlockHome
from labtune.generation.flow.context import StepContext
from labtune.generation.flow.engine import Order
from labtune.generation.flow.rows import FlowRow
from labtune.generation.flow.template import Template, compile_template
from labtune.types import Json


class MapBlock:
    """Applies `copy`, then `set`, then `rename`, then `drop`; `emit` sends a copy of the result out."""

    class Config(Section):
        """Settings of a map block."""

        copy_fields: dict[str, str] = Field(
            default_factory=dict, alias="copy", description="New field: the field that it is a copy of."
        )
        set: dict[str, str] = Field(default_factory=dict, description="Field: a template of its text.")
        rename: dict[str, str] = Field(default_factory=dict, description="Field: its new name.")
        drop: list[str] = Field(default_factory=list, description="Fields that rows shall no longer hold.")
        emit: dict[str, str] = Field(
            default_factory=dict,
            description="A copy with these fields (templates) leaves the pipeline here as a row of its own.",
        )

    order: Order = "any"

    def __init__(self, config: Config, home: BlockHome) -> None:
        self._config = config
        made = {*config.copy_fields, *config.set}
        needs = {source: home.at("copy", name) for name, source in config.copy_fields.items()}
        self._set = _templates(config.set, "set", home, needs, frozenset(config.copy_fields))
        self._emit = _templates(config.emit, "emit", home, needs, frozenset(made))
        needs.update({name: home.at("rename", name) for name in config.rename if name not in made})
        kept = made | set(config.rename.values())
        needs.update(
            {name: home.at("drop", index) for index, name in enumerate(config.drop) if name not in kept}
        )
        if not needs and not made and not config.emit:
            raise ConfigError(f"{home.at()}: map needs 'copy', 'set', 'rename', 'drop' or 'emit'")
        self.needs: Mapping[str, str] = needs
        self.drops = frozenset({*config.rename, *config.drop})
        self.adds = frozenset(kept) - self.drops

    async def __call__(self, row: FlowRow, context: StepContext) -> Sequence[FlowRow]:
        """The changed row; with `emit`, the copy that leaves before it."""
        config = self._config
        fields: dict[str, Json] = {name: row.fields[source] for name, source in config.copy_fields.items()}
        try:
            for name, template in self._set.items():
                fields[name] = template.render({**row.fields, **fields}).strip()
            known = {**row.fields, **fields}
            leaving = {name: template.render(known).strip() for name, template in self._emit.items()}
        except DataError as error:
            context.reject(context.step, "template_failed", row, error.message)
            return ()
        for old, new in config.rename.items():
            fields[new] = fields.pop(old) if old in fields else row.fields[old]
        if not leaving:
            return (context.extend(row, fields).without(self.drops),)
        copy = context.child(row, 0, {**fields, **leaving}).without(self.drops - self._emit.keys())
        return (copy.leaving(), context.child(row, 1, fields).without(self.drops))


def _templates(
    texts: Mapping[str, str], key: str, home: BlockHome, needs: dict[str, str], made: frozenset[str]
) -> dict[str, Template]:
    """Compile the templates of one setting; what they use and the block itself does not make is needed."""
    templates: dict[str, Template] = {}
    for name, text in texts.items():
        place = home.at(key, name)
        file, _, line = place.rpartition(":")
        templates[name] = compile_template(text, file, int(line), prompt=False)
        for variable in templates[name].variables:
            if variable.name not in made:
                needs.setdefault(variable.name, place)
    return templates
