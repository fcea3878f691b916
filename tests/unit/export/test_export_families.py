"""Every family that llama.cpp computes: the file says what the checkpoint says, in a real llama.cpp."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from exporting import CHATS, TOKENS, edit_json, export_to, make_variant
from tests.families import make_family

from labtune.errors import ExportError
from labtune.export.export import load_reference
from labtune.export.gguf_file import Converted, convert, write_gguf
from labtune.export.number_formats import number_format
from labtune.export.parity import compare
from labtune.export.tensors import plan_tensors
from labtune.export.weights import open_weights
from labtune.models.gguf_header import read_header
from labtune.models.hf import load_tokenizer
from labtune.models.llamacpp import LlamaCppModel
from labtune.types import Message

PRE = {
    "llama3": "llama-bpe",
    "granite3": "smollm",
    "qwen3": "qwen2",
    "mistral": "default",
    "phi4mini": "gpt-4o",
    "smollm": "llama-bpe",
}
"""Families that become GGUF, and the pre-tokeniser that fits each."""


def make(name: str, folder: Path) -> Path:
    make_family(name, folder)
    if name == "smollm":
        # llama.cpp leaves rope out of every fourth layer, so out of none of two.
        edit_json(folder / "config.json", no_rope_layers=[1, 1])
    return folder


@pytest.mark.parametrize("name", PRE)
def test_a_family_says_the_same_in_llama_cpp(name: str, tmp_path: Path) -> None:
    found = export_to(make(name, tmp_path / "model"), tmp_path, "f16")
    assert found.parity is not None
    assert found.parity.failures == ()
    assert found.parity.distance < 0.004
    assert all(prompt.same_prompt for prompt in found.parity.prompts)
    header = read_header(found.path)
    assert header.values["tokenizer.ggml.pre"] == PRE[name]
    assert header.chat_template == load_tokenizer(tmp_path / "model").chat_template.replace(
        "{% generation %}", "{% if true %}"
    ).replace("{% endgeneration %}", "{% endif %}")


VARIANTS: dict[str, dict[str, Any]] = {
    "qwen2 with biases": {"model_type": "qwen2"},
    "llama, untied, biases, yarn": {
        "model_type": "llama",
        "attention_bias": True,
        "mlp_bias": True,
        "rope_parameters": {
            "rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 32,
        },
    },
    "llama, linear, wide heads": {
        "model_type": "llama",
        "head_dim": 32,
        "rope_parameters": {"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.0},
    },
    "granite 3, sharp attention": {
        "model_type": "granite", "embedding_multiplier": 12.0, "logits_scaling": 2.0,
        "residual_multiplier": 0.5, "attention_multiplier": 0.5,
    },
    "granite 4, dense": {
        "model_type": "granitemoehybrid", "layer_types": ["attention", "attention"], "num_local_experts": 0,
        "shared_intermediate_size": 96, "position_embedding_type": "rope", "embedding_multiplier": 12.0,
        "logits_scaling": 2.0, "residual_multiplier": 0.5, "attention_multiplier": 0.5,
    },
    "granite 4, dense, without positions": {
        "model_type": "granitemoehybrid", "layer_types": ["attention", "attention"], "num_local_experts": 0,
        "shared_intermediate_size": 96, "position_embedding_type": None, "attention_multiplier": 0.25,
    },
    "phi 3, plain rope": {"model_type": "phi3"},
}  # fmt: skip


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_of_a_layout_says_the_same_in_llama_cpp(name: str, tmp_path: Path) -> None:
    source = make_variant(tmp_path / "model", **VARIANTS[name])
    found = export_to(source, tmp_path, "f32", chats=CHATS[:2])
    assert found.parity is not None
    assert found.parity.failures == ()


@pytest.mark.parametrize(("name", "words"), [("granite4", "dense Granite"), ("gptoss", "these can: Llama")])
def test_what_llama_cpp_cannot_be_given_is_refused_with_what_works(
    name: str, words: str, tmp_path: Path
) -> None:
    source = make_family(name, tmp_path / "model")
    with pytest.raises(ExportError, match=words) as caught:
        export_to(source, tmp_path / "out", "f16")
    assert "--format safetensors" in (caught.value.hint or "")
    assert not (tmp_path / "out").exists()


def test_a_model_that_looks_back_less_far_states_the_context_that_is_exact(tmp_path: Path) -> None:
    source = make_variant(tmp_path / "model", "mistral", family="qwen3", sliding_window=128)
    found = export_to(source, tmp_path, "f16", chats=CHATS[:1])
    assert read_header(found.path).context_length == 128
    assert "looks back 128 tokens" in found.notes[0]


def test_a_vocabulary_in_the_older_layout_says_the_same(tmp_path: Path) -> None:
    # Llama 2 and Phi-3 put a space before every stretch of text with a normaliser.
    source = make_family("mistral", tmp_path / "model")
    steps = [
        {"type": "Prepend", "prepend": "▁"},
        {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
    ]
    edit_json(
        source / "tokenizer.json", pre_tokenizer=None, normalizer={"type": "Sequence", "normalizers": steps}
    )
    edit_json(source / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
    found = export_to(source, tmp_path, "f16")
    assert found.parity is not None
    assert found.parity.failures == ()
    assert read_header(found.path).values["tokenizer.ggml.add_space_prefix"] is True


def test_both_sets_of_rope_factors_are_carried(tmp_path: Path) -> None:
    source = make_family("phi4mini", tmp_path / "model")
    path = export_to(source, tmp_path, "f16").path
    reference = load_reference(source, "right")
    long = [(Message("user", "The sky is blue, and the sea is deep. " * 30),)]
    with LlamaCppModel.load(path) as engine:
        # Without being asked for more, the engine stays below the length where positions are stretched.
        assert engine.context_length == 256
    with LlamaCppModel.load(path, context=512) as engine:
        assert compare(reference, engine, long, kind="f16", max_tokens=4).failures == ()
        # llama.cpp then stretches the positions of short texts, too: that is told.
        assert compare(reference, engine, CHATS[:1], kind="f16", max_tokens=4).failures


SABOTAGES: dict[str, dict[str, Any]] = {
    "rows of q and k in the wrong order": {"layout": {"interleaved": False}},
    "another base of the positions": {"rope_base": 1000.0},
    "no scale of the residual": {"scales": {"residual": 1.0}},
}


@pytest.mark.parametrize("name", SABOTAGES)
def test_a_wrong_conversion_is_caught(name: str, tmp_path: Path) -> None:
    source = make_variant(tmp_path / "model", **VARIANTS["granite 3, sharp attention"])
    right = convert(source, load_tokenizer(source), name="wrong", kind=number_format("f16"))
    write_gguf(_sabotaged(right, source, SABOTAGES[name]), tmp_path / "wrong.gguf")
    with LlamaCppModel.load(tmp_path / "wrong.gguf", context=256) as engine:
        found = compare(load_reference(source, "right"), engine, CHATS, kind="f16", max_tokens=TOKENS)
    assert any("likelihoods differ" in failure for failure in found.failures)


def _sabotaged(model: Converted, source: Path, change: dict[str, Any]) -> Converted:
    shape = dataclasses.replace(
        model.shape,
        layout=dataclasses.replace(model.shape.layout, **change.get("layout", {})),
        rope_base=change.get("rope_base", model.shape.rope_base),
        scales={**model.shape.scales, **change.get("scales", {})},
    )
    tensors = plan_tensors(open_weights(source), shape, model.kind)
    return dataclasses.replace(model, shape=shape, tensors=tensors)
