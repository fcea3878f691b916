"""What each block does with a row."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from flow_parts import EXAMPLES, Model, collect, context_of, plausible, row_of, told

from labtune.errors import ConfigError
from labtune.generation.flow.blocks.dedup import words_of
from labtune.generation.flow.context import FlowContext
from labtune.generation.flow.fields import Section
from labtune.generation.flow.pipeline import parse_flow
from labtune.generation.flow.rows import FlowRow
from labtune.protocols import ChatRequest
from labtune.types import Json, Verdict

OUT = "  - {name: out, type: map, config: {set: {question: q, answer: a}}}\n"


def said(**values: Json) -> Model:
    return Model(lambda _request: json.dumps(values, ensure_ascii=False))


def walk(
    blocks: str,
    context: FlowContext,
    *rows: FlowRow,
    section: Section = "knowledge",
    folder: Path | None = None,
) -> list[FlowRow]:
    steps = parse_flow(f"{section}:\n{blocks}", "x.yaml", folder).sections[section].steps
    return asyncio.run(collect(rows or [row_of(section)], steps, context))


PAIRS = (
    "  - {name: pairs, type: prompt, config: {prompt: knowledge/pairs, many: pairs, most: 3, "
    "reply: {question: text, answer: text}}}\n"
)


def test_a_prompt_makes_a_row_of_each_item_and_rejects_the_empty_ones() -> None:
    items: Json = [
        {"question": " What? ", "answer": "Seeds.\x00\ud800"},
        {"question": "Where?", "answer": "  "},
        {"question": "When?", "answer": "In winter."},
        {"question": "One too many?", "answer": "Yes."},
    ]
    teacher = said(pairs=items)
    context = context_of(teacher)
    rows = walk(PAIRS, context)
    assert [(row.fields["question"], row.fields["answer"]) for row in rows] == [
        ("What?", "Seeds."),
        ("When?", "In winter."),
    ]
    assert [(one.reason, one.row["detail"]) for one in context.rejections] == [
        ("empty_field", "answer is empty")
    ]
    assert len(teacher.asked) == 1
    trail = rows[1].trail[0]
    assert (trail.step, trail.index, trail.model, trail.temperature) == ("pairs", 2, "model", 0.7)
    assert trail.prompt.startswith("knowledge/pairs/en@")
    stats = context.stats["pairs"]
    assert (stats.requests, stats.cached, stats.prompt_tokens, stats.tokens) == (1, 0, 10, 5)


def test_a_reply_of_no_form_is_repaired_once_and_then_rejected() -> None:
    answers = iter(["no JSON here", json.dumps({"pairs": [{"question": "Q?", "answer": "A."}]})])
    teacher = Model(lambda _request: next(answers))
    context = context_of(teacher, reply_key=lambda model, request: str(len(request.messages)))
    rows = walk(PAIRS, context)
    assert [row.fields["answer"] for row in rows] == ["A."]
    assert context.stats["pairs"].requests == 2
    # The lineage names both replies: the first has two messages, the repair four.
    assert rows[0].trail[0].calls == ("2", "4")
    context = context_of(Model(lambda _request: "still none"))
    assert walk(PAIRS, context) == []
    assert [(one.step, one.reason) for one in context.rejections] == [("pairs", "unparsable")]


def test_a_reply_without_items_is_told_of() -> None:
    context = context_of(said(pairs=[]))
    assert walk(PAIRS, context) == []
    assert [one.reason for one in context.rejections] == ["empty_reply"]


def test_a_row_that_lacks_a_field_is_rejected_before_anything_is_sent() -> None:
    row = row_of("knowledge")
    bare = FlowRow(row.id, row.leaf, {name: row.fields[name] for name in row.fields if name != "passage"})
    context = context_of()
    assert walk(PAIRS, context, bare) == []
    assert [one.reason for one in context.rejections] == ["prompt_failed"]


MANNER = (
    "  - {name: manner, type: prompt, config: {prompt: freeform/manner, once_per_leaf: true, "
    "reply: {manner: [precise, creative]}}}\n"
)


def test_a_prompt_may_be_asked_once_for_a_leaf_whatever_row_comes_first() -> None:
    teacher = said(manner="creative")
    context = context_of(teacher)
    rows = walk(MANNER + OUT, context, *(row_of("knowledge", key=str(index)) for index in range(5)))
    assert [row.fields["manner"] for row in rows] == ["creative"] * 5
    assert len(teacher.asked) == 1
    assert len({row.trail[0] for row in rows}) == 1
    walk(MANNER + OUT, context, row_of("knowledge", key="next round"))
    assert len(teacher.asked) == 1


def test_a_word_that_is_no_choice_is_rejected() -> None:
    context = context_of(said(manner="funny"))
    assert walk(MANNER + OUT, context) == []
    assert context.rejections[0].reason == "unparsable"


JUDGE = (
    OUT + "  - {name: check, type: judge, config: {prompt: knowledge/relevant, "
    "criteria: {responsive: [0, 1], complete: yes_no}, keep_total: 2}}\n"
)


@pytest.mark.parametrize(
    ("responsive", "complete", "reason"),
    [(1, True, None), ("1", "yes", None), (0, True, "low_total"), (1, False, "low_complete")],
)
def test_a_judge_keeps_its_reason_and_drops_what_scores_low(
    responsive: Json, complete: Json, reason: str | None
) -> None:
    judge = said(reason="It names the bird.", responsive=responsive, complete=complete)
    context = context_of(plausible(), judge)
    rows = walk(JUDGE, context)
    if reason is None:
        verdict = Verdict("check", "responsive=1, complete=1", "It names the bird.")
        assert [row.verdicts for row in rows] == [(verdict,)]
        assert rows[0].fields["responsive"] == rows[0].fields["complete"] == 1
    else:
        assert rows == []
        (rejection,) = context.rejections
        assert (rejection.step, rejection.reason) == ("check", reason)
        assert rejection.row["verdicts"][0]["reason"] == "It names the bird."  # type: ignore[index, call-overload]
    assert len(judge.asked) == 1
    schema = judge.asked[0].schema
    assert schema is not None
    assert list(schema["properties"]) == ["reason", "responsive", "complete"]  # type: ignore[arg-type]


def test_a_score_off_the_scale_is_no_verdict() -> None:
    context = context_of(plausible(), said(reason="Fine.", responsive=7, complete=True))
    assert walk(JUDGE, context) == []
    assert context.rejections[0].reason == "unparsable"


def test_a_judge_may_only_mark() -> None:
    blocks = JUDGE.replace("keep_total: 2", "keep_total: 2, drop: false") + (
        "  - {type: filter, config: {keep: [{field: responsive, at_least: 1}]}}\n"
    )
    context = context_of(plausible(), said(reason="No.", responsive=0, complete=False))
    assert walk(blocks, context) == []
    assert [(one.step, one.reason) for one in context.rejections] == [("filter", "responsive_at_least")]


def rejected_by(rule: str, **fields: Json) -> bool:
    context = context_of()
    blocks = OUT + f"  - {{type: filter, config: {{keep: [{rule}]}}}}\n"
    return not walk(blocks, context, row_of("knowledge", **fields))


@pytest.mark.parametrize(
    ("rule", "value", "kept"),
    [
        ("{field: title, equals: Owl}", "Owl", True),
        ("{field: title, equals: Owl}", "owl", False),
        ("{field: number, equals: 1}", True, False),
        ("{field: title, not_equals: Owl}", "Tit", True),
        ("{field: title, one_of: [Owl, Tit]}", "Tit", True),
        ("{field: number, at_least: 2}", 2, True),
        ("{field: number, at_least: 2}", 1.5, False),
        ("{field: number, at_least: 2}", "9", False),
        ("{field: number, at_most: 0}", 0, True),
        ("{field: title, min_characters: 3}", "Ow", False),
        ("{field: title, max_characters: 3}", "Owl", True),
        ("{field: title, max_characters: 3}", ["Owl"], False),
        ("{field: title, contains: w}", "Owl", True),
        ("{field: title, lacks: w}", "Owl", False),
        ("{field: title, differs_from: domain}", "ornithology", False),
        ("{field: title, differs_from: domain}", "Owl", True),
    ],
)
def test_a_filter_tests_one_field(rule: str, value: Json, kept: bool) -> None:
    field = rule.split(":")[1].split(",")[0].strip()
    assert rejected_by(rule, **{field: value}) is not kept


def test_rows_that_when_is_false_for_pass_untouched() -> None:
    blocks = OUT + (
        "  - {name: long, type: filter, when: {field: language, equals: en}, "
        "config: {keep: [{field: title, min_characters: 99}]}}\n"
    )
    context = context_of()
    rows = walk(blocks, context, row_of("knowledge"), row_of("knowledge", "zh"))
    assert [row.fields["language"] for row in rows] == ["zh"]


def test_views_are_rows_of_their_own_and_each_is_asked_for() -> None:
    blocks = (
        "  - type: views\n    config:\n      views:\n"
        "        short: {prompt: knowledge/extractive_summary, times: 2}\n"
        "        facts: {prompt: knowledge/atomic_facts, form: list}\n" + OUT
    )

    def answer(request: ChatRequest) -> str:
        shape = request.schema["properties"]["view"]["type"]  # type: ignore[index, call-overload]
        return json.dumps({"view": ["One.", "", "Two."] if shape == "array" else f"Draw {request.index}"})

    teacher = Model(answer)
    rows = walk(blocks, context_of(teacher))
    views = [(row.fields["view"], row.fields["view_text"]) for row in rows]
    assert views[0] == ("passage", row_of("knowledge").fields["passage"])
    assert views[1] == ("short", "Draw 0")
    assert views[2][0] == "short" and views[2][1] != "Draw 0"
    assert views[3] == ("facts", "- One.\n- Two.")
    assert rows[3].fields["view_items"] == ["One.", "Two."]
    assert len(teacher.asked) == 3


def test_a_view_that_says_nothing_costs_only_itself() -> None:
    blocks = (
        "  - type: views\n    config:\n      original: false\n      views:\n"
        "        a: {prompt: knowledge/extractive_summary}\n        b: {prompt: knowledge/detailed_summary}\n"
    ) + OUT
    texts = iter(["", "All of it."])
    context = context_of(Model(lambda _request: json.dumps({"view": next(texts)})))
    rows = walk(blocks, context)
    assert [row.fields["view"] for row in rows] == ["b"]
    assert [(one.step, one.reason) for one in context.rejections] == [("views.write", "empty_field")]


def test_expand_gives_each_combination_a_sampling_index_of_its_own() -> None:
    blocks = "  - {type: expand, config: {over: {tone: [dry, warm], kind: [a, b]}, times: 2}}\n" + OUT
    rows = walk(blocks, context_of())
    assert [(row.fields["tone"], row.fields["kind"]) for row in rows[::2]] == [
        ("dry", "a"),
        ("dry", "b"),
        ("warm", "a"),
        ("warm", "b"),
    ]
    assert len({row.draw for row in rows}) == len({row.id for row in rows}) == 8
    wider = walk(blocks.replace("[dry, warm]", "[grim, dry, warm]"), context_of())
    # Another value gives more rows; those that were there keep their index, so their replies are known.
    draws = {(str(row.fields["tone"]), str(row.fields["kind"]), row.draw) for row in rows}
    assert draws < {(str(row.fields["tone"]), str(row.fields["kind"]), row.draw) for row in wider}


def test_expand_over_a_list_and_by_lot() -> None:
    blocks = "  - {type: expand, config: {each: {example: examples}, pick: 1}}\n" + OUT
    rows = [walk(blocks, context_of(), row_of("knowledge", key=str(key)))[0] for key in range(20)]
    picked = [EXAMPLES.index(row.fields["example"]) for row in rows]
    assert set(picked) == {0, 1}
    assert told(rows) == told(
        [walk(blocks, context_of(), row_of("knowledge", key=str(k)))[0] for k in range(20)]
    )
    context = context_of()
    assert walk(blocks, context, row_of("knowledge", examples=[])) == []
    assert context.rejections[0].reason == "empty_list"


def test_repetitions_ask_the_same_again() -> None:
    teacher = said(pairs=[{"question": "Q?", "answer": "A."}])
    walk("  - {type: expand, config: {times: 3}}\n" + PAIRS, context_of(teacher))
    assert len({request.messages for request in teacher.asked}) == 1
    indices = [request.index for request in teacher.asked]
    assert indices[0] == 0 and len(set(indices)) == 3


def test_dedup_looks_at_words_alone_over_all_rounds_of_the_leaf() -> None:
    blocks = OUT + "  - {type: dedup, config: {by: [title]}}\n"
    context = context_of()
    titles = ["The Owl", "the owl!", "ＴＨＥ  OWL", "An owl"]
    rows = walk(blocks, context, *(row_of("knowledge", key=title, title=title) for title in titles))
    assert [row.fields["title"] for row in rows] == ["The Owl", "An owl"]
    assert walk(blocks, context, row_of("knowledge", key="x", title="AN OWL")) == []
    assert [one.reason for one in context.rejections] == ["duplicate"] * 3
    siblings = blocks.replace("[title]", "[title], among: siblings")
    assert len(walk(siblings, context_of(), *(row_of("knowledge", key=t, title=t) for t in titles))) == 4


def test_words_count_not_signs() -> None:
    assert words_of("Wie, bitte?") == words_of("wie bitte")
    assert words_of("？！") != words_of("。")
    assert words_of("诊所在哪里？") == words_of("诊所在哪里")


def test_map_copies_sets_renames_and_drops() -> None:
    blocks = (
        "  - type: map\n    config:\n      copy: {subject: title}\n"
        "      set: {hint: '{{ subject }} in {{ language }}', spare: x}\n"
        "      rename: {hint: question}\n      drop: [spare]\n"
        "  - {name: two, type: map, config: {copy: {answer: domain}}}\n"
    )
    (row,) = walk(blocks, context_of(), row_of("knowledge", title="{{ domain }}"))
    assert (row.fields["question"], row.fields["answer"]) == ("{{ domain }} in en", "ornithology")
    assert "hint" not in row.fields and "spare" not in row.fields
    assert set(row.shown()) == {"id", "subject", "question", "answer"}


def test_a_request_that_fails_may_have_a_value_instead() -> None:
    blocks = MANNER.replace("reply:", "otherwise: {manner: precise}, reply:") + OUT
    for teacher in (said(manner="funny"), Model(lambda _request: "")):
        context = context_of(teacher)
        rows = walk(blocks, context, *(row_of("knowledge", key=str(key)) for key in range(4)))
        assert [row.fields["manner"] for row in rows] == ["precise"] * 4
        assert context.rejections == []
        # The reply and, where there is something to mend, its repair; not once more for each row.
        assert len(teacher.asked) <= 2
    for wrong in ("{maner: precise}", "{manner: precise, more: x}"):
        with pytest.raises(ConfigError, match=r"x\.yaml:2: give all fields of the reply"):
            walk(blocks.replace("{manner: precise}", wrong), context_of())


def test_all_conditions_of_when_must_hold() -> None:
    when = "when: [{field: language, equals: en}, {field: number, at_least: 5}]"
    blocks = OUT + "  - {type: filter, " + when + ", config: {keep: [{field: title, equals: Owl}]}}\n"
    rows = [row_of("knowledge", key=str(number), number=number) for number in (3, 7)]
    assert [row.fields["number"] for row in walk(blocks, context_of(), *rows)] == [3]
    with pytest.raises(ConfigError, match=r"x\.yaml:3: when uses 'numer'"):
        walk(blocks.replace("{field: number", "{field: numer"), context_of())


def test_map_emits_a_copy_that_leaves_at_once() -> None:
    blocks = "  - {name: leave, type: map, config: {emit: {form: 'note on {{ domain }}'}}}\n" + OUT
    rows = walk(blocks, context_of())
    assert [(row.final, row.fields.get("form"), row.fields.get("answer")) for row in rows] == [
        (True, "note on ornithology", None),
        (False, None, "a"),
    ]
    assert rows[0].id != rows[1].id


def test_a_block_of_an_installed_package_is_found_and_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shouting.py").write_text(
        "from labtune.config.section import Section\n"
        "class Shout:\n"
        "    class Config(Section):\n"
        "        field: str\n"
        "    order = 'any'\n"
        "    drops = frozenset()\n"
        "    def __init__(self, config, home):\n"
        "        self.field, self.needs = config.field, {config.field: home.at('field')}\n"
        "        self.adds = frozenset({'loud'})\n"
        "    async def __call__(self, row, context):\n"
        "        return [context.extend(row, {'loud': str(row.fields[self.field]).upper()})]\n"
        "class Other:\n"
        "    class Config(Section):\n"
        "        pass\n"
    )
    meta = tmp_path / "shouting-1.dist-info"
    meta.mkdir()
    (meta / "METADATA").write_text("Metadata-Version: 2.1\nName: shouting\nVersion: 1\n")
    (meta / "entry_points.txt").write_text(
        "[labtune.blocks]\nshout = shouting:Shout\nother = shouting:Other\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    (row,) = walk(OUT + "  - {type: shout, config: {field: title}}\n", context_of())
    assert row.fields["loud"] == "CHICKADEE"
    with pytest.raises(ConfigError, match=r"x.yaml:3: block 'shout' uses 'titel'"):
        walk(OUT + "  - {type: shout, config: {field: titel}}\n", context_of())
    with pytest.raises(ConfigError, match=r"x.yaml:3: block 'other' is none for pipelines of teacher models"):
        walk(OUT + "  - {type: other}\n", context_of())
