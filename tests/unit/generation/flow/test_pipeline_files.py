"""Pipeline files: every mistake is named with its line before anything is sent."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from labtune.errors import ConfigError
from labtune.generation.flow.pipeline import load_flow, parse_flow
from labtune.generation.pipeline import load_pipeline
from labtune.types import Leaf, SeedExample, Source

PAIRS = (
    "{name: pairs, type: prompt, config: {prompt: knowledge/pairs, many: pairs, "
    "reply: {question: text, answer: text}}}"
)
JUDGE = "type: judge, config: {prompt: knowledge/faithful, criteria: {faithful: yes_no}"


def leaf(kind: str, context: str | None = None) -> Leaf:
    source = Source("qna.yaml", 1)
    seed = SeedExample("s", "q", "a", context, source)
    return Leaf("some/leaf", kind, "en", (seed,), source)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("", "x.yaml:1: the file is empty", None),
        ("- 1\n", "x.yaml:1: expected 'key: value' lines", None),
        ("name: x\n", "x.yaml:1: a pipeline needs blocks", "types: knowledge"),
        ("name: x\nknowlege: []\n", "x.yaml:2: unknown key 'knowlege'", "did you mean 'knowledge'?"),
        ("name: [x]\nknowledge: full\n", "x.yaml:1: expected a text", None),
        ("knowledge: []\n", "x.yaml:1: 'knowledge' needs a list", None),
        ("knowledge: ful\n", "x.yaml:1: expected a list of blocks, or the name", "did you mean 'full'?"),
        ("knowledge: builtin\n", "", None),
        ("knowledge: full\nknowledge: full\n", "x.yaml:2: 'knowledge' stands here twice", None),
        ("knowledge:\n  - name: a\n", "x.yaml:2: a block needs a 'type'", "known: "),
        ("knowledge:\n  - {type: promt}\n", "x.yaml:2: there is no block called 'promt'", "'prompt'"),
        ("knowledge:\n  - {type: prompt, confg: {}}\n", "x.yaml:2: unknown key 'confg'", "'config'"),
        ("knowledge:\n  - {type: passages}\n", "x.yaml:2: there is no block called 'passages'", None),
        ("knowledge:\n  - type: prompt\n", "x.yaml:2: block 'prompt': prompt: Field required", None),
        (
            "knowledge:\n  - type: prompt\n    config:\n      prompt: knowledge/pairs\n      replies: {}\n",
            "x.yaml:5: block 'prompt': replies:",
            "did you mean 'reply'?",
        ),
        (
            "knowledge:\n  - type: prompt\n    config:\n      prompt: knowledge/pairs\n"
            "      reply: {question: text}\n      temprature: 1\n",
            "x.yaml:6: block 'prompt': temprature:",
            "did you mean 'temperature'?",
        ),
        (
            "knowledge:\n  - type: prompt\n    config:\n      prompt: knowledge/pairs\n"
            "      reply: {question: text}\n      temperature: 9\n",
            "x.yaml:6: block 'prompt': temperature:",
            None,
        ),
        (
            "knowledge:\n  - type: prompt\n    config:\n      prompt: knowledge/pair\n"
            "      reply: {question: text}\n",
            "x.yaml:4: there is no prompt called 'knowledge/pair'",
            "did you mean 'knowledge/pairs'?",
        ),
        (
            f"knowledge:\n  - {PAIRS}\n  - {PAIRS}\n",
            "x.yaml:3: two blocks are called 'pairs'",
            None,
        ),
        (
            f"knowledge:\n  - {{{JUDGE}}}}}\n  - {PAIRS}\n",
            "prompts/knowledge/faithful/en.md:7: block 'judge' uses 'question', which rows of",
            None,
        ),
        (
            "freeform_skill:\n  - type: prompt\n"
            "    config: {prompt: knowledge/pairs, reply: {question: text}}\n",
            "uses 'title', which rows of 'freeform_skill' do not hold",
            None,
        ),
        (
            "knowledge:\n  - {type: prompt, config: {prompt: knowledge/pairs, reply: {question: text}}}\n",
            "x.yaml:2: the rows that come out have no 'answer'",
            "question, answer",
        ),
        (
            f"grounded_skill:\n  - {PAIRS.replace('knowledge/pairs', 'freeform/pairs')}\n",
            "x.yaml:2: the rows that come out have no 'context'",
            None,
        ),
        (
            f"knowledge:\n  - {PAIRS}\n  - {{type: map, config: {{drop: [answer]}}}}\n",
            "x.yaml:3: the rows that come out have no 'answer'",
            None,
        ),
        (
            "knowledge:\n  - {type: prompt, config: {prompt: knowledge/pairs, reply: {passage: text}}}\n",
            "x.yaml:2: block 'prompt' would overwrite 'passage'",
            None,
        ),
        (
            f"knowledge:\n  - {PAIRS}\n  - type: filter\n    config:\n      keep:\n"
            "        - {field: question, min_characters: 3}\n        - {field: anser, min_characters: 3}\n",
            "x.yaml:7: block 'filter' uses 'anser'",
            "did you mean 'answer'?",
        ),
        (
            f"knowledge:\n  - {PAIRS}\n  - {{type: filter, config: {{keep: [{{field: question}}]}}}}\n",
            "x.yaml:3: block 'filter': keep.0: exactly one test is needed",
            None,
        ),
        (
            f"knowledge:\n  - {PAIRS}\n  - {{type: filter, config: {{keep: []}}}}\n",
            "x.yaml:3: block 'filter': keep:",
            None,
        ),
        (
            f"knowledge:\n  - {PAIRS}\n  - {{type: dedup, config: {{by: [questions]}}}}\n",
            "x.yaml:3: block 'dedup' uses 'questions'",
            "did you mean 'question'?",
        ),
        (
            f"knowledge:\n  - {PAIRS}\n  - {{{JUDGE}, keep: {{fathful: 1}}}}}}\n",
            "x.yaml:3: 'fathful' is not judged",
            "criteria: faithful",
        ),
        (
            f"knowledge:\n  - {PAIRS}\n  - {{{JUDGE}, keep: {{faithful: 2}}}}}}\n",
            "x.yaml:3: 2 is not on the scale from 0 to 1",
            None,
        ),
        (
            f"knowledge:\n  - {PAIRS}\n  - {{{JUDGE}, keep_total: 3}}}}\n",
            "x.yaml:3: the highest sum is 1",
            None,
        ),
        (
            f"knowledge:\n  - {PAIRS}\n  - {{{JUDGE.replace('yes_no', '[3, 1]')}}}}}\n",
            "x.yaml:3: a scale is two numbers",
            None,
        ),
        (
            f"knowledge:\n  - {PAIRS}\n  - {{type: expand, config: {{}}}}\n",
            "x.yaml:3: expand needs 'over', 'each' or 'times'",
            None,
        ),
        (
            f"knowledge:\n  - {PAIRS}\n  - {{type: expand, config: {{over: {{a: [1, 2]}}, times: 150}}}}\n",
            "x.yaml:3: 300 rows of one are too many",
            None,
        ),
        (
            f"knowledge:\n  - {PAIRS}\n  - type: map\n    config:\n      set:\n"
            "        hint: '{{ anser }}'\n",
            "x.yaml:6: block 'map' uses 'anser'",
            "did you mean 'answer'?",
        ),
        (
            f"knowledge:\n  - {PAIRS}\n  - type: map\n    config:\n      set:\n        hint: '{{{{ anser'\n",
            "x.yaml:6: not a template",
            None,
        ),
        (
            f"knowledge:\n  - {PAIRS}\n  - {{type: map, config: {{}}}}\n",
            "x.yaml:3: map needs",
            None,
        ),
        (
            f"knowledge:\n  - {PAIRS}\n  - {{type: expand, name: more, config: {{times: 2}}, "
            "when: {field: view, equals: x}}\n",
            "x.yaml:3: when uses 'view', which rows of 'knowledge' do not hold",
            None,
        ),
        (
            f"knowledge:\n  - {PAIRS}\n  - name: tone\n    type: expand\n"
            "    when: {field: language, equals: en}\n    config: {over: {tone: [a, b]}}\n"
            "  - {type: dedup, config: {by: [tone]}}\n",
            "(block 'tone' adds it for some rows only)",
            None,
        ),
        (
            "knowledge:\n  - type: prompt\n    config:\n      prompt: knowledge/pairs\n"
            "      once_per_leaf: true\n      reply: {question: text}\n",
            "'title' differs from row to row, and this prompt is asked once per leaf",
            "the same for all rows",
        ),
        (
            "knowledge:\n  - {type: views, config: {views: {passage: {prompt: knowledge/atomic_facts}}}}\n",
            "x.yaml:2: 'passage' is the passage itself",
            None,
        ),
        ("knowledge: &a full\nfreeform_skill: *a\n", "x.yaml:1: anchors and aliases", "write it out"),
        ("knowledge: !!python/object:os.system x\n", "x.yaml:1: tags such as", "drop it"),
        ("knowledge: " + "[" * 40 + "]" * 40 + "\n", "x.yaml:1: nested too deeply", None),
        ("knowledge: \x00\n", "x.yaml:1: not YAML", None),
        ("a: 1\nknowledge: 'x\n", "x.yaml:", None),
        ("knowledge: full\n---\nknowledge: full\n", "x.yaml:2: not YAML", None),
        ("{? {a: b} : c}\n", "x.yaml:1: unknown key '?'", None),
        ("<<: {knowledge: full}\n", "x.yaml:1: unknown key '<<'", None),
        ("about: " + "x" * 300_000, "x.yaml:1: larger than 256 KiB", None),
        ("knowledge:\n" + f"  - {PAIRS}\n" * 70, "x.yaml:2: more than 64 blocks", None),
    ],
)
def test_a_faulty_file_names_line_and_mend(text: str, message: str, hint: str | None) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_flow(text, "x.yaml")
    assert message in caught.value.message
    if hint is not None:
        assert hint in str(caught.value.hint)


def test_a_section_may_be_that_of_a_pipeline_that_ships() -> None:
    pipeline = parse_flow("name: mine\nknowledge: full\ngrounded_skill: simple\n", "x.yaml")
    assert pipeline.sections["knowledge"].version == load_flow("full").sections["knowledge"].version
    assert pipeline.steps(leaf("compositional_skill", "a context"))[0].name == "items"
    with pytest.raises(ConfigError, match="no section 'freeform_skill'"):
        pipeline.steps(leaf("compositional_skill"))


def test_own_prompts_lie_beside_the_file_and_nowhere_else(tmp_path: Path) -> None:
    folder = tmp_path / "lab"
    (folder / "prompts" / "ask").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "en.md").write_text("# user\nx")
    prompt = folder / "prompts" / "ask" / "en.md"
    prompt.write_text("# user\nAbout\n{{ passage | block('passage') }}\n")
    text = PAIRS.replace("knowledge/pairs", "./prompts/ask")
    file = folder / "own.yaml"
    file.write_text(f"name: own\nknowledge:\n  - {text}\n")
    first = load_flow(str(file)).sections["knowledge"].version
    prompt.write_text("# user\nAbout this\n{{ passage | block('passage') }}\n")
    assert load_flow(str(file)).sections["knowledge"].version != first
    prompt.write_text("# user\nAbout\n{{ pasage | block('passage') }}\n")
    with pytest.raises(ConfigError) as caught:
        load_flow(str(file))
    assert "lab/prompts/ask/en.md:3: block 'pairs' uses 'pasage'" in caught.value.message
    assert caught.value.hint == "did you mean 'passage'?"
    for name, message in (
        ("./../outside", "lies outside"),
        ("./prompts/none", "there is no folder"),
        ("./prompts/ask\0", "own.yaml:3"),
    ):
        with pytest.raises(ConfigError) as caught:
            parse_flow(
                f'knowledge:\n\n  - {{type: prompt, config: {{prompt: "{name}"}}}}'.replace(
                    "\0", "\\0"
                ).replace("}}", ", reply: {question: text}}}", 1),
                str(file),
                folder,
            )
        assert message in caught.value.message


def test_files_that_cannot_be_read_are_the_users_to_mend(tmp_path: Path) -> None:
    binary = tmp_path / "b.yaml"
    binary.write_bytes(b"name: x\nabout: \xff\n")
    with pytest.raises(ConfigError, match=r"b.yaml:2: not UTF-8"):
        load_flow(str(binary))
    with pytest.raises(ConfigError, match="cannot be read"):
        load_flow(str(tmp_path / "none.yaml"))
    with pytest.raises(ConfigError, match="there is no pipeline called 'ful'") as caught:
        load_flow("ful")
    assert caught.value.hint == "did you mean 'full'?"


def test_the_built_in_teacher_is_told_that_a_pipeline_needs_a_model() -> None:
    with pytest.raises(ConfigError) as caught:
        load_pipeline("full")
    assert "asks a teacher model" in caught.value.message


WORDS = st.sampled_from(
    ["knowledge", "freeform_skill", ":", " ", "\n", "\n  ", "\n    ", "- ", "{", "}", "[", "]", ",",
    "type", "name",
     "config", "when", "prompt", "judge", "filter", "views", "expand", "dedup", "map", "knowledge/pairs",
     "reply",
     "question", "text", "many", "keep", "field", "equals", "by", "over", "each", "times", "set",
     "'{{ passage }}'",
     "full", "1", "-1", "1e999", "0x1F", "2001-99-99", "yes", "null", "~", "&a", "*a", "!!int", "?", "|",
     ">", "#",
     '"', "'", "\x00", "\ud800", "\t", "%YAML 9.9\n---\n", "<<", "啊", '"\\U7fffffff"', "9" * 30,
     "1_0:59", ".inf"]
)  # fmt: skip


@settings(max_examples=300)
@given(st.lists(WORDS, max_size=25).map("".join))
@example("knowledge: 2001-99-99")
@example('"\\UFFFFFFFF": 1')
@example("knowledge:\n- {type: prompt, config: {prompt: [], reply: {a: {}}}}")
@example("knowledge:\n- {type: map, config: {emit: {1: 2}}}")
@example("knowledge:\n- {type: filter, config: {keep: [{field: [], equals: {}}]}}")
@example("knowledge:\n- {type: expand, config: {over: {a: []}}}")
@example("knowledge:\n- {type: judge, config: {prompt: knowledge/faithful, criteria: {a: [1, 99999999]}}}")
@example("knowledge:\n- {type: 'judge', name: {}, config: 3}")
def test_any_text_is_a_pipeline_or_a_config_error(text: str) -> None:
    try:
        parse_flow(text, "x.yaml")
    except ConfigError as error:
        assert error.message


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | WORDS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6) | WORDS, inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(max_examples=300)
@given(
    st.sampled_from(["prompt", "judge", "filter", "views", "expand", "dedup", "map"]),
    st.dictionaries(
        st.sampled_from(
            ["prompt", "reply", "many", "criteria", "keep", "keep_total", "views", "original", "over", "each",
             "times", "pick", "by", "among", "copy", "set", "rename", "drop", "emit", "once_per_leaf"]
        ),
        VALUES,
        max_size=5,
    ),
    VALUES,
)  # fmt: skip
def test_any_settings_are_taken_or_refused_with_a_line(kind: str, config: object, when: object) -> None:
    import json

    block = {"type": kind, "config": config} | ({"when": when} if isinstance(when, dict) else {})
    try:
        parse_flow(json.dumps({"knowledge": [block]}), "x.yaml")
    except ConfigError as error:
        assert ":1: " in error.message or ".md:" in error.message
