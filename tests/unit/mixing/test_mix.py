"""Phases, replay by token share, determinism, and files that `datasets` and TRL read as they are."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest
from samplesets import Mixed, as_line, count_words, general, knowledge, run_mix, sample, skills

from labtune.errors import ConfigError, DataError, StageError
from labtune.mixing.general import load_general, load_questions
from labtune.types import TrainingRow

ALL = [*knowledge(300, "short"), *knowledge(120, "long", "old "), *skills(200)]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Mixed:
    return run_mix(tmp_path_factory.mktemp("mix"), ALL, general_rows=general(2000))


def _tokens(mixed: Mixed, phase: str) -> dict[str, int]:
    totals: Counter[str] = Counter()
    for row in mixed.rows(phase):
        totals[row["origin"]] += row["n_tokens"]
    return dict(totals)


def test_phases_follow_lab(mixed: Mixed) -> None:
    assert mixed.dataset.phases() == ["knowledge-short", "knowledge-long", "skills"]
    own = {
        phase: {row["metadata"]["sample"] for row in mixed.rows(phase) if row["origin"] == "sample"}
        for phase in mixed.dataset.phases()
    }
    assert own["knowledge-short"] == {s.id for s in ALL if s.length == "short" and s.kind == "knowledge"}
    assert own["knowledge-long"] == {s.id for s in ALL if s.length == "long"}
    assert own["skills"] == {s.id for s in ALL if s.kind == "compositional_skill"}


@pytest.mark.parametrize(
    ("phase", "phase_share"), [("knowledge-short", 0.0), ("knowledge-long", 0.3), ("skills", 0.3)]
)
def test_replay_reaches_its_share_of_the_phases_tokens(mixed: Mixed, phase: str, phase_share: float) -> None:
    tokens = _tokens(mixed, phase)
    total = sum(tokens.values())
    assert tokens["general_replay"] / total == pytest.approx(0.3, abs=0.005)
    assert tokens.get("phase_replay", 0) / total == pytest.approx(phase_share, abs=0.005)
    reported = mixed.report["phases"][phase]
    assert reported["tokens"] == {"sample": 0, "phase_replay": 0, "general_replay": 0} | tokens
    assert reported["total_tokens"] == total
    assert reported["shares"]["general_replay"] == pytest.approx(0.3, abs=0.005)


def test_phase_replay_is_earlier_phases_own_rows_each_once(mixed: Mixed) -> None:
    for phase, earlier in (
        ("knowledge-long", {"knowledge-short"}),
        ("skills", {"knowledge-short", "knowledge-long"}),
    ):
        replayed = [row for row in mixed.rows(phase) if row["origin"] == "phase_replay"]
        assert {row["metadata"]["phase"] for row in replayed} == earlier
        assert len({row["id"] for row in replayed}) == len(replayed)
        assert all(row["metadata"]["kind"] == "knowledge" for row in replayed)


def test_general_replay_keeps_the_pools_categories_and_languages(mixed: Mixed) -> None:
    for phase in mixed.dataset.phases():
        drawn = [row["metadata"] for row in mixed.rows(phase) if row["origin"] == "general_replay"]
        shares = Counter((m["language"], m["category"]) for m in drawn)
        assert len(shares) == 6
        for (language, _), n in shares.items():
            expected = 1 / 12 if language == "zh" else 1 / 4
            assert n / len(drawn) == pytest.approx(expected, abs=0.02)


def test_a_pool_that_is_too_small_is_repeated_and_counted(tmp_path: Path) -> None:
    mixed = run_mix(tmp_path, knowledge(200, "short"), general_rows=general(12))
    rows = [row for row in mixed.rows("knowledge-short") if row["origin"] == "general_replay"]
    assert len(rows) > 24
    assert len({row["id"] for row in rows}) == len(rows)
    uses = Counter(row["metadata"]["sample"] for row in rows)
    assert len(uses) == 12
    assert max(uses.values()) - min(uses.values()) <= 1
    assert mixed.report["phases"]["knowledge-short"]["repeated"]["general_replay"] == len(rows) - 12
    assert mixed.report["phases"]["knowledge-short"]["shares"]["general_replay"] == pytest.approx(
        0.3, abs=0.01
    )


def test_rows_and_order_do_not_depend_on_the_order_of_the_input(tmp_path: Path, mixed: Mixed) -> None:
    shuffled, pool = list(ALL), general(2000)
    random.Random(7).shuffle(shuffled)
    random.Random(8).shuffle(pool)
    assert run_mix(tmp_path, shuffled, general_rows=pool).files() == mixed.files()


def test_another_seed_draws_and_orders_otherwise(tmp_path: Path, mixed: Mixed) -> None:
    other = run_mix(tmp_path, ALL, general_rows=general(2000), seed=2)
    assert [r["id"] for r in other.rows("skills")] != [r["id"] for r in mixed.rows("skills")]
    own = [{r["id"] for r in m.rows("skills") if r["origin"] == "sample"} for m in (mixed, other)]
    assert own[0] == own[1]


def test_rows_are_shuffled_over_origins(mixed: Mixed) -> None:
    origins = [row["origin"] for row in mixed.rows("skills")]
    middle = len(origins) // 2
    halves = Counter(origins[:middle]), Counter(origins[middle:])
    for origin in ("sample", "phase_replay", "general_replay"):
        assert min(half[origin] for half in halves) > 0.3 * origins.count(origin)


def test_without_replay_a_phase_is_its_own_rows(tmp_path: Path) -> None:
    mixed = run_mix(tmp_path, ALL, general_rows=general(50), replay=False)
    for phase in mixed.dataset.phases():
        assert {row["origin"] for row in mixed.rows(phase)} == {"sample"}
        assert mixed.report["phases"][phase]["shares"]["sample"] == 1.0


def test_single_stacks_everything_with_general_replay(tmp_path: Path) -> None:
    mixed = run_mix(tmp_path, ALL, general_rows=general(2000), recipe="single")
    assert mixed.dataset.phases() == ["single"]
    tokens = _tokens(mixed, "single")
    assert set(tokens) == {"sample", "general_replay"}
    assert tokens["general_replay"] / sum(tokens.values()) == pytest.approx(0.3, abs=0.005)
    assert mixed.report["phases"]["single"]["rows"]["sample"] == len(ALL)


@pytest.mark.parametrize(
    ("samples", "phases"),
    [
        (knowledge(5, "short"), ["knowledge-short"]),
        (skills(5), ["skills"]),
        ([*knowledge(5, "short"), *skills(5)], ["knowledge-short", "skills"]),
    ],
    ids=["knowledge", "skills", "both"],
)
def test_empty_phases_are_left_out(tmp_path: Path, samples: list, phases: list[str]) -> None:  # type: ignore[type-arg]
    mixed = run_mix(tmp_path, samples)
    assert mixed.dataset.phases() == phases
    assert sorted(path.name for path in mixed.folder.glob("*.jsonl")) == sorted(
        [*(f"{phase}.jsonl" for phase in phases), "removed.jsonl"]
    )


def test_every_row_tells_where_it_comes_from(tmp_path: Path) -> None:
    from labtune.types import Source

    row = sample("s1", "What is it?", "A pump.", seed=Source("knowledge/a/qna.yaml", 7))
    mixed = run_mix(tmp_path, [row], general_rows=general(50))
    [own] = [r for r in mixed.rows("knowledge-short") if r["origin"] == "sample"]
    assert own["messages"] == [
        {"role": "user", "content": "What is it?"},
        {"role": "assistant", "content": "A pump."},
    ]
    assert (own["id"], own["leaf"], own["n_tokens"]) == ("s1", "knowledge/a", count_words([row.messages])[0])
    assert own["metadata"] == {
        "sample": "s1",
        "kind": "knowledge",
        "language": "en",
        "form": "definition",
        "length": "short",
        "fact": "fact-A pump.",
        "chunk": "chunk1",
        "document": "manual.md",
        "document_id": "doc1",
        "page": 2,
        "start": 3,
        "end": 9,
        "seed": "knowledge/a/qna.yaml:7",
        "contributor": "anna",
        "license": "CC-BY-4.0",
        "pipeline": "builtin",
        "teacher": "builtin",
        "category": "",
        "phase": "knowledge-short",
        "repeat": 0,
    }


def test_metadata_has_one_type_a_column(mixed: Mixed) -> None:
    rows = [row for phase in mixed.dataset.phases() for row in mixed.rows(phase)]
    assert len({frozenset(row["metadata"].items() and row["metadata"]) for row in rows}) == 1
    for key in rows[0]["metadata"]:
        assert len({type(row["metadata"][key]) for row in rows}) == 1, key


def test_rows_read_back_as_training_rows(mixed: Mixed) -> None:
    rows = list(mixed.dataset.rows("skills"))
    assert all(isinstance(row, TrainingRow) for row in rows)
    assert sum(row.n_tokens for row in rows) == mixed.report["phases"]["skills"]["total_tokens"]


def test_datasets_and_trl_read_the_files_as_they_are(
    mixed: Mixed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets")
    data_utils = pytest.importorskip("trl.data_utils")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    files = [str(mixed.folder / f"{phase}.jsonl") for phase in mixed.dataset.phases()]
    # All phases in one load: their columns must agree as well.
    loaded = datasets.load_dataset("json", data_files=files, split="train", cache_dir=str(tmp_path))
    assert len(loaded) == sum(len(mixed.rows(phase)) for phase in mixed.dataset.phases())
    assert loaded[0] == mixed.rows("knowledge-short")[0]
    assert data_utils.is_conversational(loaded[0])
    assert loaded.features["metadata"]["page"] == datasets.Value("int64")


def test_nothing_left_to_train_on_is_said_with_the_reasons(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"no training row is left \(1 incomplete\)"):
        run_mix(tmp_path / "a", [sample("s", "What?", " ")])
    with pytest.raises(StageError, match="the sample set is empty"):
        run_mix(tmp_path / "b", [])


def test_shares_that_leave_no_room_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"is 1\.1"):
        run_mix(tmp_path, ALL, general_share=0.6, phase_share=0.5)


def test_outcome_tells_the_counts(mixed: Mixed) -> None:
    n_rows = sum(len(mixed.rows(phase)) for phase in mixed.dataset.phases())
    assert mixed.outcome.counts["rows"] == n_rows
    assert mixed.outcome.summary.startswith(f"{n_rows} rows (")
    assert mixed.outcome.counts["phases"] == ["knowledge-short", "knowledge-long", "skills"]


def test_general_set_is_read_with_ids_by_place(tmp_path: Path) -> None:
    chat = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    lines = [{"messages": chat, "category": "chat", "language": "en"}, {"messages": chat}]
    (tmp_path / "g.jsonl").write_text("".join(f"{as_line(line)}\n" for line in lines))
    rows = load_general(tmp_path / "g.jsonl")
    assert [(r.id, r.category, r.language) for r in rows] == [
        ("general-000001", "chat", "en"),
        ("general-000002", "general", "en"),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"text": "no chat"}, "row 1 has no messages"),
        ({"messages": [{"role": "user", "content": "Hi"}]}, "row 1 does not end with an answer"),
        ({"messages": [{"role": "robot", "content": "Hi"}]}, "row 1: every message needs a role and content"),
        ({"messages": [{"role": "assistant", "content": " "}]}, "row 1: every message needs"),
    ],
)
def test_a_malformed_general_set_names_the_row(tmp_path: Path, line: object, message: str) -> None:
    (tmp_path / "g.jsonl").write_text(as_line(line))
    with pytest.raises(DataError, match=message):
        load_general(tmp_path / "g.jsonl")


def test_general_exam_questions_are_read(tmp_path: Path) -> None:
    (tmp_path / "e.jsonl").write_text(as_line({"id": "1", "question": "Capital?", "answer": "Paris"}))
    assert load_questions(tmp_path / "e.jsonl") == ["Capital?"]
