from __future__ import annotations

import json
from collections import defaultdict

import pytest
from qna_samples import SHARED

from labtune.taxonomy.check import check
from labtune.taxonomy.read import read_taxonomy

pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data is not at hand")


def test_every_conformance_file_gets_its_verdict() -> None:
    root = SHARED / "qna-conformance"
    expected = json.loads((root / "expected.json").read_text())
    report = check(root)
    errors = defaultdict(list)
    for finding in report.findings:
        if finding.severity == "error":
            errors[finding.source.file.rpartition("/")[0]].append(finding.code)
    verdicts = {leaf: not errors[leaf] for leaf in expected}
    assert verdicts == {leaf: entry["accept"] for leaf, entry in expected.items()}
    assert report.leaves == len(expected)


def test_a_single_file_gets_the_verdict_that_the_whole_taxonomy_gives_it() -> None:
    root = SHARED / "qna-conformance"
    for leaf, entry in json.loads((root / "expected.json").read_text()).items():
        assert check(root / leaf / "qna.yaml").passed is entry["accept"], leaf
        assert check(root / leaf).passed is entry["accept"], leaf


def test_conformance_messages_say_what_to_do() -> None:
    root = SHARED / "qna-conformance"
    boolean = [
        f for f in check(root / "compositional_skills/boolean_answer").findings if f.severity == "error"
    ]
    assert [(f.source.line, f.source.column, f.mend) for f in boolean] == [(6, 11, 'quote it: "Yes"')]
    version = [f for f in check(root / "knowledge/deprecated_v2").findings if f.severity == "error"]
    assert [(f.code, f.expected) for f in version] == [("K108", "knowledge in version 3")]
    key = [f for f in check(root / "compositional_skills/bad_key").findings if f.severity == "error"]
    assert [f.mend for f in key] == ["rename it to 'created_by'"]


def test_the_real_taxonomy_passes() -> None:
    leaves, findings = read_taxonomy(SHARED / "taxonomy")
    assert [finding for finding in findings if finding.severity == "error"] == []
    assert len(leaves) == 15
    assert [leaf.path for leaf in leaves] == sorted(leaf.path for leaf in leaves)
    assert {leaf.kind for leaf in leaves} == {"knowledge", "compositional_skill", "foundational_skill"}
    bird = next(leaf for leaf in leaves if leaf.kind == "knowledge")
    assert (len(bird.seeds), bird.attribution.license, bird.language) == (15, "CC-BY-SA-4.0", "en")
    assert check(SHARED / "taxonomy").passed
