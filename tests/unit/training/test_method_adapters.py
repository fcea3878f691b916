"""Adapters: what they add, what is kept of them, and that the plain weights compute the same."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
import torch
from method_training import PHASES, method_config, run_method
from tiny_model import write_dataset

from labtune.artifact import Dataset
from labtune.errors import ConfigError, ModelError
from labtune.models.hf import load_weights
from labtune.training.methods.choice import make_method
from labtune.training.methods.method import Method, Tuning
from labtune.training.methods.weights import FILE
from labtune.training.train import train
from labtune.types import RunContext

IDS = torch.tensor([[7, 30, 41, 9, 100, 205, 3, 8]])


def method(student: Path, name: str, **changes) -> Method:
    return make_method(Tuning(student, method_config(name, **changes), torch.device("cpu"), seed=3))


def logits(model) -> torch.Tensor:
    with torch.inference_mode():
        return model(IDS).logits


def shaken(model) -> None:
    """As if training had moved every trained weight."""
    torch.manual_seed(11)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.add_(torch.randn_like(weight), alpha=0.05)


@pytest.mark.parametrize("name", ["lora", "dora"])
def test_a_fresh_adapter_adds_nothing_and_trains_only_itself(name, tiny_student):
    model = method(tiny_student, name).begin(None)
    student = load_weights(tiny_student)
    torch.testing.assert_close(logits(model), logits(student), rtol=0, atol=1e-5)
    trained = {key for key, weight in model.named_parameters() if weight.requires_grad}
    assert trained
    assert all("lora_" in key for key in trained)


@pytest.mark.parametrize("name", ["lora", "dora", "osft"])
def test_plain_weights_compute_what_the_wrapped_model_computes(name, tiny_student):
    tuned = method(tiny_student, name)
    model = tuned.begin(None)
    shaken(model)
    plain = tuned.blueprint.build(tuned.plain_weights(model))
    assert type(plain) is type(load_weights(tiny_student))
    assert not torch.allclose(logits(plain), logits(load_weights(tiny_student)), atol=0.1)
    torch.testing.assert_close(logits(plain), logits(model), rtol=0, atol=2e-4)


def test_what_is_shipped_is_rounded_and_leaves_the_model_in_training_alone(tiny_student):
    tuned = method(tiny_student, "lora")
    model = tuned.begin(None)
    shaken(model)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    shipped = tuned.shipped(model)
    for weight in shipped.parameters():
        assert torch.equal(weight, weight.bfloat16().float())
        assert not weight.requires_grad
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_what_is_kept_is_small_and_brings_the_adapter_back(tiny_student, tmp_path):
    tuned = method(tiny_student, "dora", lora={"rank": 4})
    model = tuned.begin(None)
    shaken(model)
    (tmp_path / "best").mkdir()
    tuned.keep(tmp_path / "best", model)
    assert [path.name for path in (tmp_path / "best").iterdir()] == [FILE]
    assert torch.equal(logits(tuned.begin(tmp_path / "best")), logits(model))
    (tmp_path / "best" / FILE).write_bytes((tmp_path / "best" / FILE).read_bytes()[:200])
    with pytest.raises(ModelError, match="cannot be read"):
        tuned.begin(tmp_path / "best")


def test_an_adapter_of_another_rank_is_refused(tiny_student, tmp_path):
    small = method(tiny_student, "lora", lora={"rank": 2})
    small.keep(tmp_path, small.begin(None))
    with pytest.raises(ModelError, match="another model"):
        method(tiny_student, "lora", lora={"rank": 3}).begin(tmp_path)


def test_targets_name_layers_and_a_wrong_name_is_told_with_those_there_are(tiny_student):
    model = method(tiny_student, "lora", lora={"targets": ["q_proj", "down_proj"]}).begin(None)
    wrapped = {key.rpartition(".lora_A")[0] for key, _ in model.named_parameters() if "lora_A" in key}
    assert {key.rpartition(".")[2] for key in wrapped} == {"q_proj", "down_proj"}
    assert len(wrapped) == 4
    with pytest.raises(ConfigError, match="no linear layer 'qproj'") as caught:
        method(tiny_student, "lora", lora={"targets": ["qproj"]}).begin(None)
    assert "q_proj" in str(caught.value.hint)


def test_alpha_weighs_and_rank_bounds_what_an_adapter_adds(tiny_student):
    added = []
    for alpha in (8, 16):
        tuned = method(tiny_student, "lora", lora={"rank": 3, "alpha": alpha})
        model = tuned.begin(None)
        shaken(model)
        name = "model.layers.0.mlp.up_proj.weight"
        added.append(tuned.plain_weights(model)[name] - load_weights(tiny_student).state_dict()[name])
    torch.testing.assert_close(added[1], 2 * added[0])
    assert torch.linalg.matrix_rank(added[0], atol=1e-4) == 3


def test_one_adapter_goes_through_all_phases(tiny_student, tmp_path):
    pairs = PHASES["skills"]
    dataset = write_dataset(tmp_path / "dataset", {"knowledge-short": pairs, "skills": pairs})
    kept = []

    def emit(name: str, fields: dict) -> None:
        if name == "train.phase" and (fields["phase"], fields["status"]) == ("skills", "started"):
            (best,) = (tmp_path / "train" / ".resume" / "best").iterdir()
            kept.append({path.name: path.stat().st_size for path in best.iterdir()})

    config = method_config("lora", lora={"rank": 2}, epochs_short=8.0, epochs_skills=8.0)
    train(
        Dataset(dataset),
        config=config,
        run=RunContext(tmp_path / "train", tmp_path / "cache", emit=emit),
        student=tiny_student,
        select=lambda _model: 0.5,
    )
    (files,) = kept
    assert set(files) == {FILE}
    assert files[FILE] < 0.5 * (tiny_student / "model.safetensors").stat().st_size


def test_dropout_and_checkpointing_survive_a_kill_bitwise(tiny_student, children, tmp_path):
    dataset = write_dataset(tmp_path / "dataset", PHASES)
    config = method_config("lora", lora={"dropout": 0.2}, gradient_checkpointing=True)
    for name, kill, code in (("whole", None, 0), ("again", 10, -signal.SIGKILL), ("again", None, 0)):
        child = children.Process(
            target=run_method, args=(dataset, tiny_student, tmp_path / name, config, kill)
        )
        child.start()
        child.join()
        assert child.exitcode == code
    whole, again = (tmp_path / name / "model" / "model.safetensors" for name in ("whole", "again"))
    assert whole.read_bytes() == again.read_bytes()
    assert json.loads((tmp_path / "again" / "metrics.json").read_text())["resumed"] is True


def test_inputs_are_left_out_by_one_copy_only(tiny_student):
    assert method(tiny_student, "lora").shares_weights
    assert not method(tiny_student, "lora", lora={"dropout": 0.1}).shares_weights
