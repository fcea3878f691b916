from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
from qna_samples import SKILL, document, knowledge, write_leaf

from labtune.artifact import Curated
from labtune.config.lab import DocumentsConfig, ExamConfig
from labtune.errors import DocumentError, TaxonomyError
from labtune.taxonomy.curate import curate, curate_key
from labtune.taxonomy.fetch import GitCache
from labtune.types import Json, RunContext, StageOutcome

EXAM = "version: 1\nquestions:\n" + "".join(
    f"  - {{question: 'Exam question {n}?', answer: 'answer {n}', must: ['{n}']}}\n" for n in range(10)
)


def taxonomy(root: Path) -> Path:
    write_leaf(root, "knowledge/bridges/marlow", knowledge(), bridge_md=document(), exam_yaml=EXAM)
    write_leaf(root, "compositional_skills/opposites", SKILL)
    return root


def run(root: Path, out: Path, *, share: float = 0.2, dev: float = 0.34) -> tuple[Curated, StageOutcome]:
    events: list[tuple[str, Mapping[str, Json]]] = []
    context = RunContext(out, out.parent / "cache", emit=lambda event, fields: events.append((event, fields)))
    outcome = curate(
        root,
        exam=ExamConfig(from_seeds=share, dev_share=dev),
        documents=DocumentsConfig(chunk_tokens=64),
        run=context,
        cache=GitCache(out.parent / "git", online=False),
    )
    assert [event for event, _ in events] == ["progress"] * len(events)
    assert events[-1][1]["done"] == events[-1][1]["total"]
    return Curated(out), outcome


def test_what_curate_writes_is_what_its_readers_read(tmp_path: Path) -> None:
    curated, outcome = run(taxonomy(tmp_path / "t"), tmp_path / "out")
    assert [leaf.path for leaf in curated.leaves()] == [
        "compositional_skills/opposites",
        "knowledge/bridges/marlow",
    ]
    (found,) = curated.documents()
    assert found.uri == "knowledge/bridges/marlow/bridge.md"
    assert {chunk.leaf for chunk in curated.chunks()} == {"knowledge/bridges/marlow"}
    assert all(found.text[chunk.start : chunk.end] == chunk.text for chunk in curated.chunks())
    assert outcome.counts["held_out"] == 4
    assert outcome.counts["exam"] == len(curated.exam()) == 14
    ingestion = json.loads((tmp_path / "out" / "ingestion.json").read_text())
    assert [row["uri"] for row in ingestion] == [found.uri]
    assert json.loads((tmp_path / "out" / "findings.json").read_text()) == []


@pytest.mark.parametrize(("share", "held"), [(0.0, 0), (0.01, 1), (0.1, 2), (0.2, 3), (0.5, 8), (1.0, 15)])
def test_the_held_out_share_is_exact(tmp_path: Path, share: float, held: int) -> None:
    curated, _ = run(taxonomy(tmp_path / "t"), tmp_path / "out", share=share)
    leaf = curated.leaves()[1]
    assert sum(seed.held_out for seed in leaf.seeds) == held
    assert (
        sum(question.origin == "seed" and question.leaf == leaf.path for question in curated.exam()) == held
    )


def test_held_out_questions_are_the_exam_and_contexts_go_with_skills_only(tmp_path: Path) -> None:
    root = taxonomy(tmp_path / "t")
    write_leaf(
        root,
        "compositional_skills/grounded",
        SKILL.replace("answer: down", "answer: down\n    context: a hill"),
    )
    curated, _ = run(root, tmp_path / "out", share=1.0)
    held = {seed.question for leaf in curated.leaves() for seed in leaf.seeds if seed.held_out}
    asked = {question.question for question in curated.exam() if question.origin == "seed"}
    assert held == asked
    contexts = {question.context for question in curated.exam()}
    assert contexts == {None, "a hill"}


@pytest.mark.parametrize(("share", "dev"), [(0.0, 0), (0.34, 3), (0.5, 5), (0.9, 9)])
def test_the_dev_share_is_exact_per_leaf(tmp_path: Path, share: float, dev: int) -> None:
    root = tmp_path / "t"
    write_leaf(root, "knowledge/marlow", knowledge(), bridge_md=document(), exam_yaml=EXAM)
    curated, outcome = run(root, tmp_path / "out", share=0.0, dev=share)
    assert sum(question.split == "dev" for question in curated.exam()) == dev == outcome.counts["exam_dev"]


def test_a_seed_that_the_exam_asks_is_held_out_and_asked_once(tmp_path: Path) -> None:
    root = tmp_path / "t"
    exam = "version: 1\nquestions:\n  - {question: OPPOSITE of hot, answer: cold}\n"
    write_leaf(root, "compositional_skills/opposites", SKILL, exam_yaml=exam)
    curated, _ = run(root, tmp_path / "out", share=0.0)
    assert [seed.question for seed in curated.leaves()[0].seeds if seed.held_out] == ["Opposite of hot?"]
    assert [question.origin for question in curated.exam()] == ["exam"]


def test_seeds_with_one_question_are_held_out_together(tmp_path: Path) -> None:
    root = tmp_path / "t"
    text = knowledge()
    for number in range(5):
        for line in text.splitlines():
            if f"({number}.0)?" in line:
                text = text.replace(line, "      - question: What is said?")
    write_leaf(root, "knowledge/marlow", text, bridge_md=document())
    for share in (0.2, 0.4, 0.6, 0.8):
        curated, _ = run(root, tmp_path / "out", share=share)
        states = {seed.held_out for seed in curated.leaves()[0].seeds if seed.question == "What is said?"}
        assert len(states) == 1


def test_the_result_does_not_depend_on_order_place_or_other_leaves(tmp_path: Path) -> None:
    root = taxonomy(tmp_path / "t")
    run(root, tmp_path / "out")
    moved = tmp_path / "elsewhere"
    for path in sorted(root.rglob("*"), reverse=True):
        if path.is_file():
            target = moved / path.relative_to(root)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    run(moved, tmp_path / "again")
    for name in ("leaves", "documents", "chunks", "exam"):
        assert (tmp_path / "out" / f"{name}.jsonl").read_bytes() == (
            tmp_path / "again" / f"{name}.jsonl"
        ).read_bytes()
    write_leaf(moved, "compositional_skills/aaa", SKILL)
    curated, _ = run(moved, tmp_path / "more")
    assert [leaf for leaf in curated.leaves() if leaf.path != "compositional_skills/aaa"] == Curated(
        tmp_path / "out"
    ).leaves()
    assert curate_key(root) == curate_key(taxonomy(tmp_path / "t2"))


def test_the_key_changes_with_every_file_that_is_read_and_no_other(tmp_path: Path) -> None:
    root = taxonomy(tmp_path / "t")
    leaf = root / "knowledge/bridges/marlow"
    key = curate_key(root)
    (leaf / "README").write_text("not read")
    (root / "notes.md").write_text("not read")
    assert curate_key(root) == key
    seen = {key}
    for name in ("qna.yaml", "exam.yaml", "bridge.md", "attribution.txt"):
        with (leaf / name).open("a") as stream:
            stream.write("# more\n")
        seen.add(curate_key(root))
    (leaf / "second.md").write_text("# Another\n\nText.\n")
    seen.add(curate_key(root))
    shutil.move(root / "compositional_skills/opposites", root / "compositional_skills/contraries")
    seen.add(curate_key(root))
    assert len(seen) == 7


def test_errors_stop_the_stage_and_are_named(tmp_path: Path) -> None:
    root = taxonomy(tmp_path / "t")
    write_leaf(root, "compositional_skills/broken", SKILL.replace("answer: down", "answer: Yes"))
    with pytest.raises(TaxonomyError) as error:
        run(root, tmp_path / "out")
    assert "compositional_skills/broken/qna.yaml:9:13: K103" in error.value.message
    assert "labtune check" in (error.value.hint or "")


def test_a_taxonomy_without_leaves_or_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(TaxonomyError, match="has no leaf"):
        run(tmp_path / "empty", tmp_path / "out")
    with pytest.raises(TaxonomyError, match="there is no taxonomy folder"):
        run(tmp_path / "none", tmp_path / "out")


def test_missing_documents_name_the_leaf(tmp_path: Path) -> None:
    root = tmp_path / "t"
    write_leaf(root, "knowledge/marlow", knowledge())
    with pytest.raises(DocumentError, match=r"knowledge/marlow: the pattern '\*\.md' matches no file"):
        run(root, tmp_path / "out")
    git = "{repo: 'https://example.org/a/b', commit: 'abcdef1', patterns: ['*.md']}"
    write_leaf(root, "knowledge/marlow", knowledge(git))
    with pytest.raises(
        DocumentError, match=r"knowledge/marlow: https://example\.org/a/b at abcdef1 is not in the cache"
    ):
        run(root, tmp_path / "out")


def test_one_document_of_two_leaves_is_kept_once(tmp_path: Path) -> None:
    root = tmp_path / "t"
    for name in ("one", "two"):
        write_leaf(root, f"knowledge/{name}", knowledge(), bridge_md=document())
    curated, _ = run(root, tmp_path / "out")
    assert len(curated.documents()) == 1
    assert {chunk.leaf for chunk in curated.chunks()} == {"knowledge/one", "knowledge/two"}
    assert len({(chunk.id, chunk.leaf) for chunk in curated.chunks()}) == len(curated.chunks())
