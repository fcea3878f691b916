"""Drop rows that say what an earlier row said, in the whole leaf or among the rows of one source row."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field

from labtune.config.section import Section
from labtune.generation.flow.block_home import BlockHome
from labtune.generation.flow.context import StepContext
from labtune.generation.flow.engine import Order
from labtune.generation.flow.rows import FlowRow, row_id

_NO_WORD = re.compile(r"[\W_]+")


class DedupBlock:
    """Keeps the first of rows whose fields have the same words; case, width and punctuation do not count."""

    class Config(Section):
        """Settings of a dedup block."""

        by: list[str] = Field(min_length=1, description="Fields that are compared.")
        among: Literal["leaf", "siblings"] = Field(
            "leaf", description="Compare with all rows of the leaf, or with those of the same source row."
        )

    order: Order = "leaf"
    adds: frozenset[str] = frozenset()
    drops: frozenset[str] = frozenset()

    def __init__(self, config: Config, home: BlockHome) -> None:
        self._by = tuple(config.by)
        self.order = config.among
        self.needs: Mapping[str, str] = {name: home.at("by", index) for index, name in enumerate(config.by)}

    async def __call__(self, row: FlowRow, context: StepContext) -> Sequence[FlowRow]:
        """The row, unless its words came before."""
        state = context.flow.state if self.order == "leaf" else context.row_state
        seen: set[int] = state.setdefault(context.step, set())
        words = row_id(*(words_of(str(row.fields[name])) for name in self._by))
        # 64 bits of the hash: a leaf may hold hundreds of thousands of rows.
        key = int(words[:16], 16)
        if key in seen:
            context.reject(context.step, "duplicate", row)
            return ()
        seen.add(key)
        return (row,)


def words_of(text: str) -> str:
    """A text's words alone; texts without any stay as they are."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return _NO_WORD.sub(" ", folded).strip() or folded
