"""Files beside the samples: found inside the lab, drawn by content, placed in phases, accounted for."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from samplesets import general, knowledge, question, run_mix, skills

from labtune.artifact import read_jsonl
from labtune.config.lab import MixSource
from labtune.errors import ConfigError, DataError
from labtune.mixing.messages import encode, write_chats
from labtune.mixing.sources import SourceFile, draw_rows, locate_sources


def line(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "messages": [
            {"content": f"Put {number} into words.", "role": "user"},
            {"content": f"This is number {number}.", "role": "assistant"},
        ],
        "metadata": json.dumps({"n": number}),
        "id": f"line-{number}",
        "unmask": False,
        **fields,
    }


def source(path: Path, *numbers: int, **fields: Any) -> SourceFile:
    write_chats(path, [line(number) for number in numbers])
    return SourceFile(path.name, path, **fields)


def drawn(file: SourceFile, seed: int = 1) -> list[str]:
    return [row.id for row in draw_rows(file, seed).rows]


@pytest.mark.parametrize(
    ("size", "rows"), [(30, 30), (0, 0), (500, 200), (0.25, 50), (1.0, 200), (1, 1), (0.0, 0)]
)
def test_a_size_is_rows_or_a_share_and_no_row_comes_twice(
    tmp_path: Path, size: int | float, rows: int
) -> None:
    found = drawn(source(tmp_path / "a.jsonl", *range(200), size=size))
    assert len(found) == len(set(found)) == rows


def test_a_draw_depends_on_content_and_seed_alone(tmp_path: Path) -> None:
    numbers = list(range(200))
    first = drawn(source(tmp_path / "a.jsonl", *numbers, size=40))
    random.Random(3).shuffle(numbers)
    assert drawn(source(tmp_path / "b.jsonl", *numbers, size=40)) == first
    assert drawn(source(tmp_path / "b.jsonl", *numbers, size=40), seed=2) != first
    # By chance 8 of 40 are drawn by both seeds; the first rows of the file are not preferred.
    assert sum(int(name.removeprefix("line-")) < 100 for name in first) in range(10, 31)


def test_a_row_more_displaces_one_at_most(tmp_path: Path) -> None:
    before = drawn(source(tmp_path / "a.jsonl", *range(200), size=40))
    changed = 0
    for added in range(200, 260):
        after = drawn(source(tmp_path / "a.jsonl", *range(200), added, size=40))
        left = [name for name in before if name in after]
        assert left == [name for name in after if name != f"line-{added}"]
        assert len(left) >= 39
        changed += len(left) == 39
    # An added row is drawn with probability 40 / 201.
    assert 3 <= changed <= 24


def test_rows_come_more_than_once_only_where_that_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    once = run_mix(tmp_path / "1", knowledge(9, "short"), sources=[source(path, 1, 2, 3, size=7)])
    assert len([r for r in once.rows("skills") if r["origin"] == "source"]) == 3
    assert once.report["sources"]["a.jsonl"] | {"sha256": "", "draw": ""} == {
        "asked": 7,
        "drawn": 3,
        "kept": 3,
        "repeat": False,
        "role": "skills",
        "size": 7,
        "sha256": "",
        "draw": "",
    }
    many = run_mix(
        tmp_path / "2", knowledge(9, "short"), sources=[source(path, 1, 2, 3, size=7, repeat=True)]
    )
    rows = [row for row in many.rows("skills") if row["origin"] == "source"]
    uses = Counter(row["metadata"]["sample"] for row in rows)
    assert sorted(uses.values()) == [2, 2, 3]
    assert len({row["id"] for row in rows}) == 7
    twice = source(path, 1, 2, 3, size=2.0, repeat=True)
    assert (draw_rows(twice, 1).asked, draw_rows(twice, 1).rounds, draw_rows(twice, 1).rest) == (6, 2, 0)


def test_rows_go_to_the_phase_of_their_role(tmp_path: Path) -> None:
    mixed = run_mix(
        tmp_path / "mix",
        [*knowledge(40, "short"), *knowledge(40, "long", "old "), *skills(30)],
        general_rows=general(10),
        sources=[
            source(tmp_path / "s.jsonl", *range(20)),
            source(tmp_path / "k.jsonl", *range(100, 120), role="knowledge"),
            source(tmp_path / "r.jsonl", *range(200, 400), role="replay"),
        ],
    )
    parts = {
        (phase, part["origin"], part["part"]): part["rows"]
        for phase in mixed.dataset.phases()
        for part in mixed.report["phases"][phase]["parts"]
    }
    assert parts["skills", "source", "s.jsonl"] == 20
    assert parts["knowledge-long", "source", "k.jsonl"] == 20
    assert {phase for phase, origin, part in parts if part == "r.jsonl" and origin == "general_replay"} == {
        "knowledge-short",
        "knowledge-long",
        "skills",
    }
    assert ("skills", "phase_replay", "k.jsonl") in parts
    [row] = [r for r in mixed.rows("skills") if r["metadata"]["sample"] == "line-7"]
    assert (row["origin"], row["leaf"], row.get("unmask", False)) == (
        "source",
        "source",
        False,
    )
    assert row["metadata"]["seed"] == "s.jsonl:8"
    assert row["metadata"]["document"] == "s.jsonl"
    shares = [part["share"] for part in mixed.report["phases"]["skills"]["parts"]]
    assert sum(shares) == pytest.approx(1, abs=0.001)


def test_unmask_stands_in_all_rows_or_in_none(tmp_path: Path) -> None:
    write_chats(tmp_path / "a.jsonl", [line(1, unmask=True), line(2)])
    file = SourceFile("a.jsonl", tmp_path / "a.jsonl")
    mixed = run_mix(tmp_path / "mix", knowledge(5, "short"), sources=[file], replay=False)
    rows = {row["metadata"]["sample"]: row for p in mixed.dataset.phases() for row in mixed.rows(p)}
    assert rows["line-1"]["unmask"] is True
    assert [row["unmask"] for name, row in rows.items() if name != "line-1"] == [False] * 6
    assert {row.unmask for row in mixed.dataset.rows("skills")} == {True, False}
    datasets = pytest.importorskip("datasets")
    files = [str(mixed.folder / f"{phase}.jsonl") for phase in mixed.dataset.phases()]
    loaded = datasets.load_dataset("json", data_files=files, split="train", cache_dir=str(tmp_path / "hf"))
    assert sorted(loaded["unmask"]) == [False] * 6 + [True]


def test_a_row_of_two_files_and_a_row_that_asks_the_exam_come_not_at_all_or_once(tmp_path: Path) -> None:
    mixed = run_mix(
        tmp_path / "mix",
        knowledge(5, "short"),
        exam=[question("q1", "Put 3 into words.")],
        sources=[source(tmp_path / "a.jsonl", 1, 2, 3), source(tmp_path / "b.jsonl", 2, 4)],
    )
    names = [r["metadata"]["sample"] for r in mixed.rows("skills") if r["origin"] == "source"]
    assert sorted(names) == ["line-1", "line-2", "line-4"]
    assert mixed.report["removed"]["a.jsonl"] == {"exam_question": 1}
    assert mixed.report["removed"]["b.jsonl"] == {"same_id": 1}


def test_plain_text_of_a_file_is_a_text_row(tmp_path: Path) -> None:
    texts = ["Rivers run down.", "Mountains stand still and high."]
    write_chats(tmp_path / "t.jsonl", [{"messages": [{"content": t, "role": "pretraining"}]} for t in texts])
    mixed = run_mix(
        tmp_path / "mix",
        knowledge(5, "short"),
        recipe="cpt",
        sources=[SourceFile("t.jsonl", tmp_path / "t.jsonl")],
        chunks=(),
    )
    rows = mixed.rows("pretraining")
    assert sorted(row["text"] for row in rows) == sorted(texts)
    assert not any("messages" in row for row in rows)


def settings(*sources: dict[str, Any]) -> list[MixSource]:
    return [MixSource(**fields) for fields in sources]


def test_a_recipe_names_files_beside_it_with_sizes_and_a_system_prompt(tmp_path: Path) -> None:
    (tmp_path / "sets").mkdir()
    source(tmp_path / "sets" / "a.jsonl", *range(10))
    source(tmp_path / "b.jsonl", *range(20, 40))
    (tmp_path / "sets" / "skills.yaml").write_text(
        "datasets:\n- path: a.jsonl\n  sampling_size: 1.0\n- path: ../b.jsonl\n  sampling_size: 7\n"
        "metadata:\n  sys_prompt: You are kind.\n"
    )
    found = locate_sources(settings({"path": "sets/skills.yaml"}), tmp_path)
    assert [(f.name, f.size, f.system_prompt) for f in found] == [
        ("sets/a.jsonl", 1.0, "You are kind."),
        ("b.jsonl", 7, "You are kind."),
    ]
    mixed = run_mix(tmp_path / "mix", knowledge(5, "short"), sources=found)
    rows = [row for row in mixed.rows("skills") if row["origin"] == "source"]
    assert len(rows) == 17
    assert all(row["messages"][0] == {"role": "system", "content": "You are kind."} for row in rows)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"path": "../outside.jsonl"}, r"mix\.sources: \.\./outside\.jsonl is outside the lab"),
        ({"path": "/etc/hosts"}, "mix.sources: /etc/hosts is outside the lab"),
        ({"path": "link.jsonl"}, "mix.sources: link.jsonl is outside the lab"),
        ({"path": "missing.jsonl"}, "mix.sources: there is no file missing.jsonl in the lab"),
        ({"path": "a.parquet"}, "mix.sources: a.parquet is of no kind that can be read"),
        ({"path": "a.jsonl", "size": 1.5}, "a.jsonl has size 1.5, more than all of its rows"),
        ({"path": "a.jsonl", "size": float("inf"), "repeat": True}, "a.jsonl has size inf"),
        ({"path": "r.yaml", "size": 3}, "r.yaml is a recipe, which names its own sizes"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    lab = tmp_path / "lab"
    lab.mkdir()
    source(tmp_path / "outside.jsonl", 1)
    (lab / "link.jsonl").symlink_to(tmp_path / "outside.jsonl")
    source(lab / "a.jsonl", 1)
    (lab / "a.parquet").write_bytes(b"PAR1")
    (lab / "r.yaml").write_text("datasets: [{path: a.jsonl}]")
    with pytest.raises(ConfigError, match=message):
        locate_sources(settings(fields), lab)


def test_a_file_named_twice_is_refused(tmp_path: Path) -> None:
    source(tmp_path / "a.jsonl", 1)
    with pytest.raises(ConfigError, match=r"a\.jsonl is named twice"):
        locate_sources(settings({"path": "a.jsonl"}, {"path": "./a.jsonl", "role": "replay"}), tmp_path)


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("datasets: [\n", DataError, r"r\.yaml:2 is not YAML"),
        ("- a\n", DataError, "r.yaml is no recipe"),
        ("datasets: 3\n", DataError, "r.yaml is no recipe"),
        ("", DataError, "r.yaml is no recipe"),
        ("datasets:\n- path: a.jsonl\n- sampling_size: 3\n", DataError, "r.yaml:3: a dataset needs path"),
        ("datasets:\n- {path: a.jsonl, sampling_size: many}\n", DataError, "r.yaml:2: a dataset needs path"),
        ("datasets:\n- {path: a.jsonl, sampling_size: -1}\n", DataError, "r.yaml:2: sampling_size is -1"),
        ("datasets:\n- {path: a.jsonl, sampling_size: .nan}\n", DataError, "r.yaml:2: sampling_size is nan"),
        ("metadata: {sys_prompt: [1]}\ndatasets: [{path: a.jsonl}]\n", DataError, "sys_prompt is not text"),
        ("datasets:\n- path: ../../x.jsonl\n", ConfigError, r"r\.yaml:2: \.\./\.\./x\.jsonl is outside"),
        ("datasets:\n- path: x.jsonl\n", ConfigError, r"r\.yaml:2: there is no file x\.jsonl"),
    ],
)
def test_a_malformed_recipe_is_named_with_its_line(
    tmp_path: Path, text: str, kind: type[Exception], message: str
) -> None:
    source(tmp_path / "a.jsonl", 1)
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(kind, match=message):
        locate_sources(settings({"path": "r.yaml"}), tmp_path)


def test_a_bad_line_of_a_source_stops_the_stage_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(f"{encode(line(1))}\nnonsense\n")
    with pytest.raises(DataError, match=r"a\.jsonl:2 is not JSON"):
        run_mix(
            tmp_path / "mix", knowledge(5, "short"), sources=[SourceFile("a.jsonl", tmp_path / "a.jsonl")]
        )


def test_lines_in_another_order_give_the_same_rows(tmp_path: Path) -> None:
    mixes = []
    for number, numbers in enumerate((range(30), reversed(range(30)))):
        file = source(tmp_path / "a.jsonl", *numbers, size=12)
        mixed = run_mix(tmp_path / str(number), knowledge(5, "short"), sources=[file], replay=False)
        mixes.append([row["id"] for row in read_jsonl(mixed.folder / "skills.jsonl")])
    assert mixes[0] == mixes[1]
    assert len(mixes[0]) == 12
