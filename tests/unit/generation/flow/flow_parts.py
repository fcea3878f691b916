"""Blocks and models that tests of the flow are built from."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from benchmarks.plausible_replies import reply_text

from labtune.generation.flow.context import FlowContext, StepContext
from labtune.generation.flow.engine import FlowStep, Order, run
from labtune.generation.flow.fields import Section
from labtune.generation.flow.rows import FlowRow, source_row
from labtune.protocols import ChatRequest, Reply
from labtune.types import Json


@dataclass
class Model:
    """Answers by a function of the request; counts what it was asked."""

    answer: Callable[[ChatRequest], str]
    name: str = "model"
    asked: list[ChatRequest] = field(default_factory=list)

    async def chat(self, request: ChatRequest) -> Reply:
        self.asked.append(request)
        await asyncio.sleep(0)
        return Reply(self.answer(request), True, 10, 5)


def plausible(approve_share: float = 1.0) -> Model:
    """A teacher that quotes the prompt's passage, as the simulated server does."""

    def answer(request: ChatRequest) -> str:
        messages = [{"role": message.role, "content": message.content} for message in request.messages]
        said = json.dumps([messages, request.index, request.sampling.temperature], ensure_ascii=False)
        seed = sha256(said.encode()).hexdigest()
        return reply_text(messages, request.schema, seed, approve_share=approve_share)

    return Model(answer)


def silent() -> Model:
    """A model that nobody should ask."""

    def answer(_request: ChatRequest) -> str:
        raise AssertionError("nobody should be asked")

    return Model(answer)


def context_of(teacher: Model | None = None, judge: Model | None = None, **kwargs: Any) -> FlowContext:
    asked = teacher or silent()
    return FlowContext("knowledge/birds", asked, judge or asked, **kwargs)


@dataclass
class Block:
    """A block out of a function `(row, context) -> rows`."""

    function: Callable[[FlowRow, StepContext], Any]
    order: Order = "any"

    async def __call__(self, row: FlowRow, context: StepContext) -> Sequence[FlowRow]:
        rows: Sequence[FlowRow] = await self.function(row, context)
        return rows


def step(name: str, function: Callable[[FlowRow, StepContext], Any], order: Order = "any") -> FlowStep:
    return FlowStep(name, Block(function, order))


def sources(number: int) -> list[FlowRow]:
    return [source_row("knowledge/birds", (str(index),), {"number": index}) for index in range(number)]


async def collect(
    rows: Sequence[FlowRow], steps: Sequence[FlowStep], context: FlowContext, **kwargs: Any
) -> list[FlowRow]:
    async with aclosing(run(rows, steps, context, **kwargs)) as stream:
        return [row async for row in stream]


EXAMPLES: list[Json] = [
    {"question": "What do chickadees eat?", "answer": "They eat insects and seeds.", "context": ""},
    {"question": "Where do they nest?", "answer": "They nest in holes of trees.", "context": "A note."},
]
PASSAGE = (
    "The black-capped chickadee is a small songbird of North America. It lives in mixed forests. "
    "In cold nights it lowers its body temperature by up to 12 degrees. It hides seeds in bark "
    "and finds them again after a month. The female lays six to eight eggs in late April."
)
PASSAGE_ZH = (
    "澄溪诊所位于河东路十二号。门诊时间为周一至周五上午八点到下午五点。初次就诊需要携带身份证和医保卡。"
    "取消预约请至少提前一天致电。儿童疫苗接种安排在每周三下午。"
)


def row_of(section: Section, language: str = "en", key: str = "0", **more: Json) -> FlowRow:
    """A source row as teaching makes it."""
    fields: dict[str, Json] = {
        "leaf_path": "knowledge/birds",
        "language": language,
        "task_description": "Teach about birds.",
        "domain": "ornithology",
        "outline": "All about chickadees.",
        "examples": EXAMPLES,
        "number": 3,
    }
    if section == "knowledge":
        passage = PASSAGE_ZH if language.startswith("zh") else PASSAGE
        fields |= {"passage": passage, "document": passage, "heading": "Life", "title": "Chickadee"}
    fields.update(more)
    return source_row("knowledge/birds", (section, language, key), fields)


def told(rows: Sequence[FlowRow]) -> list[Mapping[str, Json]]:
    """All that is said of rows, for comparison."""
    return [{**row.shown(), "trail": [str(one) for one in row.trail], "draw": row.draw} for row in rows]
