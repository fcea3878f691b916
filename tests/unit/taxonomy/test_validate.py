from __future__ import annotations

import pytest
from qna_samples import SKILL, check_text, codes, knowledge

from labtune.types import LeafKind

GIT = "{repo: 'https://example.org/a/b', commit: '1234567', patterns: ['*.md']}"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param("version: 2\n", "", [], id="no-version-is-1"),
        pytest.param("version: 2", "version: 1", [], id="v1"),
        pytest.param("version: 2", "version: 3", [], id="v3"),
        pytest.param("version: 2", "version: 3.0", ["K109"], id="float"),
        pytest.param("version: 2", "version: 4", ["K108"], id="v4"),
        pytest.param("version: 2", "version: 0", ["K108"], id="v0"),
        pytest.param("version: 2", "version: -1", ["K108"], id="negative"),
        pytest.param("version: 2", 'version: "3"', ["K103"], id="quoted"),
        pytest.param("version: 2", "version: true", ["K103"], id="boolean"),
        pytest.param("version: 2", "version: null", ["K103"], id="null"),
        pytest.param("version: 2", "version: abc", ["K103"], id="word"),
        pytest.param("version: 2", "version: [3]", ["K103"], id="list"),
        pytest.param("created_by: me\n", "", ["K102"], id="no-author"),
        pytest.param("created_by: me", "created_by:", ["K104"], id="null-author"),
        pytest.param("created_by: me", "created_by: ' '", ["K104"], id="blank-author"),
        pytest.param("created_by: me", "created_by: <your name>", ["K105"], id="placeholder"),
        pytest.param("created_by: me", "createdby: me", ["K101"], id="misspelt"),
        pytest.param("created_by: me", "created_by: me\nextra: 1", ["K101"], id="unknown-key"),
        pytest.param("task_description: Name the opposite.", "task_description: ''", ["K104"], id="no-task"),
        pytest.param("answer: down", "answer: Yes", ["K103"], id="answer-yes"),
        pytest.param("answer: down", "answer: 2", ["K103"], id="answer-number"),
        pytest.param("answer: down", "answer: 2024-01-31", ["K103"], id="answer-date"),
        pytest.param("answer: down", "answer: [down]", ["K103"], id="answer-list"),
        pytest.param("answer: down", "answer: ' '", ["K104"], id="answer-blank"),
        pytest.param("answer: down", "answer: <the answer here>", ["K105"], id="answer-placeholder"),
        pytest.param("answer: down", "answer: <br>", [], id="answer-html"),
        pytest.param("answer: down", "answer: '<img src=x>'", [], id="answer-html-attribute"),
        pytest.param("answer: down", "answer: " + "a" * 5000, [], id="long-answer"),
        pytest.param("    answer: down\n", "", ["K102"], id="no-answer"),
        pytest.param("    answer: down\n", "    answer: down\n    extra: 1\n", ["K101"], id="seed-key"),
        pytest.param(
            "Opposite of up?\n    answer: down",
            "Opposite of hot?\n    answer: cold",
            ["K107"],
            id="same-seed",
        ),
        pytest.param("  - question: Opposite of wet?\n    answer: dry\n", "", ["K106"], id="four-seeds"),
        pytest.param(
            "  - question: Opposite of wet?\n    answer: dry\n", "  - text\n", ["K103"], id="seed-is-text"
        ),
        pytest.param("    answer: down\n", "    answer: down\n    context: on a hill\n", [], id="grounded"),
        pytest.param(
            "    answer: down\n", "    answer: down\n    context: ''\n", ["K104"], id="empty-context"
        ),
    ],
)
def test_skill_rules(old: str, new: str, expected: list[str]) -> None:
    assert old in SKILL
    for kind in ("compositional_skill", "foundational_skill"):
        result = check_text(SKILL.replace(old, new), kind)
        assert codes(result) == expected
        assert (result.leaf is None) is any(f.severity == "error" for f in result.problems.findings)


def test_version_1_needs_one_seed_and_allows_repetitions() -> None:
    text = "created_by: me\ntask_description: ''\nseed_examples:\n" + "  - {question: a, answer: b}\n" * 2
    leaf = check_text(text).leaf
    assert leaf is not None
    assert len({seed.id for seed in leaf.seeds}) == 2


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param("version: 3\n", "", ["K102"], id="no-version"),
        pytest.param("version: 3", "version: 2", ["K108"], id="v2-is-one-finding"),
        pytest.param("version: 3", "version: 5", ["K108"], id="v5"),
        pytest.param("domain: bridges\n", "", ["K102"], id="no-domain"),
        pytest.param("document_outline: a bridge\n", "", ["K102"], id="no-outline"),
        pytest.param("domain: bridges", "domain: bridges\ntask_description: x", ["K101"], id="task"),
        pytest.param('document: {path: ["*.md"]}\n', "", ["K102"], id="no-document"),
        pytest.param('{path: ["*.md"]}', "{path: '*.md'}", ["K103"], id="path-text"),
        pytest.param('{path: ["*.md"]}', "{path: []}", ["K106"], id="path-empty"),
        pytest.param('{path: ["*.md"]}', "{path: [a.md, a.md]}", ["K107"], id="path-twice"),
        pytest.param('{path: ["*.md"]}', "{path: [../a.md]}", ["K112"], id="path-up"),
        pytest.param('{path: ["*.md"]}', "{path: [/etc/passwd]}", ["K112"], id="path-absolute"),
        pytest.param('{path: ["*.md"]}', "{path: [a.md], repo: x}", ["K101"], id="path-and-repo"),
        pytest.param('{path: ["*.md"]}', GIT, [], id="git"),
        pytest.param('{path: ["*.md"]}', GIT.replace("'1234567'", "1234567"), ["K103"], id="commit-number"),
        pytest.param('{path: ["*.md"]}', GIT.replace("1234567", "main"), ["K111"], id="branch"),
        pytest.param('{path: ["*.md"]}', GIT.replace("1234567", "--orphan=x"), ["K111"], id="option"),
        pytest.param(
            '{path: ["*.md"]}', GIT.replace("'*.md'", "'*.md', '*.md'"), ["K107"], id="pattern-twice"
        ),
        pytest.param('{path: ["*.md"]}', GIT.replace("https", "ext::sh -c true https"), ["K113"], id="ext"),
        pytest.param('{path: ["*.md"]}', GIT.replace("https", "http"), ["K113"], id="http"),
        pytest.param(
            '{path: ["*.md"]}', GIT.replace("https:", "--upload-pack=x https:"), ["K113"], id="url-option"
        ),
        pytest.param(
            '{path: ["*.md"]}', GIT.replace("example.org/a/b", "x/<user>/b"), ["K105"], id="url-placeholder"
        ),
        pytest.param("(0.0)?\n", "(0.0)?\n        note: x\n", ["K110"], id="extra-key-in-pair"),
        pytest.param(
            "  - context: The river", "  - note: x\n    context: The river", ["K101"], id="extra-seed-key"
        ),
    ],
)
def test_knowledge_rules(old: str, new: str, expected: list[str]) -> None:
    text = knowledge()
    assert old in text
    assert codes(check_text(text.replace(old, new, 1), "knowledge")) == expected


def test_knowledge_needs_three_pairs_and_five_contexts() -> None:
    lines = knowledge().splitlines(keepends=True)
    last_pair, last_context = "".join(lines[:-2]), "".join(lines[: 6 + 4 * 8])
    assert codes(check_text(last_pair, "knowledge")) == ["K106"]
    assert codes(check_text(last_context, "knowledge")) == ["K106"]


def test_knowledge_becomes_seeds_with_places() -> None:
    result = check_text(knowledge(), "knowledge")
    assert codes(result) == []
    leaf = result.leaf
    assert leaf is not None
    assert (leaf.domain, leaf.created_by, leaf.documents) == ("bridges", "me", leaf.documents)
    assert leaf.documents is not None
    assert (leaf.documents.patterns, leaf.documents.repo) == (("*.md",), None)
    assert len(leaf.seeds) == 15
    first = leaf.seeds[0]
    assert first.answer == "The Marlow bridge is 71 metres long."
    assert (first.source.file, first.source.line, first.source.column) == ("x/leaf/qna.yaml", 9, 19)
    assert len(first.id) == 12
    assert len({seed.id for seed in leaf.seeds}) == 15


@pytest.mark.parametrize(("kind", "expected"), [(None, "knowledge"), ("knowledge", "knowledge")])
def test_a_document_tells_knowledge_where_no_folder_does(kind: LeafKind | None, expected: str) -> None:
    leaf = check_text(knowledge(), kind).leaf
    assert leaf is not None
    assert leaf.kind == expected


def test_seed_ids_follow_content_not_place() -> None:
    plain, moved = check_text(SKILL).leaf, check_text("# comment\n\n" + SKILL).leaf
    assert plain is not None
    assert moved is not None
    assert [seed.id for seed in plain.seeds] == [seed.id for seed in moved.seeds]
    assert plain.seeds[0].source.line + 2 == moved.seeds[0].source.line


@pytest.mark.parametrize(
    ("question", "language"),
    [("水的化学式是什么？", "zh"), ("水の化学式は何ですか？", "ja"), ("What is the formula of water?", "en")],
)
def test_language_of_a_leaf(question: str, language: str) -> None:
    text = (
        f"created_by: me\ntask_description: ''\nseed_examples:\n  - question: {question}\n    answer: H2O\n"
    )
    leaf = check_text(text).leaf
    assert leaf is not None
    assert leaf.language == language


def test_every_error_says_found_expected_and_mend() -> None:
    text = SKILL.replace("created_by: me", "author: me").replace("answer: down", "answer: No")
    for finding in check_text(text).problems.findings:
        assert finding.found
        assert finding.expected
        assert finding.mend
