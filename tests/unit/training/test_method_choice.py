"""Which method and device a setting means, what is refused, and what the optimiser gets."""

from __future__ import annotations

import pytest
import torch
from method_training import PHASES, method_config, run_method
from safetensors.torch import load_file
from tiny_model import write_dataset

from families import make_family
from labtune.config.layers import load
from labtune.errors import ConfigError, MissingDependencyError, ModelError
from labtune.models.device import Accelerators, accelerators, check_precision, choose
from labtune.models.hf import load_weights
from labtune.training.methods.adapters import nf4
from labtune.training.methods.choice import check_qlora, make_method
from labtune.training.methods.method import Tuning
from labtune.training.optimizer import make_optimizer

NOTHING = Accelerators(cuda=False, mps=False, bf16=frozenset({"cpu"}))
MAC = Accelerators(cuda=False, mps=True, bf16=frozenset({"cpu"}))
GPU = Accelerators(cuda=True, mps=False, bf16=frozenset({"cpu", "cuda"}))


@pytest.mark.parametrize(
    ("wanted", "here", "device"),
    [
        ("auto", NOTHING, "cpu"),
        ("auto", MAC, "mps"),
        ("auto", GPU, "cuda"),
        ("cpu", GPU, "cpu"),
        ("cuda:1", GPU, "cuda:1"),
    ],
)
def test_auto_takes_the_accelerator_there_is(wanted, here, device):
    assert choose(wanted, here) == device


@pytest.mark.parametrize(("wanted", "here"), [("cuda", MAC), ("cuda:0", NOTHING), ("mps", GPU)])
def test_a_device_that_is_not_there_is_refused(wanted, here):
    with pytest.raises(ModelError, match=f"device {wanted} is asked for"):
        choose(wanted, here)


def test_this_machine_can_at_least_compute_on_its_cpu():
    assert "cpu" in accelerators().bf16


def test_bf16_is_refused_where_a_device_cannot():
    check_precision("bf16", "cuda:0", GPU)
    check_precision("fp32", "mps", MAC)
    with pytest.raises(ConfigError, match="bf16 is not possible on this machine's mps device") as caught:
        check_precision("bf16", "mps", MAC)
    assert caught.value.hint == "train.precision: fp32"


@pytest.mark.parametrize("device", ["cpu", "mps"])
def test_qlora_is_refused_without_cuda(device):
    with pytest.raises(ConfigError, match=f"qlora needs a CUDA GPU, and this training runs on {device}"):
        check_qlora(device, installed=True)


def test_qlora_names_the_library_it_lacks():
    with pytest.raises(MissingDependencyError, match="bitsandbytes") as caught:
        check_qlora("cuda", installed=False)
    assert caught.value.hint == "pip install 'labtune[qlora]'"
    check_qlora("cuda", installed=True)


def test_qlora_on_a_cpu_is_refused_before_anything_is_written(tiny_student, tmp_path):
    dataset = write_dataset(tmp_path / "dataset", PHASES)
    with pytest.raises(ConfigError, match="qlora needs a CUDA GPU"):
        run_method(dataset, tiny_student, tmp_path / "train", method_config("qlora"))
    assert not (tmp_path / "train").exists()


def test_four_bit_weights_are_those_of_the_paper():
    settings = nf4()
    assert (settings.load_in_4bit, settings.bnb_4bit_quant_type) == (True, "nf4")
    assert (settings.bnb_4bit_use_double_quant, settings.bnb_4bit_compute_dtype) == (True, torch.bfloat16)


def test_the_sub_settings_can_be_set_one_by_one():
    lab = load(None, overrides=["train.method=dora", "train.lora.rank=8", "train.osft.preserve=0.75"]).lab
    assert (lab.train.method, lab.train.lora.rank, lab.train.osft.preserve) == ("dora", 8, 0.75)
    with pytest.raises(ConfigError, match=r"train\.osft\.preserve"):
        load(None, overrides=["train.osft.preserve=1"])


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_the_optimiser_gets_what_is_trained_and_nothing_else(optimizer, tiny_student):
    config = method_config("osft", optimizer=optimizer)
    model = make_method(Tuning(tiny_student, config, torch.device("cpu"), seed=1)).begin(None)
    groups = make_optimizer(model, config).param_groups
    given = [id(weight) for group in groups for weight in group["params"]]
    assert sorted(given) == sorted(id(weight) for weight in model.parameters() if weight.requires_grad)


def test_muon_leaves_experts_to_adamw(tmp_path):
    model = load_weights(make_family("gptoss", tmp_path / "gptoss"))
    optimizer = make_optimizer(model, method_config("full", optimizer="muon"))
    given = [id(weight) for group in optimizer.param_groups for weight in group["params"]]
    assert sorted(given) == sorted(id(weight) for weight in model.parameters())
    model(input_ids=torch.tensor([[5, 6, 7]]), labels=torch.tensor([[5, 6, 7]])).loss.backward()
    optimizer.step()


@pytest.mark.parametrize("method", ["full", "lora", "osft"])
def test_recomputed_activations_change_nothing_but_rounding(method, tiny_student, tmp_path):
    dataset = write_dataset(tmp_path / "dataset", PHASES)
    files = []
    for recompute in (False, True):
        out = tmp_path / str(recompute)
        config = method_config(
            method, gradient_checkpointing=recompute, max_tokens=5 * 256, replicas=2, batch_tokens=512
        )
        run_method(dataset, tiny_student, out, config)
        files.append(load_file(out / "model" / "model.safetensors"))
    for name, kept in files[0].items():
        torch.testing.assert_close(files[1][name].float(), kept.float(), rtol=1e-2, atol=1e-3)
