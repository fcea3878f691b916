"""What each method could do here for a student, and the defaults that its size and the data decide."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from header_only import LLAMA_1B, LLAMA_8B, write_llama
from labtune.cli.prospects import fields_of, lines_of
from labtune.config.lab import StudentConfig, TrainConfig
from labtune.config.layers import load
from labtune.errors import ModelError
from labtune.training.machine import Machine
from labtune.types import RunContext
from labtune.workflow.doctor import EXTRAS, NEEDED, examine_student, machine_to_train_on
from labtune.workflow.lab import Lab
from labtune.workflow.outlook import informed
from labtune.workflow.prospects import anatomy_of, look_ahead, measured_speeds, telling_time
from local_hub import MAIN, local_hub

GIB = 2**30
H100 = Machine("cuda", "NVIDIA H100 80GB HBM3", 79 * GIB, 80 * GIB)
SMALL = LLAMA_1B | {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "vocab_size": 100}


def look(student: Path, machine: Machine, *overrides: str, lab: Path | None = None):
    config = load(None, overrides=[f"student={student}", *overrides], environment={})
    return look_ahead(config, machine, base=Path.cwd(), lab=lab)


def a_lab(folder: Path, student: Path, text: str = "") -> Lab:
    folder.mkdir(exist_ok=True)
    (folder / "labtune.yaml").write_text(f"student: {student}\n{text}")
    return Lab.open(folder)


def a_mix(lab: Lab, rows: int, tokens: int) -> None:
    mix = lab.runs_dir / "latest" / "mix"
    mix.mkdir(parents=True)
    phases = {
        "knowledge-short": {"total_rows": rows, "total_tokens": tokens},
        "skills": {"total_rows": rows // 2, "total_tokens": tokens},
    }
    (mix / "mix.json").write_text(json.dumps({"phases": phases}))


def test_the_methods_of_an_eight_billion_student_on_an_h100(tmp_path: Path) -> None:
    found = {one.method: one for one in look(write_llama(tmp_path, LLAMA_8B), H100).prospects}
    assert {method: one.fits for method, one in found.items()} == {
        "full": False,
        "osft": False,
        "lora": True,
        "dora": True,
        "qlora": True,
    }
    assert found["full"].memory > 100 * GIB
    assert found["lora"].tokens_per_second is None
    assert found["lora"].micro_tokens * found["lora"].accumulation >= 4096


def test_four_bit_needs_cuda_and_says_so(tmp_path: Path) -> None:
    outlook = look(write_llama(tmp_path, LLAMA_1B), Machine("cpu", "CPU", 64 * GIB, 64 * GIB))
    (qlora,) = [one for one in outlook.prospects if one.method == "qlora"]
    assert (qlora.fits, qlora.note, qlora.memory) == (None, "needs a CUDA GPU", None)


def test_speeds_are_those_of_runs_of_this_student_on_this_machine(tmp_path: Path) -> None:
    student = write_llama(tmp_path / "student", LLAMA_1B)
    anatomy = anatomy_of(StudentConfig(model=str(student)), tmp_path)
    runs = tmp_path / "runs"
    for number, (device, parameters, method, speed) in enumerate(
        [
            (H100.name, anatomy.parameters, "full", 21_000.0),
            (H100.name, anatomy.parameters, "lora", 30_000.0),
            ("another GPU", anatomy.parameters, "dora", 1.0),
            (H100.name, 7, "osft", 2.0),
        ]
    ):
        folder = runs / str(number) / "train"
        folder.mkdir(parents=True)
        on = {"device": device, "parameters": parameters, "method": method, "family": "llama"}
        (folder / "metrics.json").write_text(json.dumps({"tokens_per_second": speed, "on": on}))
    old = runs / "old" / "train"
    old.mkdir(parents=True)
    (old / "metrics.json").write_text('{"tokens_per_second": 5.0}')
    assert measured_speeds(runs, anatomy, H100) == {"full": 21_000.0, "lora": 30_000.0}
    cache = tmp_path / ".labtune" / "ceilings.json"
    cache.parent.mkdir()
    kept = {f"{H100.name} | torch 2.13.0 | {precision} | 0 threads": 7e14 for precision in ("bf16", "fp32")}
    cache.write_text(json.dumps(kept | {"other GPU | torch 2.13.0 | bf16 | 0 threads": 9e15}))
    lines = lines_of(look(student, H100, lab=tmp_path))
    assert lines[0] == f"student   {student}: llama, 1.24B parameters, 16 layers, 2.3 GiB on disk"
    assert lines[1] == "machine   NVIDIA H100 80GB HBM3, 79.0 GiB free of 80.0 GiB"
    (full,) = [line for line in lines if line.startswith("full")]
    assert full.split()[1] == "yes" and full.endswith("21,000 (at most 93,145)")
    (osft,) = [line for line in lines if line.startswith("osft")]
    assert "not measured (at most " in osft
    (unknown,) = [line for line in lines_of(look(student, H100)) if line.startswith("osft")]
    assert unknown.endswith("not measured")


def test_the_table_is_the_document(tmp_path: Path) -> None:
    outlook = look(write_llama(tmp_path, LLAMA_8B), H100)
    fields = json.loads(json.dumps(fields_of(outlook)))
    assert fields["student"]["parameters"] == 8_030_261_248
    assert fields["machine"]["device"] == "cuda"
    assert [one["method"] for one in fields["methods"]] == ["full", "osft", "lora", "dora", "qlora"]
    assert fields["methods"][0]["micro_tokens"] is None
    assert fields["methods"][2]["memory_bytes"] == outlook.prospects[2].memory


def test_of_a_student_on_a_hub_only_the_shapes_are_fetched(tmp_path: Path, monkeypatch) -> None:
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    served = write_llama(tmp_path / "served", SMALL)
    here = anatomy_of(StudentConfig(model=str(served)), tmp_path)
    with local_hub() as hub:
        hub.models["org/small", MAIN] = served
        there = anatomy_of(StudentConfig(model="org/small", mirror=hub.address), tmp_path)
        assert there.parameters == here.parameters
        assert there.matrices == here.matrices
        assert all(one is not None for one in hub.ranges)
        with pytest.raises(ModelError, match="has no model org/large"):
            anatomy_of(StudentConfig(model="org/large", mirror=hub.address), tmp_path)
    assert not list((tmp_path / "cache").rglob("*.safetensors"))


def test_a_student_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no model folder"):
        examine_student(tmp_path, str(tmp_path / "nothing"), overrides=["train.device=cpu"])
    with pytest.raises(ModelError, match="offline"):
        anatomy_of(StudentConfig(model="org/thing", offline=True), tmp_path)


def test_another_student_than_the_labs_has_its_own_defaults(tmp_path: Path) -> None:
    lab = a_lab(tmp_path / "lab", tmp_path / "elsewhere", "train: {memory_gib: 30, device: cpu}\n")
    own = examine_student(lab.root, str(write_llama(tmp_path / "1b", LLAMA_1B)))
    assert own.machine.free == 30 * GIB
    assert own.anatomy.parameters == 1_235_814_400
    nano = examine_student(lab.root, "builtin:nano")
    assert nano.anatomy.family == "llama"
    assert all(one.fits for one in nano.prospects if one.method != "qlora")


def test_size_decides_before_the_mix_and_rows_after_it(tmp_path: Path) -> None:
    lab = a_lab(tmp_path / "lab", write_llama(tmp_path / "student", LLAMA_1B))
    before = informed(lab)
    assert before.lab.train.learning_rate == 1e-4
    assert before.lab.mix.general_share == 0.1
    assert before.explain("train.learning_rate").origin == "default for 1.24B parameters, full"
    assert before.explain("train.epochs_skills").origin == "default"
    a_mix(lab, 5_000, 400_000)
    after = informed(lab)
    assert (after.lab.train.epochs_skills, after.lab.train.batch_tokens) == (10, 2560)
    assert after.explain("train.epochs_skills").origin == "default for 1.24B parameters, full, 5,000 rows"


def test_what_cannot_be_read_decides_nothing(tmp_path: Path) -> None:
    missing = a_lab(tmp_path / "lab", tmp_path / "nothing")
    assert informed(missing) == missing.config
    broken = write_llama(tmp_path / "broken", SMALL)
    (broken / "config.json").write_text("{")
    lab = a_lab(tmp_path / "lab", broken)
    assert informed(lab) == lab.config
    nano = a_lab(tmp_path / "lab", Path("builtin:nano"))
    assert informed(nano) == nano.config


def test_the_cpu_is_asked_without_torch() -> None:
    machine = machine_to_train_on("cpu")
    assert machine.device == "cpu"
    assert "core" in machine.name


def test_optional_extras_are_no_failure() -> None:
    assert set(NEEDED) < set(EXTRAS)
    assert "peft" in EXTRAS["train"]


def test_a_training_tells_the_time_that_an_earlier_run_measured(tmp_path: Path) -> None:
    student = write_llama(tmp_path / "student", SMALL)
    config = TrainConfig(device="cpu")
    told: list[dict] = []
    run = RunContext(
        tmp_path / "out", tmp_path / "cache", emit=lambda _name, fields: told.append(dict(fields))
    )
    telling_time(run, tmp_path / "runs", config, student).emit("train.plan", {"tokens": 9_000})
    assert told == [{"tokens": 9_000}]
    earlier = tmp_path / "runs" / "1" / "train"
    earlier.mkdir(parents=True)
    on = {
        "device": machine_to_train_on("cpu").name,
        "method": "full",
        "parameters": anatomy_of(StudentConfig(model=str(student)), tmp_path).parameters,
    }
    (earlier / "metrics.json").write_text(json.dumps({"tokens_per_second": 4_500.0, "on": on}))
    telling_time(run, tmp_path / "runs", config, student).emit("train.plan", {"tokens": 9_000})
    assert told[1] == {"tokens": 9_000, "tokens_per_second": 4_500.0, "seconds": 2.0}
