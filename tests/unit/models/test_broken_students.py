"""Broken model folders: one sentence each, which says what is wrong, where, and how to mend it."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from families import FAMILIES, make_family
from labtune.errors import ModelError
from labtune.models.hf import HfChatModel, load_model, load_weights
from labtune.models.student import check_folder
from labtune.models.weights import read_shapes
from labtune.protocols import Sampling
from labtune.types import Message


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("sound")
    return {name: make_family(name, root / name) for name in FAMILIES}


@pytest.fixture
def folder(sound, tmp_path) -> Path:
    return shutil.copytree(sound["llama3"], tmp_path / "student")


def change(folder: Path, **values) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **values}))


def refused(folder: Path, message: str) -> ModelError:
    with pytest.raises(ModelError, match=message) as caught:
        load_model(folder)
    assert "\n" not in caught.value.message
    assert str(folder) in caught.value.message
    return caught.value


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_loads_and_answers(sound, name):
    check_folder(sound[name])
    model = HfChatModel.load(sound[name], name=name, device="cpu")
    replies = model.complete([[Message("user", "What colour is the sky?")]], Sampling(max_tokens=4))
    assert 1 <= replies[0].n_tokens <= 4
    assert model.loglikelihoods([[Message("user", "Hi")]], ["Blue."])[0] < 0


@pytest.mark.parametrize("left", [0, 4, 8, 200, -1, -1000])
def test_weights_that_are_cut_off(folder, left):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:left])
    assert refused(folder, "damaged or cut off").hint == "fetch or copy the model again"


@pytest.mark.parametrize(
    "content",
    [
        struct.pack("<Q", 2**60) + b"{}",
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 9) + b'{"a": {}}',
        struct.pack("<Q", 4) + b"\xff\xfe\x00\x00",
        struct.pack("<Q", 50_000) + b"[" * 50_000,
        b"<html>you need to log in</html>" * 9,
    ],
    ids=["endless", "list", "no-shape", "no-text", "deep", "page"],
)
def test_weights_with_a_header_that_lies(folder, content):
    (folder / "model.safetensors").write_bytes(content)
    refused(folder, "damaged or cut off")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_hidden_layers": 3}, "num_hidden_layers is 3, theirs is 2"),
        ({"num_hidden_layers": 1}, "num_hidden_layers is 1, theirs is 2"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers is 1,000,000,000"),
        ({"vocab_size": 10**9}, "vocab_size is 1,000,000,000, theirs is 600"),
        ({"hidden_size": 4096}, "hidden_size is 4,096, theirs is 64"),
        ({"intermediate_size": 10**9}, "down_proj.weight would have the shape"),
        ({"num_key_value_heads": 4}, "k_proj.weight would have the shape"),
        ({"attention_bias": True}, "bias is missing"),
        ({"model_type": "qwen3"}, "k_norm.weight is missing"),
        ({"model_type": "unheard_of"}, "cannot be loaded as a language model"),
        ({"hidden_size": "64"}, "cannot be loaded.*expected int"),
        ({"rope_parameters": 5}, "cannot be loaded"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, r"quantised \(gptq\)"),
    ],
    ids=lambda value: "-".join(map(str, value)) if isinstance(value, dict) else "",
)
def test_configuration_that_lies(folder, changes, message):
    change(folder, **changes)
    refused(folder, message)


def test_weights_for_which_the_model_has_no_place(sound, tmp_path):
    folder = shutil.copytree(sound["qwen3"], tmp_path / "student")
    change(folder, model_type="llama")
    refused(folder, "no place for model.layers.0.self_attn.k_norm.weight")


def test_an_index_that_names_missing_files(folder):
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    half = {name: tensors[name] for name in names[:10]}
    save_file(half, folder / "model-00001-of-00002.safetensors")
    places = {name: f"model-0000{1 if name in half else 2}-of-00002.safetensors" for name in names}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    refused(folder, "names 2 files of weights, and 1 are missing: model-00002-of-00002")
    save_file({name: tensors[name] for name in names[10:]}, folder / "model-00002-of-00002.safetensors")
    assert load_weights(folder).config.vocab_size == 600
    for content in ("{", "[]", '{"weight_map": 3}', '{"weight_map": {"a": "../../secret"}}'):
        (folder / "model.safetensors.index.json").write_text(content)
        refused(folder, "index.json")


@pytest.mark.parametrize(("model", "tokenizer"), [("llama3", "mistral"), ("mistral", "qwen3")])
def test_the_tokenizer_of_another_model(sound, tmp_path, model, tokenizer):
    folder = shutil.copytree(sound[model], tmp_path / "student")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(sound[tokenizer] / name, folder / name)
    assert refused(folder, "is not this model's: a text ends with token").hint


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        ("model.gguf", "GGUF file"),
        ("pytorch_model.bin", "can run code"),
        ("adapter_model.safetensors", "adapter"),
    ],
)
def test_folders_of_other_kinds(folder, keep, message):
    (folder / "model.safetensors").rename(folder / keep)
    assert refused(folder, message).hint


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "\udcff"])
def test_a_configuration_that_is_none(folder, content):
    (folder / "config.json").write_text(content, errors="surrogateescape")
    refused(folder, "config.json")


def test_packed_weights_of_gpt_oss_are_unpacked_exactly(sound, tmp_path):
    folder = shutil.copytree(sound["gptoss"], tmp_path / "student")
    tensors = load_file(folder / "model.safetensors")
    draw = torch.Generator().manual_seed(0)
    values = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6])
    wanted = {}
    for name in [name for name in tensors if name.endswith(("experts.gate_up_proj", "experts.down_proj"))]:
        experts, inputs, outputs = tensors.pop(name).shape
        shape = (experts, outputs, inputs // 32)
        blocks = torch.randint(0, 256, (*shape, 16), generator=draw, dtype=torch.uint8)
        scales = torch.randint(120, 125, shape, generator=draw, dtype=torch.uint8)
        tensors |= {f"{name}_blocks": blocks, f"{name}_scales": scales}
        pairs = torch.stack([values[(blocks & 15).long()], values[(blocks >> 4).long()]], -1)
        scaled = pairs.reshape(*shape, 32) * (2.0 ** (scales.float() - 127))[..., None]
        wanted[name] = scaled.reshape(experts, outputs, inputs).transpose(1, 2)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    change(folder, quantization_config={"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]})
    found = load_weights(folder).state_dict()
    assert len(wanted) == 4
    assert all(torch.equal(found[name], value) for name, value in wanted.items())


@pytest.mark.parametrize("place", [[-8, 0], [8, 0]])
def test_a_tensor_outside_of_the_data_is_refused(tmp_path, place):
    header = json.dumps({"a": {"dtype": "F32", "shape": [2], "data_offsets": place}}).encode()
    file = tmp_path / "model.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(ModelError, match="its header is not one of safetensors"):
        read_shapes(file)


def test_shapes_are_read_without_the_tensors(sound):
    shapes = read_shapes(sound["llama3"] / "model.safetensors")
    tensors = load_file(sound["llama3"] / "model.safetensors")
    assert shapes == {name: tuple(tensor.shape) for name, tensor in tensors.items()}
