from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest
import yaml
from qna_samples import SHARED, SKILL, check_text, knowledge, write_leaf

from labtune.taxonomy.check import check
from labtune.taxonomy.fix import fix, fix_exam, fix_qna
from labtune.taxonomy.validate import LeafName
from labtune.types import LeafKind


def mend(text: str, kind: LeafKind = "compositional_skill") -> tuple[str, list[str]]:
    data, changes = fix_qna(text.encode(), LeafName("x", "x/qna.yaml", kind))
    return data.decode(), changes


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("answer: down", "answer: Yes", id="boolean"),
        pytest.param("answer: down", "answer: 3.50", id="number"),
        pytest.param("answer: down", "answer: 2024-01-31  # a day", id="date"),
        pytest.param("created_by: me", "createdby: me", id="key"),
        pytest.param("task_description:", "Task-Description:", id="key-form"),
        pytest.param("version: 2", 'version: "2"', id="quoted-version"),
        pytest.param("version: 2", "version: 2.0", id="float-version"),
        pytest.param("answer: down\n", "answer: down   \n", id="trailing-spaces"),
        pytest.param("dry\n", "dry", id="no-final-newline"),
        pytest.param("dry\n", "dry\n\n  \n\n", id="blank-end"),
    ],
)
def test_one_mechanical_mistake_is_mended(old: str, new: str) -> None:
    assert old in SKILL
    broken = SKILL.replace(old, new)
    mended, changes = mend(broken)
    assert changes
    assert check_text(mended).leaf is not None
    assert mend(mended) == (mended, [])
    assert re.findall("#.*", mended) == [line.rstrip() for line in re.findall("#.*", broken)]


def test_the_text_of_a_quoted_answer_stays_as_it_was_written() -> None:
    mended, changes = mend(SKILL.replace("answer: down", "answer: Yes").replace("answer: new", "answer: 007"))
    assert 'answer: "Yes"' in mended
    assert 'answer: "007"' in mended
    assert changes == ["line 9: quoted Yes", "line 11: quoted 007"]


def test_everything_else_stays_byte_for_byte() -> None:
    broken = SKILL.replace("answer: down", "answer:   Yes   # really").replace("me\n", "'me'   # I\n\n\n\n")
    mended, _ = mend(broken)
    assert mended == broken.replace("Yes", '"Yes"')


def test_a_missing_version_is_added_to_knowledge_only() -> None:
    mended, _ = mend("# head\n" + knowledge().replace("version: 3\n", ""), "knowledge")
    assert mended == "# head\n" + knowledge()
    skill = SKILL.replace("version: 2\n", "")
    assert mend(skill) == (skill, [])


def test_line_ends_and_byte_order_mark_are_kept() -> None:
    broken = "\ufeff" + knowledge().replace("version: 3\n", "").replace("\n", "\r\n").rstrip()
    mended, _ = mend(broken, "knowledge")
    assert mended == "\ufeff" + knowledge().replace("\n", "\r\n")


def test_tabs_in_the_indentation_become_spaces() -> None:
    broken = SKILL.replace("    answer", "\t\tanswer").replace("  - ", "\t- ")
    mended, changes = mend(broken)
    leaf = check_text(mended).leaf
    assert leaf is not None
    assert len(leaf.seeds) == 5
    assert changes == ["replaced tabs by 2 spaces in the indentation"]


def test_spaces_that_are_content_stay() -> None:
    text = (
        SKILL.replace("answer: down", "answer: |\n      one  \n      two")
        + "  - question: q\n    answer: |+\n      x\n\n\n"
    )
    mended, changes = mend(text)
    assert (mended, changes) == (text, [])


def test_what_a_person_must_decide_stays() -> None:
    for text in (SKILL.replace("answer: down", "answer:"), "a: [", "", SKILL + "created_by: you\n"):
        assert mend(text) == (text, [])


def test_an_exam_is_mended_too() -> None:
    data, changes = fix_exam(b"questions:\n  - question: a\n    answer: b\n    must: [71, yes]\n")
    assert yaml.safe_load(data) == {
        "version": 1,
        "questions": [{"question": "a", "answer": "b", "must": ["71", "yes"]}],
    }
    assert len(changes) == 3


def test_files_of_a_taxonomy_are_mended_in_place(tmp_path: Path) -> None:
    good = write_leaf(tmp_path, "compositional_skills/good", SKILL)
    bad = write_leaf(
        tmp_path,
        "compositional_skills/bad",
        SKILL.replace("down", "No"),
        exam_yaml="questions: [{question: a, answer: b}]",
    )
    before = (good / "qna.yaml").stat().st_mtime_ns
    fixed = fix(tmp_path)
    assert [(item.path.parent.name, item.path.name) for item in fixed] == [
        ("bad", "qna.yaml"),
        ("bad", "exam.yaml"),
    ]
    assert (good / "qna.yaml").stat().st_mtime_ns == before
    assert stat.S_IMODE((bad / "qna.yaml").stat().st_mode) == 0o644
    assert [path.name for path in bad.iterdir() if path.name.startswith(".")] == []
    assert fix(tmp_path) == []


def test_the_conformance_files_are_mended_where_that_is_mechanical(tmp_path: Path) -> None:
    if not SHARED.is_dir():
        pytest.skip("the shared data is not at hand")
    for name in ("boolean_answer", "bad_key", "lint_blank_line"):
        text = (SHARED / "qna-conformance/compositional_skills" / name / "qna.yaml").read_text()
        folder = write_leaf(tmp_path, f"compositional_skills/{name}", text)
        assert fix(folder)
        report = check(folder)
        assert report.passed
        assert report.fixable == 0
