"""Drop rows by their fields, without a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import Field

from labtune.config.section import Section
from labtune.generation.flow.block_home import BlockHome
from labtune.generation.flow.context import StepContext
from labtune.generation.flow.engine import Order
from labtune.generation.flow.rows import FlowRow
from labtune.generation.flow.rule import Rule


class FilterBlock:
    """Keeps rows that pass all tests."""

    class Config(Section):
        """Settings of a filter."""

        keep: list[Rule] = Field(min_length=1, description="Tests that a row must pass, all of them.")

    order: Order = "any"
    adds: frozenset[str] = frozenset()
    drops: frozenset[str] = frozenset()

    def __init__(self, config: Config, home: BlockHome) -> None:
        self._rules = config.keep
        self.needs: Mapping[str, str] = {
            name: home.at("keep", index) for index, rule in enumerate(config.keep) for name in rule.names
        }

    async def __call__(self, row: FlowRow, context: StepContext) -> Sequence[FlowRow]:
        """The row or nothing."""
        for rule in self._rules:
            if not rule.holds(row.fields):
                context.reject(context.step, f"{rule.field}_{rule.test}", row)
                return ()
        return (row,)
