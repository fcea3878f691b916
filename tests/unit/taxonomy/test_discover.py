from __future__ import annotations

import os
from pathlib import Path

import pytest
from qna_samples import SKILL, document, knowledge, write_leaf

from labtune.errors import TaxonomyError
from labtune.taxonomy.check import check
from labtune.taxonomy.read import read_taxonomy

ATTRIBUTION = "License of the work: MIT\n"


def findings(path: Path, **options: bool) -> list[tuple[str, str, str]]:
    return [(item.source.file, item.severity, item.code) for item in check(path, **options).findings]


def skill(root: Path, path: str, text: str = SKILL) -> Path:
    return write_leaf(root, path, text, attribution_txt=ATTRIBUTION)


def test_one_bad_leaf_stops_no_other(tmp_path: Path) -> None:
    skill(tmp_path, "compositional_skills/a")
    skill(tmp_path, "foundational_skills/c")
    for name, data in {"b": b"\xff\xfe", "d": b"a: !!python/object:x.y {}", "e": b"a: \x00"}.items():
        (skill(tmp_path, f"compositional_skills/{name}") / "qna.yaml").write_bytes(data)
    leaves, found = read_taxonomy(tmp_path)
    assert [(leaf.path, leaf.kind) for leaf in leaves] == [
        ("compositional_skills/a", "compositional_skill"),
        ("foundational_skills/c", "foundational_skill"),
    ]
    assert [(item.source.file, item.code) for item in found] == [
        ("compositional_skills/b/qna.yaml", "Y103"),
        ("compositional_skills/d/qna.yaml", "Y108"),
        ("compositional_skills/e/qna.yaml", "Y104"),
    ]


@pytest.mark.parametrize(
    ("name", "right"), [("qna.yml", "qna.yaml"), ("QNA.yaml", "qna.yaml"), ("exam.yml", "exam.yaml")]
)
def test_other_names_are_a_warning_and_are_not_read(tmp_path: Path, name: str, right: str) -> None:
    folder = skill(tmp_path, "compositional_skills/a")
    (folder / name).write_text("not: [valid")
    report = check(tmp_path)
    assert report.passed
    assert [(item.source.file, item.code, item.expected) for item in report.findings] == [
        (f"compositional_skills/a/{name}", "P101", right)
    ]


def test_a_file_of_another_name_can_be_checked_by_naming_it(tmp_path: Path) -> None:
    path = tmp_path / "draft.yaml"
    path.write_text(SKILL.replace("answer: down", "answer: No"))
    assert findings(path) == [("draft.yaml", "warning", "P101"), ("draft.yaml", "error", "K103")]


def test_folders_outside_the_taxonomy_are_named_and_left_out(tmp_path: Path) -> None:
    skill(tmp_path, "compositional_skills/a")
    skill(tmp_path, "docs/example")
    skill(tmp_path, ".hidden/example")
    assert findings(tmp_path) == [("docs/example/qna.yaml", "warning", "P103")]
    assert len(read_taxonomy(tmp_path)[0]) == 1


def test_links_may_not_leave_the_taxonomy(tmp_path: Path) -> None:
    root = tmp_path / "t"
    outside = skill(tmp_path, "outside")
    linked = root / "compositional_skills" / "linked"
    linked.mkdir(parents=True)
    (linked / "qna.yaml").symlink_to(outside / "qna.yaml")
    (root / "compositional_skills" / "folder").symlink_to(outside)
    own = skill(root, "compositional_skills/own")
    (own / "attribution.txt").unlink()
    (own / "attribution.txt").symlink_to(outside / "attribution.txt")
    (own / "exam.yaml").symlink_to(tmp_path / "nowhere.yaml")
    leaves, found = read_taxonomy(root)
    assert [leaf.path for leaf in leaves] == ["compositional_skills/own"]
    assert sorted((item.source.file, item.code) for item in found) == [
        ("compositional_skills/folder", "P103"),
        ("compositional_skills/linked/qna.yaml", "P102"),
        ("compositional_skills/own/attribution.txt", "P102"),
        ("compositional_skills/own/exam.yaml", "P102"),
    ]


def test_a_link_inside_the_taxonomy_is_read(tmp_path: Path) -> None:
    own = skill(tmp_path, "compositional_skills/own")
    other = tmp_path / "compositional_skills" / "other"
    other.mkdir()
    for name in ("qna.yaml", "attribution.txt"):
        (other / name).symlink_to(own / name)
    assert len(read_taxonomy(tmp_path)[0]) == 2


def test_something_that_is_no_file_is_a_finding(tmp_path: Path) -> None:
    folder = tmp_path / "compositional_skills" / "pipe"
    folder.mkdir(parents=True)
    os.mkfifo(folder / "qna.yaml")
    assert findings(tmp_path) == [("compositional_skills/pipe/qna.yaml", "error", "Y101")]


def test_an_exam_needs_a_leaf(tmp_path: Path) -> None:
    folder = skill(tmp_path, "compositional_skills/a")
    (folder / "exam.yaml").write_text("version: 1\nquestions: [{question: q, answer: a}]\n")
    assert (findings(tmp_path), check(tmp_path).exam_questions) == ([], 1)
    (folder / "qna.yaml").unlink()
    assert findings(tmp_path) == [("compositional_skills/a/exam.yaml", "error", "P105")]


def test_the_kind_follows_the_top_folder(tmp_path: Path) -> None:
    skill(tmp_path, "compositional_skills/knowledge/a")
    write_leaf(
        tmp_path,
        "knowledge/compositional_skills/b",
        knowledge(),
        attribution_txt=ATTRIBUTION,
        b_md=document(),
    )
    leaves, found = read_taxonomy(tmp_path)
    assert [leaf.kind for leaf in leaves] == ["compositional_skill", "knowledge"]
    assert found == []


def test_what_a_path_stands_for(tmp_path: Path) -> None:
    lab = tmp_path / "lab"
    root = lab / "taxonomy"
    leaf = skill(root, "compositional_skills/group/a")
    skill(root, "compositional_skills/b")
    skill(root, "compositional_skills/group/a/below")
    leaves = {
        lab: 3,
        root: 3,
        root / "compositional_skills": 3,
        root / "compositional_skills" / "group": 2,
        leaf: 2,
        leaf / "qna.yaml": 1,
        leaf / "attribution.txt": 1,
    }
    for path, count in leaves.items():
        report = check(path)
        assert (report.leaves, report.root, report.findings) == (count, root, ())


def test_a_leaf_on_its_own_is_checked_by_its_content(tmp_path: Path) -> None:
    folder = write_leaf(tmp_path, "somewhere", knowledge(), attribution_txt=ATTRIBUTION, bridge_md=document())
    report = check(folder)
    assert (report.passed, report.leaves, report.findings) == (True, 1, ())
    (folder / "qna.yaml").write_text(knowledge().replace("domain: bridges\n", ""))
    assert [item.code for item in check(folder / "qna.yaml").findings] == ["K102"]


def test_a_named_root_decides_over_folder_names(tmp_path: Path) -> None:
    root = tmp_path / "knowledge" / "mine"
    leaf = skill(root, "compositional_skills/knowledge/a")
    assert [item.code for item in check(leaf).findings if item.severity == "error"]
    report = check(leaf, root=root)
    assert (report.passed, report.root, report.leaves) == (True, root, 1)
    elsewhere = skill(tmp_path / "other", "compositional_skills/b")
    assert check(elsewhere, root=root).root == tmp_path / "other"
    assert check(tmp_path, root=root).leaves == 1


def test_misnamed_files_alone_are_not_a_pass(tmp_path: Path) -> None:
    folder = skill(tmp_path, "compositional_skills/a")
    (folder / "qna.yaml").rename(folder / "qna.yml")
    assert sorted(code for _, _, code in findings(tmp_path)) == ["P101", "P104"]


def test_nothing_to_check_is_not_a_pass(tmp_path: Path) -> None:
    assert [code for _, _, code in findings(tmp_path)] == ["P104"]
    assert not check(tmp_path).passed
    with pytest.raises(TaxonomyError, match="there is no"):
        check(tmp_path / "none")
    with pytest.raises(TaxonomyError, match="there is no taxonomy folder"):
        read_taxonomy(tmp_path / "none")
