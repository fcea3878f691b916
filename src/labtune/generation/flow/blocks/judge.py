"""Ask the judge: a reason first, then a score for each criterion; rows below the line are dropped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field

from labtune.config.section import Section
from labtune.errors import ConfigError, DataError
from labtune.generation.flow.block_home import BlockHome
from labtune.generation.flow.context import StepContext
from labtune.generation.flow.engine import Order
from labtune.generation.flow.reply import object_schema
from labtune.generation.flow.rows import FlowRow
from labtune.protocols import ChatRequest, Sampling
from labtune.types import Json, Verdict

Scale = Literal["yes_no"] | Annotated[list[int], Field(min_length=2, max_length=2)]
_WIDEST = 100


class JudgeBlock:
    """Adds a score for each criterion and a verdict; `yes_no` counts 1 and 0."""

    class Config(Section):
        """Settings of a judge."""

        prompt: str = Field(description="Name of a prompt; ./ begins one beside the pipeline file.")
        criteria: dict[str, Scale] = Field(
            min_length=1, description="What is judged: yes_no, or the lowest and the highest score."
        )
        keep: dict[str, int] = Field(
            default_factory=dict, description="Least score of a criterion; yes_no needs 1 unless said."
        )
        keep_total: int | None = Field(None, description="Least sum of all scores.")
        drop: bool = Field(True, description="Whether rows below are dropped, or only marked.")
        temperature: float = Field(0.0, ge=0, le=2, description="Sampling temperature.")
        max_tokens: int = Field(512, ge=1, le=131072, description="Bound of the reply, in tokens.")

    order: Order = "any"
    drops: frozenset[str] = frozenset()

    def __init__(self, config: Config, home: BlockHome) -> None:
        self._config = config
        self._prompt = home.prompt(config.prompt, "prompt")
        self._least = _least_scores(config, home)
        properties: dict[str, Json] = {"reason": {"type": "string"}}
        properties.update((name, _scale_schema(scale)) for name, scale in config.criteria.items())
        self._schema = object_schema(properties)
        self.needs: Mapping[str, str] = self._prompt.needs
        self.adds = frozenset(config.criteria)
        self.version = self._prompt.version

    async def __call__(self, row: FlowRow, context: StepContext) -> Sequence[FlowRow]:
        """The row with its scores, or nothing."""
        config = self._config
        try:
            messages, version = self._prompt.render(row.fields)
        except DataError as error:
            context.reject(context.step, "prompt_failed", row, error.message)
            return ()
        sampling = Sampling(config.max_tokens, config.temperature, 1.0, context.flow.seed)
        request = ChatRequest(messages, sampling, self._schema)
        value = await context.ask("judge", request, self._schema, prompt=version)
        scores = {name: _score(value.get(name)) for name in config.criteria}
        said = ", ".join(f"{name}={score}" for name, score in scores.items())
        verdict = Verdict(context.step, said, str(value.get("reason") or "").strip())
        judged = context.extend(row, dict(scores), verdict)
        low = self._too_low(scores)
        if low is None or not config.drop:
            return (judged,)
        context.reject(context.step, f"low_{low}", judged)
        return ()

    def _too_low(self, scores: Mapping[str, int]) -> str | None:
        for name, least in self._least.items():
            if scores[name] < least:
                return name
        total = self._config.keep_total
        return "total" if total is not None and sum(scores.values()) < total else None


def _least_scores(config: JudgeBlock.Config, home: BlockHome) -> dict[str, int]:
    least = {name: 1 for name, scale in config.criteria.items() if scale == "yes_no"}
    for name, scale in config.criteria.items():
        if scale != "yes_no" and not 0 < scale[1] - scale[0] <= _WIDEST:
            raise ConfigError(f"{home.at('criteria', name)}: a scale is two numbers, the lower first")
        if name == "reason":
            raise ConfigError(f"{home.at('criteria', name)}: 'reason' is asked for anyway, and no criterion")
    for name, score in config.keep.items():
        found = config.criteria.get(name)
        if found is None:
            known = ", ".join(config.criteria)
            raise ConfigError(f"{home.at('keep', name)}: {name!r} is not judged", hint=f"criteria: {known}")
        low, high = (0, 1) if found == "yes_no" else found
        if not low <= score <= high:
            raise ConfigError(f"{home.at('keep', name)}: {score} is not on the scale from {low} to {high}")
        least[name] = score
    highest = sum(1 if scale == "yes_no" else scale[1] for scale in config.criteria.values())
    if config.keep_total is not None and config.keep_total > highest:
        raise ConfigError(f"{home.at('keep_total')}: the highest sum is {highest}: nothing would be kept")
    return least


def _scale_schema(scale: Scale) -> Json:
    if scale == "yes_no":
        return {"type": "boolean"}
    values: list[Json] = list(range(scale[0], scale[1] + 1))
    return {"type": "integer", "enum": values}


def _score(value: Json) -> int:
    return int(value) if isinstance(value, (bool, int)) else 0
