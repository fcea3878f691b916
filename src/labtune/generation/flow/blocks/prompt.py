"""Ask the teacher: a prompt in, fields out; one row, or one for each item of a list."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from pydantic import Field

from labtune.config.section import Section
from labtune.errors import ConfigError, DataError, RequestError
from labtune.generation.flow.block_home import BlockHome
from labtune.generation.flow.context import StepContext
from labtune.generation.flow.engine import Order
from labtune.generation.flow.fields import LEAF_FIELDS
from labtune.generation.flow.reply import FieldKind, empty_field, read_fields, reply_schema
from labtune.generation.flow.rows import FlowRow
from labtune.protocols import ChatRequest, Sampling
from labtune.types import Json


class PromptBlock:
    """Adds what the teacher answers."""

    class Config(Section):
        """Settings of a prompt block."""

        prompt: str = Field(description="Name of a prompt; ./ begins one beside the pipeline file.")
        reply: dict[str, FieldKind] = Field(
            min_length=1, description="Fields of the reply: text, list, number, yes_no, or a list of words."
        )
        many: str | None = Field(None, description="Name of a list in the reply; each item becomes a row.")
        most: int = Field(50, ge=1, le=500, description="Items of one reply that are taken at most.")
        otherwise: dict[str, str | list[str] | int | bool] = Field(
            default_factory=dict,
            description="The fields where no usable reply comes, instead of a rejection.",
        )
        once_per_leaf: bool = Field(False, description="Ask once for the whole leaf; all rows get the reply.")
        temperature: float = Field(0.7, ge=0, le=2, description="Sampling temperature.")
        top_p: float = Field(1.0, gt=0, le=1, description="Share of probability that is sampled from.")
        max_tokens: int = Field(2048, ge=1, le=131072, description="Bound of the reply, in tokens.")

    order: Order = "any"
    drops: frozenset[str] = frozenset()

    def __init__(self, config: Config, home: BlockHome) -> None:
        self._config = config
        self._prompt = home.prompt(config.prompt, "prompt")
        self._schema = reply_schema(config.reply, config.many)
        self.needs: Mapping[str, str] = self._prompt.needs
        self.adds = frozenset(config.reply)
        self.version = self._prompt.version
        if config.otherwise and (config.many is not None or set(config.otherwise) != set(config.reply)):
            raise ConfigError(
                f"{home.at('otherwise')}: give all fields of the reply and no other, without 'many'",
                hint=f"fields of the reply: {', '.join(config.reply)}",
            )
        if config.once_per_leaf:
            self._check_leaf_fields(home)

    def _check_leaf_fields(self, home: BlockHome) -> None:
        if self._config.many is not None:
            raise ConfigError(f"{home.at('once_per_leaf')}: a reply for the whole leaf has no 'many'")
        for name, place in self.needs.items():
            if name not in LEAF_FIELDS:
                raise ConfigError(
                    f"{place}: {name!r} differs from row to row, and this prompt is asked once per leaf",
                    hint=f"the same for all rows: {', '.join(LEAF_FIELDS)}",
                )

    async def __call__(self, row: FlowRow, context: StepContext) -> Sequence[FlowRow]:
        """The row with the reply's fields, or a child for each item."""
        try:
            if self._config.once_per_leaf:
                value = await self._once(row, context)
            else:
                value = await self._send(row, context, row.draw)
        except DataError as error:
            context.reject(context.step, "prompt_failed", row, error.message)
            return ()
        except RequestError:
            if not self._config.otherwise:
                raise
            return (context.extend(row, self._otherwise()),)
        if self._config.many is None:
            fields = read_fields(value, self._config.reply)
            lacking = empty_field(fields)
            if lacking is not None and self._config.otherwise:
                return (context.extend(row, self._otherwise()),)
            if lacking is not None:
                context.reject(context.step, "empty_field", row, f"{lacking} is empty")
                return ()
            return (context.extend(row, fields),)
        return self._children(value.get(self._config.many), row, context)

    def _otherwise(self) -> dict[str, Json]:
        return {name: _plain(value) for name, value in self._config.otherwise.items()}

    def _children(self, items: Json, row: FlowRow, context: StepContext) -> list[FlowRow]:
        if not isinstance(items, list) or not items:
            context.reject(context.step, "empty_reply", row, f"no {self._config.many} in the reply")
            return []
        rows: list[FlowRow] = []
        for index, item in enumerate(items[: self._config.most]):
            fields = read_fields(item if isinstance(item, dict) else {}, self._config.reply)
            child = context.child(row, index, fields)
            lacking = empty_field(fields)
            if lacking is None:
                rows.append(child)
            else:
                context.reject(context.step, "empty_field", child, f"{lacking} is empty")
        return rows

    async def _send(self, row: FlowRow, context: StepContext, draw: int) -> dict[str, Json]:
        config = self._config
        messages, version = self._prompt.render(row.fields)
        sampling = Sampling(config.max_tokens, config.temperature, config.top_p, context.flow.seed)
        request = ChatRequest(messages, sampling, self._schema, draw)
        return await context.ask("teacher", request, self._schema, prompt=version)

    async def _once(self, row: FlowRow, context: StepContext) -> dict[str, Json]:
        """The leaf's reply. A failure is the leaf's too where `otherwise` says what to do then."""
        state = context.flow.state.setdefault(context.step, {"lock": asyncio.Lock()})
        async with state["lock"]:
            if "value" not in state and "failure" not in state:
                try:
                    state["value"] = await self._send(row, context, 0)
                    state["asked"] = context.asked
                except RequestError as error:
                    if not self._config.otherwise:
                        raise
                    state["failure"] = error
        if "failure" in state:
            raise state["failure"]
        context.asked = state["asked"]
        value: dict[str, Json] = state["value"]
        return value


def _plain(value: str | list[str] | int | bool) -> Json:
    return [*value] if isinstance(value, list) else value
