import pytest
from hypothesis import given
from hypothesis import strategies as st

from labtune.errors import ConfigError
from labtune.generation.pipeline import load_pipeline, parse_pipeline


def test_the_built_in_pipeline_lists_its_blocks() -> None:
    names = [spec.name for spec in load_pipeline("builtin").blocks]
    assert names == ["passages", "facts", "joins", "phrasing", "answers", "check", "dedup", "coverage"]


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (
            "name: x\nblocks:\n  - {type: phrasin}\n",
            "x.yaml:3: there is no block called 'phrasin'",
            "did you mean 'phrasing'?",
        ),
        ("name: x\nblock:\n  - {type: facts}\n", "x.yaml:2: unknown key 'block'", "did you mean 'blocks'?"),
        (
            "name: x\nblocks:\n  - {type: facts, confg: {}}\n",
            "x.yaml:3: unknown key 'confg'",
            "did you mean 'config'?",
        ),
        (
            "name: x\nblocks:\n  - type: joins\n    config: {longst: 3}\n",
            "x.yaml:4: block 'joins': longst:",
            "did you mean 'longest'?",
        ),
        (
            "name: x\nblocks:\n  - type: joins\n    config: {longest: 0}\n",
            "x.yaml:4: block 'joins': longest:",
            None,
        ),
        ("name: x\nblocks: []\n", "a pipeline needs 'blocks'", None),
        (
            "name: x\nblocks:\n  - {type: facts}\n  - {type: facts}\n",
            "x.yaml:4: two blocks are called 'facts'",
            None,
        ),
        ("name: x\nblocks: [\n", "x.yaml:", None),
        ("- 1\n", "expected 'key: value' lines", None),
    ],
)
def test_a_faulty_pipeline_file_names_line_and_mend(text: str, message: str, hint: str | None) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_pipeline(text, "x.yaml")
    assert message in caught.value.message
    if hint is not None:
        assert caught.value.hint == hint


def test_an_unknown_pipeline_is_named_with_the_nearest() -> None:
    with pytest.raises(ConfigError) as caught:
        load_pipeline("buildin")
    assert caught.value.hint == "did you mean 'builtin'?"


@given(st.text(max_size=200))
def test_any_text_parses_or_is_a_config_error(text: str) -> None:
    try:
        parse_pipeline(text, "x.yaml")
    except ConfigError as error:
        assert error.message.startswith("x.yaml")
