from __future__ import annotations

import json
from pathlib import Path

import pytest
from qna_samples import SKILL, write_leaf

from labtune.taxonomy.check import CheckReport, check
from labtune.taxonomy.codes import CODES
from labtune.taxonomy.report import FORMATS, render, summary


@pytest.fixture
def report(tmp_path: Path) -> CheckReport:
    text = SKILL.replace("answer: down", "answer: Yes  ").replace("created_by: me\n", "")
    write_leaf(tmp_path, "compositional_skills/a, b:100%", text, attribution_txt="License: CC BY-NC 4.0\n")
    return check(tmp_path)


def test_text(report: CheckReport) -> None:
    lines = render(report, "text", relative_to=report.root).splitlines()
    file = "compositional_skills/a, b:100%"
    assert lines == [
        f"{file}/qna.yaml:2:1: error K102 found no 'created_by'; expected the contributor's name; "
        "mend: add a line 'created_by: ...'",
        f"{file}/qna.yaml:8:13: error K103 found the YAML boolean 'Yes' without quotes; "
        'expected an answer as text; mend: quote it: "Yes" [--fix]',
        f"{file}/qna.yaml:8:16: warning F101 found spaces at the end of the line; expected none; "
        "mend: delete them [--fix]",
        "1 leaf checked: 2 errors, 1 warning; --fix mends 2",
    ]


def test_paths_are_absolute_or_relative_to_a_folder(report: CheckReport, tmp_path: Path) -> None:
    assert render(report, "text").startswith(f"{tmp_path.as_posix()}/compositional_skills")
    below = tmp_path / "compositional_skills"
    assert render(report, "text", relative_to=below).startswith("a, b:100%/qna.yaml:2:1")


def test_json(report: CheckReport) -> None:
    value = json.loads(render(report, "json", relative_to=report.root))
    assert {
        key: value[key] for key in ("schema", "kind", "passed", "leaves", "errors", "warnings", "fixable")
    } == {
        "schema": 1,
        "kind": "check",
        "passed": False,
        "leaves": 1,
        "errors": 2,
        "warnings": 1,
        "fixable": 2,
    }
    second = value["findings"][1]
    assert (second["line"], second["column"], second["code"], second["title"], second["fixable"]) == (
        8,
        13,
        "K103",
        "value of the wrong kind",
        True,
    )


def test_github(report: CheckReport) -> None:
    first = render(report, "github", relative_to=report.root).splitlines()[0]
    assert first == (
        "::error file=compositional_skills/a%2C b%3A100%25/qna.yaml,line=2,col=1,title=K102 missing key::"
        "found no 'created_by'; expected the contributor's name; mend: add a line 'created_by: ...'"
    )


def test_sarif_has_the_structure_that_readers_need(report: CheckReport) -> None:
    value = json.loads(render(report, "sarif", relative_to=report.root))
    assert value["version"] == "2.1.0"
    (run,) = value["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert run["tool"]["driver"]["name"] == "labtune"
    assert len(run["results"]) == 3
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in ("error", "warning", "note")
        assert result["message"]["text"]
        place = result["locations"][0]["physicalLocation"]
        assert place["region"]["startLine"] >= 1
        assert place["region"]["startColumn"] >= 1
        assert place["artifactLocation"]["uri"] == "compositional_skills/a%2C%20b%3A100%25/qna.yaml"


def test_an_empty_report_renders_in_every_format(tmp_path: Path) -> None:
    report = CheckReport(tmp_path, 3, 0, ())
    assert summary(report) == "3 leaves checked: 0 errors, 0 warnings"
    assert json.loads(render(report, "json"))["passed"] is True
    assert json.loads(render(report, "sarif"))["runs"][0]["results"] == []
    assert render(report, "github") == ""
    assert set(FORMATS) == {"text", "json", "github", "sarif"}


def test_control_characters_cannot_reach_the_terminal(tmp_path: Path) -> None:
    write_leaf(tmp_path, "compositional_skills/a", SKILL.replace("created_by", '"a\\e[31mb"'))
    assert "\x1b" not in render(check(tmp_path), "text")
    assert "\x1b" not in render(check(tmp_path), "github")


def test_every_code_has_a_title_and_a_severity() -> None:
    assert all(code.title and code.severity in ("error", "warning", "note") for code in CODES.values())
    assert all(code.severity != "error" for name, code in CODES.items() if name[0] in "ALF")
