"""The pipelines that ship, walked from end to end."""

from __future__ import annotations

import asyncio
import json

import pytest
from benchmarks.simulated_teacher import Faults, SimulatedTeacher, TeacherConfig
from flow_parts import Model, collect, context_of, plausible, row_of, told

from labtune.config.endpoint import EndpointConfig
from labtune.generation.flow.fields import OUTCOME_FIELDS, SECTIONS, Section
from labtune.generation.flow.pipeline import load_flow
from labtune.generation.flow.rows import FlowRow
from labtune.models.endpoint.teacher import open_teacher
from labtune.protocols import ChatRequest

SHIPPED = ("simple", "full", "summaries")


def walk(name: str, section: Section, teacher: Model, language: str = "en", judge: Model | None = None):  # type: ignore[no-untyped-def]
    context = context_of(teacher, judge)
    steps = load_flow(name).sections[section].steps
    rows = [row_of(section, language, str(key)) for key in range(3)]
    return asyncio.run(collect(rows, steps, context)), context


@pytest.mark.parametrize("language", ["en", "zh", "de"])
@pytest.mark.parametrize("section", SECTIONS)
@pytest.mark.parametrize("name", SHIPPED)
def test_every_pipeline_gives_complete_rows_for_every_type_of_leaf(
    name: str, section: Section, language: str
) -> None:
    rows, context = walk(name, section, plausible(), language)
    outcomes = [row for row in rows if not row.final]
    assert outcomes
    for row in outcomes:
        assert all(isinstance(row.fields[field], str) for field in OUTCOME_FIELDS[section])
        assert row.verdicts and all(verdict.reason for verdict in row.verdicts)
    # What a teacher that does its work loses are duplicates, nothing else.
    assert {one.reason for one in context.rejections} <= {"duplicate"}


def test_prompts_hold_the_rows_material_and_the_wanted_number() -> None:
    teacher = plausible()
    walk("simple", "knowledge", teacher)
    text = "\n".join(message.content for message in teacher.asked[0].messages)
    row = row_of("knowledge", number=3)
    assert f"<passage>\n{row.fields['passage']}\n</passage>" in text
    for part in (
        "Chickadee",
        "Life",
        "ornithology",
        "All about chickadees.",
        "What do chickadees eat?",
        "3 pairs",
    ):
        assert part in text


def test_full_judges_questions_first_and_asks_for_less_after_each_check() -> None:
    def answer(request: ChatRequest) -> str:
        assert request.schema is not None
        names = list(request.schema["properties"])  # type: ignore[arg-type]
        if names == ["pairs"]:
            pairs = [{"question": f"Q{index}?", "answer": f"A{index}."} for index in range(4)]
            return json.dumps({"pairs": pairs})
        text = request.messages[-1].content
        marks = {name: not ("Q1?" in text and name == "sound") for name in names[1:]}
        marks = {name: mark and not ("Q2?" in text and name == "faithful") for name, mark in marks.items()}
        if "responsive" in names:
            scores = {"responsive": int("Q3?" not in text), "complete": 1}
            return json.dumps({"reason": "because", **scores})
        return json.dumps({"reason": "because", **marks})

    rows, context = walk("full", "knowledge", Model(answer))
    assert [row.fields["question"] for row in rows] == ["Q0?"]
    reasons = [(one.step, one.reason) for one in context.rejections if one.step != "new"]
    assert reasons == [
        ("question", "low_sound"),
        ("faithfulness", "low_faithful"),
        ("relevance", "low_total"),
    ]
    requests = {name: stats.requests for name, stats in context.stats.items()}
    assert requests == {"pairs": 3, "new": 0, "question": 4, "faithfulness": 3, "relevance": 2}


def test_skills_are_answered_in_the_manner_of_the_leaf_and_kept_from_two_up() -> None:
    base = plausible()
    seen: list[str] = []

    def answer(request: ChatRequest) -> str:
        assert request.schema is not None
        names = list(request.schema["properties"])  # type: ignore[arg-type]
        if names == ["manner"]:
            return json.dumps({"manner": "creative"})
        if names == ["reason", "score"]:
            return json.dumps({"reason": "so-so", "score": 1 + len(request.messages[-1].content) % 3})
        if names == ["answer"]:
            seen.append(request.messages[0].content)
        return base.answer(request)

    rows, context = walk("full", "freeform_skill", Model(answer))
    assert seen and all("imagination" in text for text in seen)
    assert context.stats["manner"].requests == 1
    assert {int(str(row.fields["score"])) for row in rows} <= {2, 3}
    assert {one.reason for one in context.rejections} - {"duplicate"} == {"low_score"}


def test_summaries_give_the_views_themselves_and_questions_from_each() -> None:
    rows, _context = walk("summaries", "knowledge", plausible())
    views = {"detailed_summary", "extractive_summary", "atomic_facts"}
    leaving = [row for row in rows if row.final]
    assert {row.fields["view"] for row in leaving} == views
    for row in leaving:
        assert row.fields["form"] == row.fields["view"]
        assert row.fields["context"] == row.fields["passage"]
        assert row.fields["answer"] == row.fields["view_text"]
    assert len({row.fields["question"] for row in leaving}) == 3
    chinese, _context = walk("summaries", "knowledge", plausible(), "zh")
    assert any("复述" in str(row.fields["question"]) for row in chinese if row.final)
    german, _context = walk("summaries", "knowledge", plausible(), "de")
    assert german and not any(row.final for row in german)
    assert {row.fields["view"] for row in rows if not row.final} <= views | {"passage"}
    assert len({row.fields["view"] for row in rows if not row.final}) > 1


def test_a_view_that_is_not_faithful_neither_leaves_nor_is_asked_about() -> None:
    base = plausible()

    def answer(request: ChatRequest) -> str:
        if "<rendering>" in request.messages[-1].content:
            return json.dumps({"reason": "It adds a year.", "faithful": False})
        return base.answer(request)

    rows, context = walk("summaries", "knowledge", Model(answer))
    assert {row.fields["view"] for row in rows} == {"passage"}
    assert context.stats["view_faithfulness"].rejected == {"low_faithful": 9}


def through_http(name: str, section: Section, faults: Faults, approve: float) -> tuple[list[FlowRow], object]:
    async def main() -> tuple[list[FlowRow], object]:
        async with SimulatedTeacher(TeacherConfig(faults=faults, approve=approve, slots=16)) as server:
            config = EndpointConfig(endpoint=server.url, model=server.config.model)
            async with open_teacher(config) as teacher:
                context = context_of(teacher)  # type: ignore[arg-type]
                steps = load_flow(name).sections[section].steps
                source = [row_of(section, "en" if key % 2 else "zh", str(key)) for key in range(6)]
                rows = await collect(source, steps, context, window=4)
                return rows, (context.rejections, {step: one.rows_in for step, one in context.stats.items()})

    return asyncio.run(main())


@pytest.mark.parametrize("section", SECTIONS)
@pytest.mark.parametrize("name", SHIPPED)
def test_a_real_server_serves_every_pipeline(name: str, section: Section) -> None:
    rows, _rest = through_http(name, section, Faults(), 1.0)
    assert len([row for row in rows if not row.final]) >= 6


def test_faults_cost_rows_but_the_rest_is_the_same_each_time() -> None:
    faults = Faults(malformed=0.1, truncated=0.1, refusal=0.05, unavailable=0.05, retry_after_s=0.01)
    first, rest = through_http("full", "knowledge", faults, 0.8)
    again, rest_again = through_http("full", "knowledge", faults, 0.8)
    assert first
    assert told(first) == told(again)
    assert rest == rest_again
