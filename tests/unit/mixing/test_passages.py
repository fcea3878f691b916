"""Rows behind passages, distractors, views, plain text: drawn by the row itself, within the longest row."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from samplesets import ASPECTS, THINGS, Mixed, count_words, general, run_mix, sample, skills

from labtune.mixing.instructions import VIEW_FORMS, wordings
from labtune.types import Chunk, Leaf, Message, Sample, Source

N_CHUNKS = 12


def chunk(number: int, leaf: str = "knowledge/a", text: str = "") -> Chunk:
    body = text or f"The {THINGS[number % 30]} of house {number} is kept by its owner. Its age is {number}."
    return Chunk(
        id=f"chunk{number:02}",
        document_id="doc1",
        uri="manual.md",
        leaf=leaf,
        text=body,
        start=number * 100,
        end=number * 100 + len(body),
        n_tokens=len(body.split()),
        sentences=((0, len(body)),),
        heading=("Manual", f"House {number}"),
        page=number + 1,
    )


def shown(number: int) -> str:
    return f"Manual\nHouse {number}\n{chunk(number).text}"


def taught(number: int, chunk_number: int | None = None, **fields: Any) -> Sample:
    """A sample that a teacher model wrote from one chunk."""
    made = sample(
        f"t{number:03}",
        f"What is the {ASPECTS[number % 20]} of the {THINGS[number // 20]}?",
        f"It is {THINGS[number % 30]} {number}.",
    )
    place = number % N_CHUNKS if chunk_number is None else chunk_number
    return replace(made, teacher="granite", chunk_id=f"chunk{place:02}", **fields)


def view(number: int, form: str = "detailed_summary", language: str = "en") -> Sample:
    made = taught(number, form=form, language=language, length="long")
    return replace(
        made, id=f"view{number:03}", messages=(Message("user", "x"), Message("assistant", f"View {number}."))
    )


CHUNKS = [chunk(number) for number in range(N_CHUNKS)]
TAUGHT = [taught(number) for number in range(120)]


def by_id(mixed: Mixed, *parts: str) -> dict[str, Any]:
    """Rows of the phases' own, by id, of some categories."""
    return {
        row["id"]: row
        for phase in mixed.dataset.phases()
        for row in mixed.rows(phase)
        if row["origin"] == "sample" and row["metadata"]["category"] in parts
    }


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Mixed:
    return run_mix(tmp_path_factory.mktemp("mix"), [*TAUGHT, *skills(20)], chunks=CHUNKS)


def test_a_teachers_sample_comes_again_behind_its_passage_and_is_trained_whole(mixed: Mixed) -> None:
    rows = by_id(mixed, "document_question")
    assert set(rows) == {f"{s.id}+document_question" for s in TAUGHT}
    row = rows["t007+document_question"]
    assert row["messages"] == [
        {"role": "user", "content": f"{shown(7)}\n\n{TAUGHT[7].messages[0].content}"},
        {"role": "assistant", "content": TAUGHT[7].messages[1].content},
    ]
    assert row["unmask"] is True
    assert (row["metadata"]["sample"], row["metadata"]["chunk"]) == ("t007", "chunk07")
    assert {r["id"] for r in mixed.rows("knowledge-long") if r["origin"] == "sample"} == set(rows)
    own = [r for r in mixed.rows("knowledge-short") if r["origin"] == "sample"]
    assert [r["unmask"] for r in own] == [False] * 120


def test_the_builtin_teachers_samples_come_once_unless_the_lab_says_otherwise(tmp_path: Path) -> None:
    builtin = [replace(s, teacher="builtin") for s in TAUGHT]
    plain = run_mix(tmp_path / "a", builtin)
    assert plain.dataset.phases() == ["knowledge-short"]
    assert not any("unmask" in row for row in plain.rows("knowledge-short"))
    some = run_mix(tmp_path / "b", builtin, chunks=CHUNKS, document_share=0.5)
    assert 40 <= len(by_id(some, "document_question")) <= 80
    assert not by_id(some, "raft")
    none = run_mix(tmp_path / "c", TAUGHT, chunks=CHUNKS, document_share=0, raft_share=0)
    assert none.dataset.phases() == ["knowledge-short"]


def passages_in(row: dict[str, Any]) -> list[str]:
    parts = row["messages"][0]["content"].split("Document:\n")[1:]
    return [part.rsplit("\n\n", 2)[0].rstrip() if part is parts[-1] else part.rstrip() for part in parts]


def test_distractors_are_other_passages_and_the_true_one_is_there_by_chance(mixed: Mixed) -> None:
    rows = by_id(mixed, "raft")
    assert len(rows) == 120
    assert {row["id"] for row in mixed.rows("skills") if row["metadata"]["category"] == "raft"} == set(rows)
    known = {shown(number): number for number in range(N_CHUNKS)}
    n_true, used, first = 0, Counter[int](), Counter[bool]()
    for row in rows.values():
        numbers = [known[text] for text in passages_in(row)]
        assert len(set(numbers)) == 4
        assert row["unmask"] is False
        true = int(row["metadata"]["chunk"].removeprefix("chunk"))
        n_true += true in numbers
        if true in numbers:
            first[numbers[0] == true] += 1
        used.update(number for number in numbers if number != true)
        assert row["messages"][0]["content"].endswith(
            f"\n\n{TAUGHT[int(row['id'][1:4])].messages[0].content}"
        )
    # 120 draws with p = 0.4: within four standard deviations.
    assert 27 <= n_true <= 69
    # Shuffled: the true passage stands first in about a quarter of the rows that have it.
    assert 0 < first[True] < first[False]
    assert set(used) == set(range(N_CHUNKS))
    assert max(used.values()) < 4 * min(used.values())


@pytest.mark.parametrize("chance", [0.0, 1.0])
def test_the_chance_of_the_true_passage_is_configurable(tmp_path: Path, chance: float) -> None:
    mixed = run_mix(tmp_path, TAUGHT[:40], chunks=CHUNKS, raft_true=chance, raft_documents=3)
    for row in by_id(mixed, "raft").values():
        own = shown(int(row["metadata"]["chunk"].removeprefix("chunk")))
        texts = passages_in(row)
        assert len(texts) == 3
        assert (own in texts) == (chance == 1.0)


def test_a_leaf_with_one_passage_uses_it_alone(tmp_path: Path) -> None:
    samples = [taught(number, 3) for number in range(10)]
    mixed = run_mix(
        tmp_path, samples, chunks=[chunk(3), chunk(4, leaf="knowledge/b"), chunk(5, text=chunk(3).text)]
    )
    assert [passages_in(row) for row in by_id(mixed, "raft").values()] == [[shown(3)]] * 10


def test_a_row_more_changes_no_other(tmp_path: Path, mixed: Mixed) -> None:
    """A sample more, or a chunk that no sample is from, leaves every other derived row as it was."""
    parts = ("document_question", "raft", "")
    more = run_mix(tmp_path / "a", [*TAUGHT, *skills(20), taught(200)], chunks=CHUNKS)
    before, after = by_id(mixed, *parts), by_id(more, *parts)
    assert set(after) - set(before) == {"t200", "t200+raft", "t200+document_question"}
    assert {name: after[name] for name in before} == before
    other_leaf = run_mix(
        tmp_path / "b", [*TAUGHT, *skills(20)], chunks=[*CHUNKS, chunk(50, leaf="knowledge/z")]
    )
    assert by_id(other_leaf, *parts) == before
    wider = run_mix(tmp_path / "c", [*TAUGHT, *skills(20)], chunks=[*CHUNKS, chunk(50)])
    for name, row in by_id(wider, *parts).items():
        if shown(50) not in row["messages"][0]["content"] and "raft" in name:
            assert set(passages_in(row)) == set(passages_in(before[name]))
    assert any(shown(50) in row["messages"][0]["content"] for row in by_id(wider, "raft").values())


def test_files_do_not_depend_on_the_order_of_samples_and_chunks(tmp_path: Path, mixed: Mixed) -> None:
    samples, chunks = [*TAUGHT, *skills(20)], list(CHUNKS)
    random.Random(1).shuffle(samples)
    random.Random(2).shuffle(chunks)
    assert run_mix(tmp_path / "a", samples, chunks=chunks).files() == mixed.files()
    other = run_mix(tmp_path / "b", samples, chunks=chunks, seed=2)
    assert by_id(other, "raft") != by_id(mixed, "raft")


def test_rows_keep_to_the_longest_row_by_showing_fewer_passages(tmp_path: Path) -> None:
    limit = 60
    mixed = run_mix(tmp_path / "a", TAUGHT[:30], chunks=CHUNKS, max_tokens=limit)
    rows = by_id(mixed, "raft")
    assert len(rows) == 30
    assert max(row["n_tokens"] for row in rows.values()) <= limit
    assert {len(passages_in(row)) for row in rows.values()} == {2}
    made = mixed.report["made"]
    assert made["raft"] == {"rows": 30, "shortened": 30, "too_long": 0}
    assert made["document_question"] == {"rows": 30, "shortened": 0, "too_long": 0}
    none = run_mix(tmp_path / "b", TAUGHT[:30], chunks=CHUNKS, max_tokens=15)
    assert none.report["made"]["raft"] == {"rows": 0, "shortened": 0, "too_long": 30}
    assert none.report["made"]["document_question"]["too_long"] == 30
    assert none.dataset.phases() == ["knowledge-short"]


@pytest.mark.parametrize("form", sorted(VIEW_FORMS))
def test_a_view_is_asked_for_behind_its_passage(tmp_path: Path, form: str) -> None:
    views = [view(number, form) for number in range(60)]
    mixed = run_mix(tmp_path, [*views, taught(1)], chunks=CHUNKS)
    rows = {r["id"]: r for r in mixed.rows("knowledge-long") if r["metadata"]["form"] == form}
    assert len(rows) == 60
    used = Counter[str]()
    for number in range(60):
        row = rows[f"view{number:03}"]
        passage, _, way = row["messages"][0]["content"].rpartition("\n\n")
        assert passage == shown(number % N_CHUNKS)
        assert row["messages"][1]["content"] == f"View {number}."
        assert row["unmask"] is True
        used[way] += 1
    assert set(used) == set(wordings(form, "en"))
    assert not any(name.startswith("view") for name in by_id(mixed, "document_question", "raft"))


def test_a_chinese_view_is_asked_for_in_chinese(tmp_path: Path) -> None:
    mixed = run_mix(tmp_path, [view(1, language="zh")], chunks=CHUNKS)
    [row] = mixed.rows("knowledge-long")
    assert row["messages"][0]["content"].rpartition("\n\n")[2] in wordings("detailed_summary", "zh")


def test_equal_views_are_one_and_passages_are_masked_where_asked(tmp_path: Path) -> None:
    same = [replace(view(1), id=f"v{n}") for n in range(3)]
    mixed = run_mix(tmp_path, [*same, taught(5)], chunks=CHUNKS, unmask=False)
    assert [row["id"] for row in mixed.rows("knowledge-long") if row["metadata"]["form"] != "definition"] == [
        "v0"
    ]
    assert mixed.report["removed"]["sample"] == {"near_duplicate": 2}
    assert not any("unmask" in row for row in mixed.rows("knowledge-long"))


def test_cpt_is_plain_text_of_passages_and_views_then_all_samples(tmp_path: Path) -> None:
    leaf = Leaf("knowledge/a", "knowledge", "en", (), Source("knowledge/a/qna.yaml", 1))
    samples = [*TAUGHT, *skills(20), view(1), view(2, "atomic_facts")]
    mixed = run_mix(
        tmp_path,
        samples,
        recipe="cpt",
        chunks=[*CHUNKS, chunk(40, leaf="knowledge/z", text=chunk(0).text)],
        leaves=[leaf],
        general_rows=general(300),
    )
    assert mixed.dataset.phases() == ["pretraining", "instruction"]
    rows = mixed.rows("pretraining")
    texts = [row for row in rows if row["origin"] == "sample"]
    # The thirteenth chunk says what the first does under another heading.
    assert sorted(row["text"] for row in texts) == sorted(
        [
            *(shown(number) for number in range(N_CHUNKS)),
            f"Manual\nHouse 40\n{chunk(0).text}",
            "View 1.",
            "View 2.",
        ]
    )
    assert all("messages" not in row for row in texts)
    [first] = [
        row for row in texts if row["metadata"]["chunk"] == "chunk00" and row["id"].startswith("text-")
    ]
    assert (first["metadata"]["document"], first["metadata"]["page"], first["n_tokens"]) == (
        "manual.md",
        1,
        count_words([shown(0)])[0],
    )
    assert first["metadata"]["language"] == "en"
    replayed = [row for row in rows if row["origin"] == "general_replay"]
    tokens = sum(row["n_tokens"] for row in rows)
    assert sum(row["n_tokens"] for row in replayed) / tokens == pytest.approx(0.3, abs=0.03)
    own = {row["id"] for row in mixed.rows("instruction") if row["origin"] == "sample"}
    assert own == {s.id for s in [*TAUGHT, *skills(20)]}
    assert {r["metadata"]["phase"] for r in mixed.rows("instruction") if r["origin"] == "phase_replay"} == {
        "pretraining"
    }
    read = list(mixed.dataset.rows("pretraining"))
    assert all(bool(row.text) != bool(row.messages) for row in read)


def test_a_phase_of_texts_and_chats_is_read_by_datasets_and_told_apart_by_trl(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    data_utils = pytest.importorskip("trl.data_utils")
    mixed = run_mix(tmp_path / "mix", TAUGHT, recipe="cpt", chunks=CHUNKS, general_rows=general(100))
    file = str(mixed.folder / "pretraining.jsonl")
    loaded = datasets.load_dataset("json", data_files=file, split="train", cache_dir=str(tmp_path / "hf"))
    kinds = Counter((bool(row["text"]), data_utils.is_conversational(row)) for row in loaded)
    assert set(kinds) == {(True, False), (False, True)}
    assert kinds[True, False] == N_CHUNKS


def test_single_stacks_rows_behind_passages_too(tmp_path: Path) -> None:
    mixed = run_mix(tmp_path, [*TAUGHT[:20], view(3)], recipe="single", chunks=CHUNKS)
    assert mixed.dataset.phases() == ["single"]
    parts = {part["part"]: part["rows"] for part in mixed.report["phases"]["single"]["parts"]}
    assert parts == {"samples": 20, "document_question": 20, "raft": 20, "view": 1}
