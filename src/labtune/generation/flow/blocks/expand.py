"""Fan out: one row becomes several that differ in a value, each with a sampling index of its own."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence

from pydantic import Field

from labtune.config.section import Section
from labtune.errors import ConfigError
from labtune.generation.flow.block_home import BlockHome
from labtune.generation.flow.context import StepContext
from labtune.generation.flow.engine import Order
from labtune.generation.flow.rows import FlowRow, next_draw, row_id
from labtune.types import Json

_MOST = 200


class ExpandBlock:
    """Makes a row for each combination of values, for each item of a list, and for each repetition."""

    class Config(Section):
        """Settings of an expand block."""

        over: dict[str, list[str | int | float | bool]] = Field(
            default_factory=dict, description="Fields and the values that they take, in all combinations."
        )
        each: dict[str, str] = Field(
            default_factory=dict, description="A field that takes each item of another field, a list."
        )
        times: int = Field(1, ge=1, le=_MOST, description="Repetitions of each combination.")
        pick: int | None = Field(
            None, ge=1, description="Combinations taken at most for a row, drawn by its content; default all."
        )

    order: Order = "any"
    drops: frozenset[str] = frozenset()

    def __init__(self, config: Config, home: BlockHome) -> None:
        self._config = config
        self._combinations = _combinations(config, home)
        self.needs: Mapping[str, str] = {
            source: home.at("each", name) for name, source in config.each.items()
        }
        self.adds = frozenset({*config.over, *config.each})

    async def __call__(self, row: FlowRow, context: StepContext) -> Sequence[FlowRow]:
        """The children, in the order of the values."""
        combinations = self._combinations
        for name, source in self._config.each.items():
            items = row.fields[source]
            if not isinstance(items, list) or not items:
                context.reject(context.step, "empty_list", row, f"{source} holds no items")
                return ()
            combinations = [{**one, name: item} for one in combinations for item in items[:_MOST]]
        combinations = self._picked(combinations, row)
        rows: list[FlowRow] = []
        for values in combinations:
            text = json.dumps(values, ensure_ascii=False, sort_keys=True) if values else ""
            for repetition in range(self._config.times):
                draw = row.draw
                if values or repetition:
                    draw = next_draw(row.draw, context.step, text, str(repetition))
                rows.append(context.child(row, len(rows), values, draw=draw))
        return rows

    def _picked(self, combinations: list[dict[str, Json]], row: FlowRow) -> list[dict[str, Json]]:
        wanted = self._config.pick
        if wanted is None or wanted >= len(combinations):
            return combinations
        ranked = sorted(range(len(combinations)), key=lambda index: row_id(row.id, str(row.draw), str(index)))
        return [combinations[index] for index in sorted(ranked[:wanted])]


def _combinations(config: ExpandBlock.Config, home: BlockHome) -> list[dict[str, Json]]:
    both = set(config.over) & set(config.each)
    if both:
        raise ConfigError(f"{home.at('each')}: {min(both)!r} stands under 'over' as well")
    size = config.times
    for name, values in config.over.items():
        if not values:
            raise ConfigError(f"{home.at('over', name)}: {name!r} needs at least one value")
        size *= len(values)
    if not config.over and not config.each and config.times == 1:
        raise ConfigError(f"{home.at()}: expand needs 'over', 'each' or 'times'")
    if size > _MOST:
        raise ConfigError(f"{home.at()}: {size} rows of one are too many; {_MOST} at most")
    names = list(config.over)
    return [dict(zip(names, values, strict=True)) for values in itertools.product(*config.over.values())]
