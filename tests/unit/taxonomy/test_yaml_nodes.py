from __future__ import annotations

import pytest
from qna_samples import SKILL, check_text, codes

from labtune.taxonomy.decode import MAX_BYTES, decode
from labtune.taxonomy.problems import Problems
from labtune.taxonomy.yaml_nodes import MAX_DEPTH, MappingNode, ScalarNode, SequenceNode, read_nodes


def read(text: str) -> tuple[object, list[str]]:
    problems = Problems("f")
    node = read_nodes(text, problems)
    return node, [finding.code for finding in problems.findings]


BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(b"x" * (MAX_BYTES + 1), "Y102", id="too-large"),
        pytest.param("created_by: Jos\u00e9".encode("latin-1"), "Y103", id="latin-1"),
        pytest.param("created_by: me".encode("utf-16"), "Y103", id="utf-16"),
        pytest.param(b"created_by: me\x00\n", "Y104", id="nul"),
        pytest.param(b"created_by: me\x1b[31m\n", "Y104", id="escape"),
        pytest.param(b"created_by: 'me\n", "Y105", id="unclosed-quote"),
        pytest.param(b"created_by: a: b\n", "Y105", id="colon"),
        pytest.param(b"seed_examples:\n\t- a\n", "Y105", id="tab"),
        pytest.param(b"created_by: *nobody\n", "Y105", id="unknown-alias"),
        pytest.param(b"a: " + b"[" * 100_000, "Y106", id="deep-flow"),
        pytest.param(b"- " * 100_000, "Y106", id="deep-block"),
        pytest.param(b"? " * 100_000, "Y106", id="deep-keys"),
        pytest.param(BOMB.encode(), "Y107", id="billion-laughs"),
        pytest.param(b"a: [" + b"x," * 140_000 + b"]", "Y107", id="many-nodes"),
        pytest.param(b"a: !!python/object/apply:os.system ['true']\n", "Y108", id="python-tag"),
        pytest.param(b"a: !!python/name:os.system x\n", "Y108", id="python-name"),
        pytest.param(b"a: !custom x\n", "Y108", id="custom-tag"),
        pytest.param(b"a: !!binary aGVsbG8=\n", "Y108", id="binary"),
        pytest.param(b"a: 1\n---\nb: 2\n", "Y109", id="two-documents"),
        pytest.param(b"a: &x [*x]\n", "Y111", id="cycle"),
        pytest.param(b"", "Y112", id="empty"),
        pytest.param(b"# nothing\n\n", "Y112", id="comments-only"),
        pytest.param(b"---\n...\n", "Y112", id="empty-document"),
        pytest.param(b"[a]: b\n", "Y113", id="list-as-key"),
        pytest.param(b"<<: text\n", "Y114", id="merge-of-text"),
        pytest.param(b"false\n", "K103", id="scalar-at-top"),
        pytest.param(b"- a\n", "K103", id="list-at-top"),
    ],
)
def test_unreadable_files_are_one_finding(data: bytes, code: str) -> None:
    result = check_text(data)
    assert codes(result) == [code]
    assert result.leaf is None
    assert all(finding.mend and finding.found for finding in result.problems.findings)


def test_a_duplicate_key_names_both_lines() -> None:
    result = check_text(SKILL + "created_by: you\n")
    (finding,) = result.problems.findings
    assert (finding.code, finding.source.line, finding.source.column) == ("Y110", 16, 1)
    assert "first on line 3" in finding.found


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\xef\xbb\xbf" + SKILL.encode(), id="bom"),
        pytest.param(SKILL.replace("\n", "\r\n").encode(), id="crlf"),
        pytest.param(SKILL.replace("cold", "❄️ 冷").encode(), id="emoji"),
        pytest.param(("---\n" + SKILL).encode(), id="document-start"),
        pytest.param(
            SKILL.replace('"cold"', "&word cold").replace("answer: new", "answer: *word").encode(),
            id="anchor",
        ),
        pytest.param(SKILL.replace('"cold"', "!!str 5").encode(), id="explicit-str"),
        pytest.param(SKILL.replace("dry\n", "dry").encode(), id="no-final-newline"),
    ],
)
def test_harmless_variants_are_accepted(data: bytes) -> None:
    result = check_text(data)
    assert codes(result) == []
    assert result.leaf is not None
    assert len(result.leaf.seeds) == 5


def test_merge_keys_fill_in_what_the_mapping_does_not_say() -> None:
    text = SKILL.replace(
        '- question: Opposite of hot?\n    answer: "cold"',
        "- &first\n    question: Opposite of hot?\n    answer: cold",
    )
    text = text.replace(
        "- question: Opposite of up?\n    answer: down", "- <<: *first\n    question: Antonym of hot?"
    )
    leaf = check_text(text).leaf
    assert leaf is not None
    assert [(seed.question, seed.answer) for seed in leaf.seeds[:2]] == [
        ("Opposite of hot?", "cold"),
        ("Antonym of hot?", "cold"),
    ]


def test_positions_count_characters_and_lines_from_one() -> None:
    text = "a: 冷😀\nb:\r\n  - x: |\n      y\n    z: 'q'\n"
    node, found = read(text)
    assert found == []
    assert isinstance(node, MappingNode)
    chinese = node.get("a")
    assert isinstance(chinese, ScalarNode)
    assert text[chinese.start : chinese.end] == "冷😀"
    assert (chinese.line, chinese.column) == (1, 4)
    items = node.get("b")
    assert isinstance(items, SequenceNode)
    item = items.items[0]
    assert isinstance(item, MappingNode)
    quoted = item.get("z")
    assert isinstance(quoted, ScalarNode)
    assert text[quoted.start : quoted.end] == "'q'"
    assert (quoted.line, quoted.column, quoted.style) == (5, 8, "'")


def test_lines_are_counted_as_editors_count_them() -> None:
    text = "a: 'one\u2028two\x85three'\nb: [x]\nb: y\n"
    problems = Problems("f")
    read_nodes(text, problems)
    assert [(finding.code, finding.source.line) for finding in problems.findings] == [("Y110", 3)]


def test_positions_skip_anchors_and_tags() -> None:
    text = "a: &name !!str 5\n"
    node, _ = read(text)
    assert isinstance(node, MappingNode)
    scalar = node.get("a")
    assert isinstance(scalar, ScalarNode)
    assert (text[scalar.start : scalar.end], scalar.tag) == ("5", "str")


def test_nesting_up_to_the_limit_is_read() -> None:
    assert read("[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1))[1] == []
    assert read("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1))[1] == ["Y106"]


def test_decode_names_the_place_of_a_bad_byte() -> None:
    problems = Problems("f")
    assert decode(b"ok\nab\xffcd", problems) is None
    assert (problems.findings[0].source.line, problems.findings[0].source.column) == (2, 3)
