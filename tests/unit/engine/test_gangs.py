"""Tuning by two processes: the losses of one process, also when one of the two is killed on the way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import psutil
import pytest
import torch
from safetensors.torch import load_file
from tests.families import make_family
from tests.unit.engine.gang_work import CONFIG, PHASES, work
from tests.unit.tiny_model import make_tiny_student, write_dataset

from labtune.artifact import write_jsonl
from labtune.config.engine import EngineConfig
from labtune.config.lab import EvaluateConfig
from labtune.engine.engines import open_engine
from labtune.engine.local import LocalExecutor
from labtune.engine.rank import work_in_gang
from labtune.engine.site import Site
from labtune.errors import ConfigError, EngineError
from labtune.models.hf import HfChatModel
from labtune.training.distributed import ALONE, Gang, check_sharing, deal, process_settings
from labtune.types import RunContext
from labtune.workflow.events import EventLog
from labtune.workflow.gang import Tuning, followed, tune, tune_in_gang

TARGET = "tests.unit.engine.gang_work:work"


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("gangs")
    make_tiny_student(folder / "student")
    write_dataset(folder / "dataset", PHASES)
    return folder


def job(place: Path, name: str, trainings: dict[str, str], **told: object) -> str:
    path = place / f"{name}.json"
    path.write_text(json.dumps({"place": str(place), "trainings": trainings, **told}))
    return str(path)


@pytest.fixture(scope="module")
def alone(place) -> Path:
    """A training by this process."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    work(job(place, "one", {"alone": "ddp"}))
    torch.set_num_threads(threads)
    return place / "alone"


def events(out: Path, kind: str) -> list[dict]:
    lines = [json.loads(line) for line in (out / "journal.jsonl").read_text().splitlines()]
    return [event for event in lines if event["event"] == kind]


def assert_same_training(out: Path, alone: Path) -> None:
    for ours, theirs in zip(events(out, "step"), events(alone, "step"), strict=True):
        assert (ours["phase"], ours["step"]) == (theirs["phase"], theirs["step"])
        assert abs(ours["loss"] - theirs["loss"]) <= 1e-6
    assert [e["step"] for e in events(out, "evaluation")] == [e["step"] for e in events(alone, "evaluation")]
    weights, expected = (load_file(folder / "model" / "model.safetensors") for folder in (out, alone))
    assert weights.keys() == expected.keys()
    for name, value in weights.items():
        # Shipped in bf16: a difference of rounding may tip a weight to the next number.
        assert torch.allclose(value.float(), expected[name].float(), atol=1e-2), name
    assert not (out / ".resume").exists()


@pytest.mark.ray
def test_two_workers_give_the_losses_of_one_whole_or_sharing_out_though_one_is_killed(place, alone, tmp_path):
    pytest.importorskip("ray")
    (place / "killed").unlink(missing_ok=True)
    with open_engine(EngineConfig(kind="ray", workers=2, restarts=3), Site(tmp_path)) as engine:
        engine.launch(TARGET, job(place, "two", {"ddp": "ddp", "fsdp": "fsdp"}, kill_at=3))
    assert (place / "killed").exists()
    assert len(events(place / "ddp", "resumed")) == 1
    for name in ("ddp", "fsdp"):
        assert_same_training(place / name, alone)
    assert HfChatModel.load(place / "fsdp" / "model", name="tuned", device="cpu").context_length == 256


def test_torchruns_gang_begins_anew_when_memory_runs_out_and_when_one_is_killed(place, tmp_path):
    # A student that transformers' own code computes, so that its tokens can be counted as they come.
    make_family("qwen3", place / "plain")
    write_dataset(place / "short", {"skills": PHASES["skills"]})
    inputs = {"student": "plain", "dataset": "short"}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    work(job(place, "roomy", {"roomy": "ddp"}, **inputs))
    torch.set_num_threads(threads)
    (place / "killed").unlink(missing_ok=True)
    with open_engine(EngineConfig(kind="torchrun", processes=2), Site(tmp_path)) as engine:
        engine.launch(TARGET, job(place, "narrow", {"narrow": "ddp"}, room=200, kill_at=3, **inputs))
    assert (place / "killed").exists()
    assert [event["step"] for event in events(place / "narrow", "resumed")] == [1, 2]
    assert events(place / "roomy", "out_of_memory") == []
    (shortage,) = events(place / "narrow", "out_of_memory")
    assert (shortage["phase"], shortage["step"], shortage["parts"]) == ("skills", 1, 2)
    assert_same_training(place / "narrow", place / "roomy")


def test_torchrun_joins_processes_and_brings_their_errors_home(tmp_path):
    with open_engine(EngineConfig(kind="torchrun", processes=2, restarts=0), Site(tmp_path)) as engine:
        assert engine.gang == 2
        with pytest.raises(ConfigError, match="ranks: 3 of 1") as caught:
            engine.launch("tests.unit.engine.gang_work:count_and_refuse", "ranks")
    assert caught.value.hint == "mend it"
    assert not [
        one for one in psutil.Process().children(recursive=True) if "labtune.engine" in str(one.cmdline())
    ]


def test_a_failure_of_the_work_is_not_tried_again(tmp_path):
    tried = tmp_path / "tried"

    def refuse(_argument: str) -> None:
        tried.write_text(tried.read_text() + "x" if tried.exists() else "x")
        raise ConfigError("it does not fit", hint="mend it")

    sys.modules["gang_refusal"] = ModuleType("gang_refusal")
    sys.modules["gang_refusal"].refuse = refuse
    for _ in range(2):
        with pytest.raises(ConfigError, match="it does not fit"):
            work_in_gang("gang_refusal:refuse", "", str(tmp_path / "failure.json"))
    assert tried.read_text() == "x"


@pytest.mark.parametrize("changes", [{"method": "lora"}, {"optimizer": "muon"}, {"pull_back": 0.1}])
def test_what_needs_whole_weights_is_not_shared_out(changes):
    check_sharing(CONFIG, "fsdp")
    check_sharing(CONFIG.model_copy(update=changes), "ddp")
    with pytest.raises(ConfigError, match="fsdp shares out weights that AdamW tunes in full") as caught:
        check_sharing(CONFIG.model_copy(update=changes), "fsdp")
    assert f"train.{next(iter(changes))}" in caught.value.message


def test_events_of_another_process_are_passed_on_as_they_come(tmp_path):
    seen = []
    log = EventLog(tmp_path / "events.jsonl", lambda *_: None)
    with followed(tmp_path / "events.jsonl", lambda event, fields: seen.append((event, dict(fields)))):
        log("train.step", {"step": 1, "loss": 0.5})
        deadline = time.monotonic() + 20
        while not seen and time.monotonic() < deadline:
            time.sleep(0.01)
        assert seen == [("train.step", {"step": 1, "loss": 0.5})]
        with (tmp_path / "events.jsonl").open("a") as stream:
            stream.write('{"event": "torn')
            stream.write('", "step": 2}\n')
    assert seen[1:] == [("torn", {"step": 2})]


PACKS = [[number] for number in range(23)]


@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_each_step_trains_the_same_packs_whatever_the_number_of_processes(size):
    micro_batch, accumulation = 4, 2
    per_step = micro_batch * accumulation
    hands = [deal(PACKS, micro_batch, accumulation, Gang(rank, size)) for rank in range(size)]
    assert len({(hand.micro_batch, hand.accumulation) for hand in hands}) == 1
    hand = hands[0]
    assert hand.micro_batch <= micro_batch
    own = hand.micro_batch * hand.accumulation
    for step in range(3):
        together = [pack for hand in hands for pack in hand.packs[step * own : (step + 1) * own] if pack]
        assert sorted(together) == PACKS[step * per_step : (step + 1) * per_step]
    if size > 1:
        assert {len(hand.packs) for hand in hands} == {3 * own}


def test_one_process_deals_nothing_and_tells_the_trainer_nothing():
    hand = deal(PACKS, 4, 2, ALONE)
    assert (hand.packs, hand.micro_batch, hand.accumulation) == (PACKS, 4, 2)
    assert process_settings(ALONE) == {}
    assert process_settings(Gang(0, 2))["ddp_find_unused_parameters"] is False
    assert "fsdp" not in process_settings(Gang(0, 2))
    assert process_settings(Gang(0, 2, shares_out=True))["fsdp_config"]["version"] == 2
    assert os.environ.get("RANK") is None


def test_a_child_ends_with_its_parent_even_when_that_is_killed(tmp_path):
    child = (
        "import os, time; from labtune.engine.lifeline import die_with_parent; die_with_parent(os.getppid())"
    )
    parent = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "{child}; print('ready', flush=True); time.sleep(60)"])
print(child.pid, flush=True)
time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    assert process.stdout.readline() == "ready\n"
    process.kill()
    process.wait()
    deadline = time.monotonic() + 20
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_lab_is_tuned_by_its_engine_and_news_and_outcome_come_home(place, tmp_path):
    exam = [
        {
            "id": "1",
            "leaf": "knowledge/tiny",
            "question": "Say sky twice.",
            "answer": "sky sky",
            "split": "dev",
            "source": {"file": "qna.yaml", "line": 1},
            "origin": "exam",
        }
    ]
    write_jsonl(tmp_path / "curate" / "exam.jsonl", exam)
    told = []
    run = RunContext(
        tmp_path / "train", tmp_path / "cache", emit=lambda event, fields: told.append((event, dict(fields)))
    )
    short = CONFIG.model_copy(update={"max_tokens": 900})
    tuning = Tuning(
        place / "dataset",
        tmp_path / "curate",
        place / "student",
        short,
        EvaluateConfig(max_new_tokens=8),
        "ddp",
    )
    outcome = tune_in_gang(tuning, run, LocalExecutor.open)
    assert outcome.counts["steps"] == sum(event["step"] for event in events(run.out_dir, "phase_end"))
    assert "development score" in outcome.summary
    assert [name for name, _ in told].count("train.evaluation") == len(events(run.out_dir, "evaluation"))
    assert (run.out_dir / "model" / "model.safetensors").exists()
    # Machine paths and events of the gang are no part of the artifact.
    assert not (run.out_dir / ".gang").exists()


def test_a_worker_that_does_not_see_the_lab_says_so(tmp_path):
    with pytest.raises(EngineError, match="does not see") as caught:
        tune(str(tmp_path / "elsewhere" / "job.json"))
    assert "share" in caught.value.hint
