"""Tuning by two processes: the losses of one process, also when one of the two is killed on the way."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file
from tests.unit.engine.gang_work import PHASES, work
from tests.unit.tiny_model import make_tiny_student, write_dataset

from labtune.config.engine import EngineConfig
from labtune.engine.engines import open_engine
from labtune.engine.site import Site
from labtune.errors import ConfigError
from labtune.models.hf import HfChatModel
from labtune.training.distributed import ALONE, Gang, deal, process_settings

TARGET = "tests.unit.engine.gang_work:work"


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("gangs")
    make_tiny_student(folder / "student")
    write_dataset(folder / "dataset", PHASES)
    return folder


def job(place: Path, name: str, **told: object) -> str:
    path = place / f"{name}.json"
    folders = {"dataset": place / "dataset", "student": place / "student", "out": place / name}
    path.write_text(json.dumps({**{key: str(value) for key, value in folders.items()}, **told}))
    return str(path)


@pytest.fixture(scope="module")
def alone(place) -> Path:
    """A training by this process."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    work(job(place, "alone"))
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
def test_two_workers_of_ray_train_give_the_losses_of_one_though_one_is_killed(place, alone, engine_ray):
    engine_ray.launch(TARGET, job(place, "ray", kill_at=3))
    assert (place / "ray.killed").exists()
    assert len(events(place / "ray", "resumed")) == 1
    assert_same_training(place / "ray", alone)


@pytest.fixture
def engine_ray(tmp_path) -> Iterator[object]:
    pytest.importorskip("ray")
    with open_engine(EngineConfig(kind="ray", workers=2, restarts=1), Site(tmp_path)) as engine:
        yield engine


def test_two_processes_that_share_out_the_student_give_the_losses_of_one(place, alone, tmp_path):
    with open_engine(EngineConfig(kind="torchrun", processes=2, restarts=0), Site(tmp_path)) as engine:
        assert engine.gang == 2
        engine.launch(TARGET, job(place, "fsdp", sharding="fsdp"))
    assert_same_training(place / "fsdp", alone)
    model = HfChatModel.load(place / "fsdp" / "model", name="tuned", device="cpu")
    assert model.model.num_parameters() > 0
    assert not [
        one for one in psutil.Process().children(recursive=True) if "labtune.engine" in str(one.cmdline())
    ]


def test_what_the_work_raises_in_a_process_arrives_as_it_was(place, tmp_path):
    with open_engine(EngineConfig(kind="torchrun", processes=1, restarts=0), Site(tmp_path)) as engine:
        told = job(place, "refused", sharding="fsdp", changes={"optimizer": "muon"})
        with pytest.raises(ConfigError, match=r"not train\.optimizer: muon") as caught:
            engine.launch(TARGET, told)
    assert caught.value.hint == "engine.sharding: ddp"


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
