"""Other renderings of a document's passage: summaries, facts. Questions can then be asked from each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field

from labtune.config.section import Section
from labtune.errors import ConfigError, DataError
from labtune.generation.flow.block_home import BlockHome
from labtune.generation.flow.context import StepContext
from labtune.generation.flow.engine import FlowStep, Order
from labtune.generation.flow.prompt import Prompt
from labtune.generation.flow.reply import read_fields, reply_schema
from labtune.generation.flow.rows import FlowRow, next_draw
from labtune.protocols import ChatRequest, Sampling
from labtune.types import Json

_ORIGINAL = "passage"


class View(Section):
    """One rendering."""

    prompt: str = Field(description="Name of the prompt that asks for it.")
    form: Literal["text", "list"] = Field("text", description="A text, or a list of texts such as facts.")
    times: int = Field(1, ge=1, le=100, description="How many different ones are asked for.")
    temperature: float = Field(0.7, ge=0, le=2, description="Sampling temperature.")
    max_tokens: int = Field(1024, ge=1, le=131072, description="Bound of the reply, in tokens.")


class ViewsBlock:
    """Makes a row for each view, with its name in `view`, its text in `view_text`, its list in `view_items`.

    The rows of all views start at once, and each goes on as soon as its own text is there.
    """

    class Config(Section):
        """Settings of a views block."""

        views: dict[str, View] = Field(min_length=1, description="Name of each view and how it is asked for.")
        original: bool = Field(True, description="Whether the passage itself is a view too.")

    order: Order = "any"
    adds = frozenset({"view", "view_text", "view_items"})
    drops: frozenset[str] = frozenset()

    def __init__(self, config: Config, home: BlockHome) -> None:
        if _ORIGINAL in config.views:
            raise ConfigError(f"{home.at('views', _ORIGINAL)}: {_ORIGINAL!r} is the passage itself")
        self._name = home.name
        self._config = config
        self._prompts = {
            name: home.prompt(view.prompt, "views", name, "prompt") for name, view in config.views.items()
        }
        needs = {_ORIGINAL: home.at("views")}
        for prompt in self._prompts.values():
            needs.update(prompt.needs)
        self.needs: Mapping[str, str] = needs
        self.version = "\n".join(prompt.version for prompt in self._prompts.values())

    def parts(self) -> tuple[FlowStep, ...]:
        """Fan out, then write: two steps, so that no view waits for another."""
        writer = _ViewWriter(self._config.views, self._prompts)
        return (FlowStep(self._name, self), FlowStep(f"{self._name}.write", writer, _is_unwritten))

    async def __call__(self, row: FlowRow, context: StepContext) -> Sequence[FlowRow]:
        """A row for each view, still without its text; the passage's own is complete."""
        rows: list[FlowRow] = []
        if self._config.original:
            text = row.fields[_ORIGINAL]
            rows.append(context.child(row, 0, {"view": _ORIGINAL, "view_text": text, "view_items": []}))
        for name, view in self._config.views.items():
            for repetition in range(view.times):
                draw = next_draw(row.draw, name, str(repetition)) if repetition else row.draw
                fields: dict[str, Json] = {"view": name, "view_text": "", "view_items": []}
                rows.append(context.child(row, len(rows), fields, draw=draw))
        return rows


class _ViewWriter:
    """Asks the teacher for the text of a view."""

    order: Order = "any"

    def __init__(self, views: Mapping[str, View], prompts: Mapping[str, Prompt]) -> None:
        self._views = views
        self._prompts = prompts

    async def __call__(self, row: FlowRow, context: StepContext) -> Sequence[FlowRow]:
        name = str(row.fields["view"])
        view = self._views[name]
        try:
            messages, version = self._prompts[name].render(row.fields)
        except DataError as error:
            context.reject(context.step, "prompt_failed", row, error.message)
            return ()
        schema = reply_schema({"view": view.form}, None)
        sampling = Sampling(view.max_tokens, view.temperature, 1.0, context.flow.seed)
        request = ChatRequest(messages, sampling, schema, row.draw)
        value = await context.ask("teacher", request, schema, prompt=version)
        written = read_fields(value, {"view": view.form})["view"]
        if not written:
            context.reject(context.step, "empty_field", row, f"the {name} is empty")
            return ()
        if isinstance(written, list):
            text = "\n".join(f"- {item}" for item in written)
            return (context.extend(row, {"view_text": text, "view_items": written}),)
        return (context.extend(row, {"view_text": written}),)


def _is_unwritten(row: FlowRow) -> bool:
    return row.fields["view"] != _ORIGINAL
