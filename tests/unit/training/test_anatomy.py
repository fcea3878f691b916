"""Shapes from headers: exact counts without loading, and one sentence for each way a file can be wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.families import FAMILIES, make_family

from header_only import LLAMA_1B, LLAMA_8B, llama_shapes, write_header, write_llama
from labtune.errors import ModelError
from labtune.training.anatomy import describe, read_anatomy


@pytest.mark.parametrize(("config", "parameters"), [(LLAMA_8B, 8_030_261_248), (LLAMA_1B, 1_235_814_400)])
def test_published_models_are_counted_exactly(tmp_path: Path, config: dict, parameters: int) -> None:
    student = read_anatomy(write_llama(tmp_path, config))
    assert student.parameters == parameters
    assert (student.layers, student.attention_layers) == (config["num_hidden_layers"],) * 2
    assert student.tables == 128256 * config["hidden_size"] * (1 if config["tie_word_embeddings"] else 2)
    assert student.vectors == (2 * student.layers + 1) * student.hidden
    assert student.stored_bytes > 2 * parameters


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_is_counted_as_it_loads(tmp_path: Path, family: str) -> None:
    from labtune.models.hf import load_weights

    folder = make_family(family, tmp_path / family)
    student = read_anatomy(folder)
    model = load_weights(folder)
    assert student.parameters == sum(weight.numel() for weight in model.parameters())
    sizes = [one.size for one in student.matrices]
    assert student.parameters == sum(sizes) + student.tables + student.vectors
    assert student.attention_layers == (1 if family == "granite4" else 2)
    fed, read, written, gated = student.widths()
    assert fed > 0 and read > written > gated > 0


def test_experts_count_whole_and_work_in_part() -> None:
    config = {
        "hidden_size": 64,
        "num_attention_heads": 4,
        "vocab_size": 100,
        "num_hidden_layers": 1,
        "num_experts_per_tok": 2,
    }
    table = {"model.embed_tokens.weight": (100, 64)}
    apart = {
        f"model.layers.0.mlp.experts.{number}.{name}.weight": shape
        for number in range(8)
        for name, shape in (("gate_proj", (32, 64)), ("up_proj", (32, 64)), ("down_proj", (64, 32)))
    }
    together = {
        "model.layers.0.block_sparse_moe.input_linear.weight": (8, 64, 64),
        "model.layers.0.block_sparse_moe.output_linear.weight": (8, 64, 32),
    }
    packed = {
        "model.layers.0.mlp.experts.gate_up_proj_blocks": (8, 64, 2, 16),
        "model.layers.0.mlp.experts.gate_up_proj_scales": (8, 64, 2),
        "model.layers.0.mlp.experts.down_proj_blocks": (8, 64, 1, 16),
        "model.layers.0.mlp.experts.down_proj_scales": (8, 64, 1),
    }
    for shapes in (apart, together, packed):
        student = describe(config, table | shapes, stored_bytes=0, where="here")
        assert student.parameters == 6400 + 8 * 3 * 32 * 64
        assert student.active == 6400 + 2 * 3 * 32 * 64
        assert student.widths().written == 2 * 32


def test_a_model_in_several_files_is_one(tmp_path: Path) -> None:
    shapes = llama_shapes(LLAMA_1B)
    (tmp_path / "config.json").write_text(json.dumps({"text_config": LLAMA_1B, "model_type": "outer"}))
    names = sorted(shapes)
    for number, half in enumerate((names[::2], names[1::2])):
        write_header(tmp_path / f"model-{number}.safetensors", {name: shapes[name] for name in half})
    student = read_anatomy(tmp_path)
    assert (student.parameters, student.family) == (1_235_814_400, "outer")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_size": None}, "no usable hidden_size"),
        ({"num_hidden_layers": "many"}, "no usable num_hidden_layers"),
        ({"vocab_size": 500_000}, "500000 tokens of width 2048, and the weights hold no embedding"),
    ],
)
def test_a_lying_configuration_is_one_sentence(tmp_path: Path, change: dict, message: str) -> None:
    write_llama(tmp_path, LLAMA_1B)
    (tmp_path / "config.json").write_text(json.dumps(LLAMA_1B | change))
    with pytest.raises(ModelError, match=message):
        read_anatomy(tmp_path)
