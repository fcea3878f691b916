"""What the tests of exporting share: prompts, tiny models of chosen configurations, an export with proof."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.families import make_tokenizer

from labtune.export.export import Exported, Request, export
from labtune.types import Message

CHATS: tuple[tuple[Message, ...], ...] = (
    (Message("user", "What colour is the sky?"),),
    (Message("user", "企鹅在冬天吃什么？ (3 words)"),),
    (
        Message("user", "Who wrote the letter?"),
        Message("assistant", "Anna wrote it."),
        Message("user", "And when, <|end|> exactly?"),
    ),
)
TOKENS = 12


def export_to(
    source: Path, out: Path, kind: str, *, form: Any = "gguf", chats: Sequence[Any] = CHATS, **more: Any
) -> Exported:
    """Export a folder and prove it with the common prompts."""
    return export(Request(source, "tiny", out, form, kind, chats, max_tokens=TOKENS, **more))


def make_variant(folder: Path, model_type: str, *, family: str = "qwen3", **changes: Any) -> Path:
    """A random model of a configuration of its own, with the tokenizer of one of the families."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    n_tokens = make_tokenizer(family, folder)
    tokens = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["added_tokens"]
    settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    ids = {token["content"]: token["id"] for token in tokens}
    sizes: Mapping[str, Any] = {
        "vocab_size": n_tokens,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "initializer_range": 0.1,
        **{f"{role}_token_id": ids.get(settings.get(f"{role}_token")) for role in ("bos", "eos", "pad")},
    }
    config = AutoConfig.for_model(model_type, **{**sizes, **changes})
    torch.manual_seed(3)
    model = AutoModelForCausalLM.from_config(config)
    for name, values in model.named_parameters():
        if name.endswith("bias") or "norm" in name:
            torch.nn.init.uniform_(values, 0.5, 1.5)
    model.to(torch.bfloat16).save_pretrained(folder)
    return folder


def edit_json(path: Path, **changes: Any) -> None:
    """Change keys of a JSON file."""
    value = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**value, **changes}, ensure_ascii=False), encoding="utf-8")
