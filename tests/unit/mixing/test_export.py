"""InstructLab's files both ways: what was read as a source goes out as it came in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from samplesets import general, knowledge, run_mix, skills
from test_passages import CHUNKS, TAUGHT

from labtune.mixing.export import export_instructlab
from labtune.mixing.messages import read_chats, write_chats
from labtune.mixing.sources import SourceFile


def lines(path: Path) -> list[str]:
    return sorted(path.read_text(encoding="utf-8").splitlines())


def test_rows_of_a_source_go_out_byte_by_byte_as_they_came_in(tmp_path: Path) -> None:
    rows = [
        {
            "messages": [
                {"content": "I am a model.", "role": "system"},
                {"content": f"Wie weit ist {n}/2? 第{n}个", "role": "user"},
                {"content": f"{n}\n\tKilometer", "role": "assistant"},
            ],
            "metadata": json.dumps({"domain": "x/y", "n": n}),
            "id": f"id-{n}",
            "unmask": n % 3 == 0,
        }
        for n in range(40)
    ]
    rows += [{"messages": [{"content": f"Plain {n}.", "role": "pretraining"}], "id": n} for n in range(5)]
    write_chats(tmp_path / "in.jsonl", rows)
    source = SourceFile("in.jsonl", tmp_path / "in.jsonl")
    mixed = run_mix(tmp_path / "mix", knowledge(5, "short"), sources=[source], replay=False)
    written = export_instructlab(mixed.dataset, tmp_path / "out")
    assert written == {"knowledge_train_msgs.jsonl": 5, "skills_train_msgs.jsonl": 45}
    assert lines(tmp_path / "out" / "skills_train_msgs.jsonl") == lines(tmp_path / "in.jsonl")


def test_phases_go_to_the_two_files_of_instructlab_with_lineage(tmp_path: Path) -> None:
    mixed = run_mix(tmp_path / "mix", [*TAUGHT, *skills(9)], chunks=CHUNKS, general_rows=general(300))
    written = export_instructlab(mixed.dataset, tmp_path / "out")
    assert written == {
        "knowledge_train_msgs.jsonl": len(mixed.rows("knowledge-short")) + len(mixed.rows("knowledge-long")),
        "skills_train_msgs.jsonl": len(mixed.rows("skills")),
    }
    rows = list(read_chats(tmp_path / "out" / "knowledge_train_msgs.jsonl", "k"))
    own = [*mixed.dataset.rows("knowledge-short"), *mixed.dataset.rows("knowledge-long")]
    assert [row.messages for row in rows] == [row.messages for row in own]
    assert [row.unmask for row in rows] == [row.unmask for row in own]
    assert sum(row.unmask for row in rows) == 120
    columns = json.loads(rows[0].columns)
    assert list(columns) == ["messages", "metadata", "id", "unmask"]
    assert json.loads(columns["metadata"])["leaf"] == own[0].leaf


def test_what_was_exported_can_be_a_source_and_goes_out_the_same(tmp_path: Path) -> None:
    first = run_mix(tmp_path / "1", [*TAUGHT, *skills(9)], chunks=CHUNKS, replay=False)
    export_instructlab(first.dataset, tmp_path / "out")
    source = SourceFile("s", tmp_path / "out" / "skills_train_msgs.jsonl")
    second = run_mix(tmp_path / "2", knowledge(5, "short"), sources=[source], replay=False)
    export_instructlab(second.dataset, tmp_path / "again")
    assert lines(tmp_path / "again" / "skills_train_msgs.jsonl") == lines(source.path)


def test_plain_text_and_a_system_prompt(tmp_path: Path) -> None:
    mixed = run_mix(tmp_path / "mix", TAUGHT, recipe="cpt", chunks=CHUNKS, general_rows=general(100))
    export_instructlab(mixed.dataset, tmp_path / "out", system_prompt="You are kind.")
    texts = [row for row in read_chats(tmp_path / "out" / "knowledge_train_msgs.jsonl", "k") if row.text]
    assert len(texts) == len(CHUNKS)
    assert all(row.unmask for row in texts)
    for row in read_chats(tmp_path / "out" / "skills_train_msgs.jsonl", "s"):
        turns = json.loads(row.columns)["messages"]
        assert [turn["role"] for turn in turns] in (
            ["system", "user", "assistant"],
            ["system", "pretraining"],
        )


def test_exported_files_are_read_by_datasets_and_trl(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    data_utils = pytest.importorskip("trl.data_utils")
    mixed = run_mix(tmp_path / "mix", [*TAUGHT, *skills(9)], chunks=CHUNKS, general_rows=general(100))
    written = export_instructlab(mixed.dataset, tmp_path / "out")
    files = [str(tmp_path / "out" / name) for name in written]
    loaded = datasets.load_dataset("json", data_files=files, split="train", cache_dir=str(tmp_path / "hf"))
    assert len(loaded) == sum(written.values())
    assert all(data_utils.is_conversational(row) for row in loaded)
    assert set(loaded.column_names) == {"messages", "metadata", "id", "unmask"}
