"""Models of which only config.json and the header exist: the weights are a hole in the file."""

from __future__ import annotations

import json
import math
from pathlib import Path

LLAMA_8B = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "tie_word_embeddings": False,
}
LLAMA_1B = {
    **LLAMA_8B,
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 16,
    "head_dim": 64,
    "tie_word_embeddings": True,
}


def llama_shapes(config: dict) -> dict[str, list[int]]:
    """The tensors of a Llama checkpoint on the hub."""
    hidden, inner, vocabulary = (config[key] for key in ("hidden_size", "intermediate_size", "vocab_size"))
    head = config.get("head_dim") or hidden // config["num_attention_heads"]
    asked, held = config["num_attention_heads"] * head, config["num_key_value_heads"] * head
    shapes = {"model.embed_tokens.weight": [vocabulary, hidden], "model.norm.weight": [hidden]}
    if not config["tie_word_embeddings"]:
        shapes["lm_head.weight"] = [vocabulary, hidden]
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}"
        shapes |= {
            f"{at}.self_attn.q_proj.weight": [asked, hidden],
            f"{at}.self_attn.k_proj.weight": [held, hidden],
            f"{at}.self_attn.v_proj.weight": [held, hidden],
            f"{at}.self_attn.o_proj.weight": [hidden, asked],
            f"{at}.mlp.gate_proj.weight": [inner, hidden],
            f"{at}.mlp.up_proj.weight": [inner, hidden],
            f"{at}.mlp.down_proj.weight": [hidden, inner],
            f"{at}.input_layernorm.weight": [hidden],
            f"{at}.post_attention_layernorm.weight": [hidden],
        }
    return shapes


def write_header(file: Path, shapes: dict[str, list[int]]) -> None:
    """A safetensors file of the right length without any weights in it."""
    header, at = {}, 0
    for name, shape in shapes.items():
        end = at + math.prod(shape) * 2
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, end]}
        at = end
    text = json.dumps(header).encode()
    with file.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        stream.truncate(8 + len(text) + at)


def write_llama(folder: Path, config: dict) -> Path:
    """A Llama of which only the shapes exist."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    write_header(folder / "model.safetensors", llama_shapes(config))
    return folder
