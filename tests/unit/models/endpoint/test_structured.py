"""Reading what models write."""

import json
from typing import Any

import pytest
from endpoint_server import chat, run
from hypothesis import assume, given
from hypothesis import strategies as st

from labtune.errors import ConfigError
from labtune.models.endpoint.lenient import MAX_CHARACTERS, candidates, loads, without_reasoning
from labtune.models.endpoint.schema import check_schema
from labtune.models.endpoint.structured import MalformedReply, ask, instruction, parse
from labtune.protocols import ChatRequest, Reply
from labtune.types import Message

PAIR: dict[str, Any] = {
    "type": "object",
    "properties": {"question": {"type": "string"}, "answer": {"type": "string"}},
    "required": ["question", "answer"],
}
PAIRS: dict[str, Any] = {
    "type": "object",
    "properties": {"pairs": {"type": "array", "items": PAIR, "minItems": 1}},
    "required": ["pairs"],
}
VERDICT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "reason": {"type": "string"},
        "score": {"type": "integer", "minimum": 1, "maximum": 3},
        "verdict": {"enum": ["YES", "NO"]},
        "sure": {"type": "boolean"},
    },
    "required": ["score"],
    "additionalProperties": False,
}
ONE = {"question": "Who?", "answer": 'He said "no" to {it}, it\'s fine.'}
PLAIN = {"question": "Who?", "answer": "Emil."}

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
NOISE = st.text(alphabet=st.sampled_from("{}[]\"'`,:\\“”‘’「」«»/*<>think ab1.-enul\n"), max_size=80)


@given(values, st.booleans())
def test_valid_json_reads_as_it_is(value: Any, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    assert loads(text) == json.loads(text)
    assert [candidate.cut for candidate in candidates(text)] == [False]


@given(st.dictionaries(st.text(min_size=1, max_size=8), values, min_size=1, max_size=4))
def test_valid_json_in_prose_and_fences_reads_as_it_is(value: dict[str, Any]) -> None:
    text = json.dumps(value, ensure_ascii=False)
    # In prose such a tag is the end of a thought.
    assume("think" not in text and "reasoning" not in text)
    assert loads(f"Sure, here it is:\n```json\n{text}\n```\nAnything else?") == value
    assert loads(f"The result is {text}. Done.") == value


@given(st.text(max_size=200) | NOISE | st.builds(str.__add__, NOISE, st.text(max_size=40)))
def test_no_text_raises_anything_but_what_is_said(text: str) -> None:
    for candidate in candidates(text):
        json.dumps(candidate.value)
    try:
        parse(text, PAIRS)
    except MalformedReply as error:
        assert "\n" not in error.message
    without_reasoning(text)


@given(values, st.data())
def test_json_that_is_cut_anywhere_gives_whole_items_or_nothing(value: Any, data: st.DataObject) -> None:
    rows = [{"question": str(value), "answer": "yes"}, {"question": "b", "answer": "c"}]
    text = json.dumps({"pairs": rows}, ensure_ascii=False)
    cut = text[: data.draw(st.integers(0, len(text)))]
    try:
        found = parse(cut, PAIRS)["pairs"]
    except MalformedReply:
        return
    assert found == rows[: len(found)]


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(PLAIN),
        f"```json\n{json.dumps(PLAIN)}\n```",
        f"```\n{json.dumps(PLAIN)}",
        f'<think>maybe {{"question": 1}}</think>{json.dumps(PLAIN)}',
        "{'question': 'Who?', 'answer': 'Emil.'}",
        '{"question": "Who?", "answer": "Emil.",}',
        '{"question": "Who?" "answer": "Emil."}',
        '{question: "Who?", answer: "Emil."}',
        "{“question”: “Who?”, “answer”: “Emil.”}",
        "{「question」: 「Who?」, 「answer」: 「Emil.」}",
        '{"Question": "Who?", "ANSWER": "Emil."}',
        '[{"question": "Who?", "answer": "Emil."}]',
        '{"question": "Who?", // as asked\n "answer": "Emil." /* short */}',
        'See [1] and {x}. {"question": "Who?", "answer": "Emil."}',
        f"I think</think>{json.dumps(PLAIN)}",
        '{"question": "Who?", "answer": "Emil."',
        '{"question": "Who?",\n"answer": "Emil."\n',
    ],
)
def test_what_models_do_to_json_is_forgiven(text: str) -> None:
    assert parse(text, {**PAIR, "additionalProperties": False}) == PLAIN


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"question": "Who said "hello" to it?", "answer": "x"}', 'Who said "hello" to it?'),
        ("{'question': 'it's who's?', 'answer': 'x'}", "it's who's?"),
        ('{"question": "a\nb", "answer": "x"}', "a\nb"),
        ('{"question": "What ends with </think>?", "answer": "x",}', "What ends with </think>?"),
        ('{"question": "\\u00fc \\ud83d\\ude00 \\q", "answer": "x",}', "ü 😀 q"),
    ],
)
def test_quotes_and_escapes_inside_texts(text: str, expected: str) -> None:
    assert parse(text, PAIR)["question"] == expected


def test_a_list_instead_of_the_object_around_it_is_taken() -> None:
    assert parse(json.dumps([PLAIN, ONE]), PAIRS) == {"pairs": [PLAIN, ONE]}
    assert parse(json.dumps({"pairs": PLAIN}), PAIRS) == {"pairs": [PLAIN]}


def test_the_incomplete_last_item_of_a_cut_reply_is_dropped() -> None:
    whole = json.dumps({"pairs": [PLAIN, PLAIN, ONE]})
    assert parse(whole[:-12], PAIRS) == {"pairs": [PLAIN, PLAIN]}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"score": "2", "verdict": "yes.", "sure": "no"}', {"score": 2, "verdict": "YES", "sure": False}),
        ('{"score": "2/3", "reason": null, "other": 1}', {"score": 2}),
        ('{"Score": 3.0, "reason": 5}', {"score": 3, "reason": "5"}),
    ],
)
def test_values_are_brought_into_the_wanted_form(text: str, expected: dict[str, Any]) -> None:
    assert parse(text, VERDICT) == expected


@pytest.mark.parametrize(
    ("text", "schema", "message"),
    [
        ("", PAIR, "the reply is empty"),
        ("<think>hm</think>  ", PAIR, "the reply is empty"),
        ("I cannot do that.", PAIR, "the reply holds no JSON"),
        ('{"question": "Who?"}', PAIR, "does not fit: the object lacks answer"),
        ('{"pairs": []}', PAIRS, "pairs has 0 items; at least 1 wanted"),
        (
            '{"pairs": [{"question": "a", "answer": ["b"]}]}',
            PAIRS,
            "pairs[0].answer is an array instead of a string",
        ),
        ('{"score": 4}', VERDICT, "score is 4; at most 3 wanted"),
        ('{"score": "high"}', VERDICT, "score is a string instead of an integer"),
        ('{"score": 1, "verdict": "perhaps"}', VERDICT, "verdict is 'perhaps', not one of"),
    ],
)
def test_what_does_not_fit_is_named(text: str, schema: dict[str, Any], message: str) -> None:
    with pytest.raises(MalformedReply) as caught:
        parse(text, schema)
    assert message in caught.value.message


def test_hostile_texts_end_soon() -> None:
    for text in (
        "[" * 100_000,
        '{"a":' * 50_000,
        '["' * 50_000,
        "<think>" * 30_000,
        "/*" * 50_000 + "{",
        "{" + "/*" * 50_000,
        "```" * 50_000 + " " * 50_000,
        "{'" + "' " * 100_000,
        "9" * 100_000,
        "{" * (MAX_CHARACTERS + 1),
    ):
        with pytest.raises(MalformedReply):
            parse(text, PAIRS)


def test_a_schema_that_says_more_than_is_understood_is_refused() -> None:
    check_schema(PAIRS)
    check_schema(VERDICT)
    with pytest.raises(ConfigError, match=r"schema.a\[\]: JSON schema keyword 'anyOf'"):
        check_schema({"properties": {"a": {"type": "array", "items": {"anyOf": []}}}})
    with pytest.raises(ConfigError, match="'text' is not a JSON type"):
        check_schema({"type": "text"})


def test_the_instruction_speaks_chinese_to_a_chinese_prompt() -> None:
    chinese = instruction((Message("user", "请根据下面的文字写出三个问题。"),), PAIR, problem="p", cut=True)
    assert chinese.startswith("你的回答无法使用（p）。回答被截断")
    assert "Answer with one JSON value" in instruction((Message("user", "Write."),), PAIR)
    assert json.dumps(PAIR) in chinese


class Scripted:
    """A model that says its lines."""

    name = "scripted"

    def __init__(self, *lines: str, stopped: bool = True) -> None:
        self.lines = list(lines)
        self.stopped = stopped
        self.asked: list[ChatRequest] = []

    async def chat(self, request: ChatRequest) -> Reply:
        self.asked.append(request)
        return Reply(self.lines.pop(0), self.stopped, 1, 1)


def test_one_repair_turn_and_no_more() -> None:
    model = Scripted("no", "still no", "never asked")
    with pytest.raises(MalformedReply, match="also after a repair turn"):
        run(ask(model, chat(), PAIR))
    assert model.lines == ["never asked"]
    assert [request.schema for request in model.asked] == [PAIR, PAIR]


def test_a_cut_reply_is_asked_for_more_briefly() -> None:
    model = Scripted('{"question": "x", "ans', json.dumps(PLAIN), stopped=False)
    parsed = run(ask(model, chat(schema=PAIR)))
    assert (parsed.value, parsed.repaired, len(parsed.replies)) == (PLAIN, True, 2)
    assert "It was cut off, so be briefer." in model.asked[1].messages[-1].content


def test_a_good_reply_costs_one_request() -> None:
    model = Scripted(json.dumps(PLAIN))
    parsed = run(ask(model, chat(schema=PAIR)))
    assert (parsed.value, parsed.repaired) == (PLAIN, False)
