from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from qna_samples import SHARED, document

from labtune.errors import DocumentError, LabtuneError, TaxonomyError
from labtune.taxonomy.check import check
from labtune.taxonomy.new import new_leaf, quoted
from labtune.taxonomy.read import read_taxonomy
from labtune.taxonomy.wording import quotation_key


def assert_only_reminders(root: Path) -> None:
    report = check(root)
    assert report.passed, report.findings
    assert {item.code for item in report.findings} <= {"L107", "A103", "L103"}
    assert "L107" in {item.code for item in report.findings}


@pytest.mark.parametrize("language", ["en", "zh", "ja"])
@pytest.mark.parametrize("kind", ["knowledge", "skill"])
def test_a_new_leaf_passes_check(tmp_path: Path, kind: Literal["knowledge", "skill"], language: str) -> None:
    path = new_leaf(tmp_path, kind, "group/leaf", language=language)
    top = "knowledge" if kind == "knowledge" else "compositional_skills"
    assert path == tmp_path / top / "group" / "leaf" / "qna.yaml"
    assert_only_reminders(tmp_path)
    (leaf,), _ = read_taxonomy(tmp_path)
    assert leaf.language == ("zh" if language == "zh" else "en")
    assert path.read_text().startswith("# ")


def test_drafts_are_quoted_from_the_document(tmp_path: Path) -> None:
    source = tmp_path / "bridge.md"
    source.write_text(document())
    path = new_leaf(tmp_path / "t", "knowledge", "bridges/marlow", document=source)
    assert (path.parent / "bridge.md").read_text() == document()
    assert_only_reminders(tmp_path / "t")
    (leaf,), _ = read_taxonomy(tmp_path / "t")
    contexts = {seed.context for seed in leaf.seeds}
    assert len(contexts) >= 5
    assert len(leaf.seeds) >= 15
    whole = quotation_key(document())
    for seed in leaf.seeds:
        assert seed.context is not None
        assert seed.answer in seed.context
        assert quotation_key(seed.context) in whole
    assert leaf.document_outline == "The Marlow bridge"


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data is not at hand")
@pytest.mark.parametrize("name", ["chickadee.md", "phoenix.pdf", "vinegar_syndrome.md"])
def test_drafts_from_real_documents_pass_check(tmp_path: Path, name: str) -> None:
    new_leaf(tmp_path, "knowledge", "real/document", document=SHARED / "documents" / name)
    assert_only_reminders(tmp_path)


def test_a_document_that_is_too_short_says_so_and_writes_nothing(tmp_path: Path) -> None:
    source = tmp_path / "short.md"
    source.write_text("# Title\n\nOne short sentence only.\n")
    with pytest.raises(DocumentError, match="too short"):
        new_leaf(tmp_path / "t", "knowledge", "a/b", document=source)
    assert not (tmp_path / "t").exists()


@pytest.mark.parametrize("name", ["-x.md", "a b.md", "[1].md", "指南.md", "qna.yaml.md", 'it\'s "q".md'])
def test_any_document_name_is_matched_by_its_pattern(tmp_path: Path, name: str) -> None:
    source = tmp_path / name
    source.write_text(document())
    new_leaf(tmp_path / "t", "knowledge", "a/b", document=source)
    assert_only_reminders(tmp_path / "t")


@pytest.mark.parametrize(
    "path",
    ["", "/", "../x", "a/../../x", "/etc/x", "~/x", "-rf", "a/-b", ".git/x", "a\x00b", "a:b", "knowledge"],
)
def test_paths_that_are_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(TaxonomyError):
        new_leaf(tmp_path / "t", "knowledge", path)
    assert not (tmp_path / "t").exists()


def test_top_folders_may_be_named(tmp_path: Path) -> None:
    assert new_leaf(tmp_path, "knowledge", "knowledge/a/b").parent == tmp_path / "knowledge/a/b"
    assert new_leaf(tmp_path, "skill", "foundational_skills/a").parent == tmp_path / "foundational_skills/a"
    with pytest.raises(TaxonomyError):
        new_leaf(tmp_path, "skill", "knowledge/a/c")


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    path = new_leaf(tmp_path, "skill", "a/b")
    text = path.read_text()
    with pytest.raises(TaxonomyError, match="exists already"):
        new_leaf(tmp_path, "skill", "a/b")
    assert path.read_text() == text
    assert [item.name for item in (tmp_path / "compositional_skills/a").iterdir()] == ["b"]


def test_documents_go_with_knowledge_of_known_kinds_only(tmp_path: Path) -> None:
    source = tmp_path / "a.exe"
    source.write_bytes(b"MZ")
    for kind in ("knowledge", "skill"):
        with pytest.raises(LabtuneError):
            new_leaf(tmp_path / "t", kind, "a/b", document=source)


def test_quoted_text_is_one_yaml_line() -> None:
    assert quoted('a "b"\n c\u2028d\x85') == '"a \\"b\\" c d"'
    assert quoted("\u200b") == '"\\U0000200B"'
