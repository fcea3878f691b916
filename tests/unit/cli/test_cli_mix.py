"""`labtune mix --export-instructlab` and a source that is malformed, as people meet them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import document, labtune
from small_lab import write_lab


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lab(tmp_path_factory.mktemp("lab"), 1, "generate: {phrasings: 4}\n")


def test_mixed_rows_are_written_for_instructlab(lab: Path, tmp_path: Path) -> None:
    export = ("--export-instructlab", str(tmp_path / "out"), "--system-prompt", "Be kind.")
    result = labtune("mix", "--set", "recipe=lab", *export, "--json", cwd=lab)
    assert result.returncode == 0, result.stderr
    exported = document(result)["exported"]
    for entry in exported:
        lines = Path(entry["path"]).read_text(encoding="utf-8").splitlines()
        assert len(lines) == entry["rows"] > 0
        turns = json.loads(lines[0])["messages"]
        assert turns[0] == {"content": "Be kind.", "role": "system"}
    assert "knowledge_train_msgs.jsonl" in {Path(entry["path"]).name for entry in exported}
    assert f"{exported[0]['rows']:,} rows for InstructLab" in result.stderr


def test_a_system_prompt_needs_an_export() -> None:
    result = labtune("mix", "--system-prompt", "Be kind.")
    assert result.returncode == 2
    assert "--system-prompt is for exported rows" in result.stderr
    assert "--export-instructlab FOLDER" in result.stderr


def test_a_folder_that_cannot_be_made_is_one_sentence(lab: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = labtune("mix", "--export-instructlab", str(tmp_path / "file" / "out"), cwd=lab)
    assert result.returncode == 2
    assert "cannot be written" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{path: ../x.jsonl}", "mix.sources: ../x.jsonl is outside the lab"),
        ("{path: bad.jsonl}", "bad.jsonl:1 is not JSON"),
        ("{path: bad.jsonl, size: -1}", "mix.sources.0.size"),
        ("{file: bad.jsonl}", "mix.sources.0"),
    ],
)
def test_a_wrong_source_is_one_sentence(lab: Path, source: str, message: str) -> None:
    (lab / "bad.jsonl").write_text("nonsense\n")
    result = labtune("mix", "--set", f"mix.sources=[{source}]", cwd=lab)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_sources_are_explained_as_they_are_set(lab: Path) -> None:
    result = labtune(
        "config",
        "explain",
        "mix.sources",
        "--set",
        "mix.sources=[{path: a.jsonl, size: 3}]",
        "--json",
        cwd=lab,
    )
    [setting] = document(result)["settings"]
    assert setting["value"] == [{"path": "a.jsonl", "size": 3, "role": "skills", "repeat": False}]
    assert setting["default"] == []
