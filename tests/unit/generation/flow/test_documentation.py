"""What docs/pipelines.md shows works as it stands there."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from flow_parts import collect, context_of, plausible, row_of
from pydantic import Field

from labtune.config.section import Section
from labtune.generation.flow.block_home import BlockHome
from labtune.generation.flow.context import StepContext
from labtune.generation.flow.engine import FlowStep
from labtune.generation.flow.fields import SOURCE_FIELDS
from labtune.generation.flow.pipeline import FLOW_BLOCKS, load_flow
from labtune.generation.flow.rows import FlowRow
from labtune.generation.flow.rule import Rule

PAGE = Path(__file__).parents[4] / "docs" / "pipelines.md"


def example(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found.group(1)


def test_the_pipeline_with_its_prompt_makes_checked_rows(tmp_path: Path) -> None:
    prompt = tmp_path / "prompts" / "pairs" / "en.md"
    prompt.parent.mkdir(parents=True)
    prompt.write_text(example("jinja"), encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(example("yaml"), encoding="utf-8")
    pipeline = load_flow(str(tmp_path / "mine.yaml"))
    rows = asyncio.run(
        collect([row_of("knowledge")], pipeline.sections["knowledge"].steps, context_of(plausible()))
    )
    judged = {str(row.fields["reader"]): len(row.verdicts) for row in rows}
    assert judged == {"a newcomer": 0, "an engineer": 1}


def test_the_block_runs() -> None:
    names = {
        "Section": Section,
        "Field": Field,
        "BlockHome": BlockHome,
        "FlowRow": FlowRow,
        "StepContext": StepContext,
        "Sequence": Sequence,
    }
    exec(example("python"), names)
    shorten = names["Shorten"]
    block = shorten(shorten.Config(field="title", most=5), BlockHome("s", None, lambda *_path: "x:1"))  # type: ignore
    rows = asyncio.run(collect([row_of("knowledge")], [FlowStep("s", block)], context_of()))
    assert [row.fields["shortened"] for row in rows] == ["Chick"]


@pytest.mark.parametrize("kind", ["prompt", "judge", "filter", "views", "expand", "dedup", "map"])
def test_every_setting_of_every_block_is_named(kind: str) -> None:
    line = next(
        line for line in PAGE.read_text(encoding="utf-8").split("\n") if line.startswith(f"| `{kind}` |")
    )
    fields = FLOW_BLOCKS.load(kind).Config.model_fields
    for name, field in fields.items():
        assert f"`{field.alias or name}`" in line


def test_every_test_and_every_field_is_named() -> None:
    text = PAGE.read_text(encoding="utf-8")
    names = [*Rule.model_fields, *SOURCE_FIELDS["knowledge"]]
    assert [name for name in names if f"`{name}`" not in text and name != "field"] == []
