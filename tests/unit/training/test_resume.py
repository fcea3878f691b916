"""A training killed by SIGKILL goes on to bitwise the same weights and the same decisions."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

import pytest
from tiny_model import write_dataset
from tiny_training import PHASES, run_training, run_until_killed

from labtune.training.checkpoints import latest_resume_point, mark_complete

KILLS = {
    "between two resume points of the first phase": ["event:train.step:knowledge-short:10"],
    "while a resume point is being written, twice": [
        "open:trainer_state.json:2",
        "open:trainer_state.json:1",
    ],
    "before a resume point has its optimizer": ["open:checkpoint-4/tokenizer_config.json:1"],
    "after an evaluation, as the last phase begins, and in it": [
        "event:train.evaluation:knowledge-short:12",
        "event:train.phase:skills:0",
        "event:train.evaluation:skills:10",
    ],
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("dataset"), PHASES)


@pytest.fixture(scope="module")
def uninterrupted(dataset, tiny_student, children, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "train"
    child = children.Process(target=run_training, args=(dataset, tiny_student, out))
    child.start()
    child.join()
    assert child.exitcode == 0
    return out


def decisions(out: Path) -> list[dict]:
    lines = [json.loads(line) for line in (out / "journal.jsonl").read_text().splitlines()]
    return [event for event in lines if event["event"] != "resumed"]


@pytest.mark.parametrize("kills", KILLS.values(), ids=KILLS.keys())
def test_killed_training_ends_as_if_it_had_not_been(
    kills, dataset, tiny_student, children, uninterrupted, tmp_path
):
    out = tmp_path / "train"
    for kill in kills:
        child = children.Process(target=run_until_killed, args=(dataset, tiny_student, out, kill))
        child.start()
        child.join()
        assert child.exitcode == -signal.SIGKILL, kill
        assert len(list(out.glob(".resume/**/*.safetensors"))) <= 4
    child = children.Process(target=run_training, args=(dataset, tiny_student, out))
    child.start()
    child.join()
    assert child.exitcode == 0
    assert decisions(out) == decisions(uninterrupted)
    for name in ("model.safetensors", "config.json", "generation_config.json", "tokenizer.json"):
        assert (out / "model" / name).read_bytes() == (uninterrupted / "model" / name).read_bytes(), name
    assert json.loads((out / "metrics.json").read_text())["resumed"] is True


def test_scores_in_the_journal_are_not_asked_again(dataset, tiny_student, tmp_path):
    import tiny_training

    from labtune.artifact import Dataset
    from labtune.training.train import train
    from labtune.types import RunContext

    asked = []

    def select(_model) -> float:
        asked.append(len(asked))
        return 0.1 * len(asked)

    def interrupt(event: str, fields) -> None:
        if event == "train.evaluation" and fields["score"] == pytest.approx(0.2) and len(asked) == 2:
            raise KeyboardInterrupt

    def go(emit) -> None:
        run = RunContext(tmp_path / "train", tmp_path / "cache", emit=emit)
        train(Dataset(dataset), config=tiny_training.CONFIG, run=run, student=tiny_student, select=select)

    with pytest.raises(KeyboardInterrupt):
        go(interrupt)
    go(lambda _event, _fields: None)
    assert len(asked) == 6


def test_resume_point_without_marker_or_with_a_cut_file_is_not_used(tmp_path):
    for step in (5, 10, 15):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "optimizer.pt").write_bytes(b"x" * 100)
        if step != 15:
            mark_complete(folder)
    (tmp_path / "checkpoint-10" / "optimizer.pt").write_bytes(b"x" * 50)
    assert latest_resume_point(tmp_path) == tmp_path / "checkpoint-5"
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-5"]
    shutil.rmtree(tmp_path / "checkpoint-5")
    assert latest_resume_point(tmp_path) is None
