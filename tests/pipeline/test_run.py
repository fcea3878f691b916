"""The whole pipeline on the embedded default, small: real stages, the real student, real interruption."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from labtune.artifact import Dataset, SampleSet, read_json, read_jsonl
from labtune.errors import GateError
from labtune.serving.records import ServerRecord, recorded
from labtune.workflow.init import init_lab
from labtune.workflow.lab import Lab
from labtune.workflow.run import SERVERS, RunReport, run_lab

pytestmark = pytest.mark.slow

SMALL = [
    "generate.phrasings=12",
    "generate.skill_variants=2",
    "train.max_tokens=12000",
    "train.evaluations=1",
    "train.save_steps=2",
    "train.max_length=256",
    "evaluate.max_new_tokens=24",
    "evaluate.retention_floor=0",
]


def open_lab(folder: Path, *more: str) -> Lab:
    return Lab.open(folder, overrides=[*SMALL, *more])


def states(report: RunReport) -> dict[str, str]:
    return {stage.name: stage.state for stage in report.stages}


def ids(run: Path) -> dict[str, str]:
    return {path.parent.name: read_json(path)["id"] for path in sorted(run.glob("*/manifest.json"))}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunReport]:
    folder = tmp_path_factory.mktemp("labs") / "lab"
    init_lab(folder, example="customer-service")
    lab = open_lab(folder)
    server = ServerRecord(os.getpid(), "http://127.0.0.1:1/v1", "m", "some model", "vllm", None, None, "log")
    with recorded(lab.cache_dir / SERVERS, server):
        return folder, run_lab(lab)


def test_a_fresh_lab_runs_through_all_stages(finished: tuple[Path, RunReport]) -> None:
    _, report = finished
    assert states(report) == dict.fromkeys(("curate", "generate", "mix", "train", "evaluate"), "done")
    scores = read_json(report.run_dir / "evaluate" / "scores.json")
    assert scores["total"]["base"]["n"] == scores["total"]["tuned"]["n"] >= 40
    assert set(scores["leaves"]) == {
        leaf["path"] for leaf in read_jsonl(report.run_dir / "curate/leaves.jsonl")
    }
    assert 0 < scores["retention"]["tuned"] <= 1
    assert (report.run_dir / "train" / "model" / "model.safetensors").stat().st_size < 20_000_000
    assert not list(report.run_dir.glob("*/.resume"))


def test_a_server_that_keeps_memory_is_told_before_training(finished: tuple[Path, RunReport]) -> None:
    _, report = finished
    events = list(read_jsonl(report.run_dir / "events.jsonl"))
    told = [event for event in events if "is being served by process" in str(event.get("text"))]
    assert [event["event"] for event in told] == ["notice"]
    names = [event["event"] for event in events]
    trained = next(event for event in events if event.get("stage") == "train")
    assert events.index(trained) < events.index(told[0]) < names.index("train.step")


def test_every_sample_row_cites_its_place(finished: tuple[Path, RunReport]) -> None:
    run = finished[1].run_dir
    documents = {row["id"]: row["text"] for row in read_jsonl(run / "curate" / "documents.jsonl")}
    samples = list(SampleSet(run / "generate").samples())
    cited = [span for sample in samples for span in sample.grounding]
    assert len(cited) > 500
    assert all(0 <= span.start < span.end <= len(documents[span.document_id]) for span in cited)
    known = {sample.id for sample in samples}
    for phase in Dataset(run / "mix").phases():
        for row in Dataset(run / "mix").rows(phase):
            assert row.origin == "general_replay" or row.id in known or row.metadata["sample"] in known


def test_held_out_and_exam_questions_are_in_no_training_row(finished: tuple[Path, RunReport]) -> None:
    run = finished[1].run_dir
    exam = {
        row["question"].casefold().strip()
        for row in read_jsonl(run / "curate" / "exam.jsonl")
        if not row["context"]
    }
    dataset = Dataset(run / "mix")
    asked = {
        message.content.casefold().strip()
        for phase in dataset.phases()
        for row in dataset.rows(phase)
        for message in row.messages
        if message.role == "user"
    }
    assert len(exam) > 70
    assert not exam & asked


def test_a_second_run_does_nothing_and_an_edit_redoes_only_what_depends_on_it(
    finished: tuple[Path, RunReport],
) -> None:
    folder, first = finished
    again = run_lab(open_lab(folder))
    assert again.nothing_done
    assert again.run_dir == first.run_dir

    before = {path.name for path in (folder / ".labtune" / "generate").iterdir()}
    leaf = next(folder.glob("taxonomy/compositional_skills/customer_replies/*/qna.yaml"))
    original = leaf.read_text(encoding="utf-8")
    value = yaml.safe_load(original)
    value["seed_examples"][0]["answer"] += " Indeed."
    leaf.write_text(yaml.safe_dump(value, allow_unicode=True), encoding="utf-8")
    edited = run_lab(open_lab(folder), until="generate")
    assert states(edited) == {"curate": "done", "generate": "done"}
    assert edited.run_dir != first.run_dir
    after = {path.name for path in (folder / ".labtune" / "generate").iterdir()}
    assert len(after - before) == 1, "only the edited leaf is generated again"

    leaf.write_text(original, encoding="utf-8")
    back = run_lab(open_lab(folder))
    assert set(states(back).values()) <= {"reused", "up_to_date"}
    assert ids(back.run_dir) == ids(first.run_dir)


def test_an_exam_edit_generates_nothing_again(finished: tuple[Path, RunReport]) -> None:
    folder, _ = finished
    exam = next(folder.glob("taxonomy/knowledge/*/*/exam.yaml"))
    original = exam.read_text(encoding="utf-8")
    exam.write_text(original + "\n# a remark\n", encoding="utf-8")
    report = run_lab(open_lab(folder), until="mix")
    assert states(report)["generate"] in {"up_to_date", "reused"}
    exam.write_text(original, encoding="utf-8")


def test_below_the_retention_floor_a_run_ends_as_failed(finished: tuple[Path, RunReport]) -> None:
    folder, first = finished
    with pytest.raises(GateError, match="retention"):
        run_lab(
            open_lab(folder, "evaluate.retention_floor=1.0", "mix.replay=false", "train.learning_rate=0.01")
        )
    assert read_json(first.run_dir / "evaluate" / "manifest.json")["failed_gate"] is None


def test_killed_at_any_moment_the_run_goes_on_to_the_same_hashes(
    finished: tuple[Path, RunReport], tmp_path: Path
) -> None:
    folder = tmp_path / "lab"
    init_lab(folder, example="customer-service")
    settings = [word for text in SMALL for word in ("--set", text)]
    command = [sys.executable, "-m", "labtune", "run", "--json", "--lab", str(folder), *settings]
    events = folder / "runs" / "0001" / "events.jsonl"
    for marker in ('"stage": "mix"', '"event": "train.step"', '"event": "train.evaluation"'):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and process.poll() is None:
            if events.exists() and marker in events.read_text(encoding="utf-8"):
                break
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(result.stdout)["command"] == "run"
    assert ids(folder / "runs" / "latest") == ids(finished[1].run_dir)
