from __future__ import annotations

import pytest

from labtune.taxonomy.attribution import is_open_license, parse_attribution
from labtune.taxonomy.exam import validate_exam

EXAM = """\
version: 1
questions:
  - question: How long is the bridge?
    answer: It is 71 metres long.
    must: ["71"]
  - question: Who designed it?
    answer: William Clark designed it.
"""


def test_an_exam_becomes_items() -> None:
    result = validate_exam(EXAM, "a/exam.yaml")
    assert result.problems.findings == []
    first, second = result.items
    assert (first.question, first.must, first.source.line) == ("How long is the bridge?", ("71",), 3)
    assert second.must == ()


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        pytest.param("version: 1\n", "", "K102", id="no-version"),
        pytest.param("version: 1", "version: 2", "K108", id="v2"),
        pytest.param("questions:", "question:", "K101", id="misspelt"),
        pytest.param('["71"]', "[71]", "K103", id="must-number"),
        pytest.param('["71"]', "71 metres", "K103", id="must-text"),
        pytest.param('["71"]', "[]", "K106", id="must-empty"),
        pytest.param("Who designed it?", "HOW LONG  is the bridge", "K107", id="same-question"),
        pytest.param("    answer: William Clark designed it.\n", "", "K102", id="no-answer"),
        pytest.param("    must:", "    mast:", "K101", id="must-misspelt"),
        pytest.param("  - question: Who designed it?", "  - questions: Who designed it?", "K101", id="key"),
    ],
)
def test_exam_rules(old: str, new: str, code: str) -> None:
    assert old in EXAM
    result = validate_exam(EXAM.replace(old, new), "exam.yaml")
    assert [finding.code for finding in result.problems.findings] == [code]
    assert result.items == []


def test_questions_that_differ_by_an_operator_are_different() -> None:
    questions = "".join(f"  - {{question: 'What is 2{sign}2?', answer: '4'}}\n" for sign in "+*")
    text = f"version: 1\nquestions:\n{questions}"
    assert len(validate_exam(text, "exam.yaml").items) == 2


def test_attribution_takes_the_first_block() -> None:
    text = (
        "\ufeffTitle of work: Birds\r\nLink to work: -\r\nLicense of the work: CC-BY-SA-4.0\r\n"
        "Creator names: A, B\r\n\r\nTitle of work: Fish\r\nLicense of the work: MIT\r\n"
    )
    found = parse_attribution(text)
    assert (found.title, found.link, found.license, found.creators) == ("Birds", "", "CC-BY-SA-4.0", "A, B")


def test_attribution_in_free_words_becomes_the_title() -> None:
    assert parse_attribution("written by me\nfor this lab").title == "written by me for this lab"
    assert parse_attribution("").title == ""
    assert parse_attribution("License of the work: <licence>").license == ""


@pytest.mark.parametrize(
    ("name", "open_"),
    [
        ("CC BY-SA 4.0", True),
        ("apache-2.0", True),
        ("CC BY-NC-SA 4.0", False),
        ("all rights reserved", False),
    ],
)
def test_open_licenses(name: str, open_: bool) -> None:
    assert is_open_license(name) is open_
