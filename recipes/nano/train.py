"""The training loop: bf16 autocast, fused AdamW, loss on the trained tokens, resumable checkpoints."""

from __future__ import annotations

import itertools
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM

from .shards import batches


@dataclass(frozen=True)
class TrainConfig:
    """`tokens` or `minutes` end the run, whichever comes first; the learning rate follows the same clock."""

    folder: Path
    seed: int = 0
    tokens: int = 30_000_000
    minutes: float = 120.0
    learning_rate: float = 1.5e-3
    final_share: float = 0.05
    warmup_steps: int = 200
    batch_tokens: int = 2048
    accumulate: int = 1
    checkpoint_minutes: float = 3.0
    device: str = "auto"
    compile: bool = False


def make_model(vocabulary: int, seed: int) -> LlamaForCausalLM:
    """The student's architecture with random weights."""
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=256,
            intermediate_size=704,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=1024,
            tie_word_embeddings=True,
            rms_norm_eps=1e-5,
            pad_token_id=0,
            bos_token_id=None,
            eos_token_id=4,
            attn_implementation="sdpa",
        )
    )


def _save(path: Path, state: dict[str, Any]) -> None:
    part = path.with_suffix(".part")
    torch.save(state, part)
    os.replace(part, path)


def train(model: LlamaForCausalLM, config: TrainConfig) -> None:
    """Train in place; continues from `config.folder/checkpoint.pt` when it is there."""
    chosen = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(chosen if config.device == "auto" else config.device)
    model.to(device).train()
    decay = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decay, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.98), fused=True)
    checkpoint = config.folder / "checkpoint.pt"
    step, seen, spent, drawn = 0, 0, 0.0, 0
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        step, seen, spent, drawn = state["step"], state["seen"], state["spent"], state["drawn"]
    source = itertools.islice(batches(config.folder / "shards", config.seed, config.batch_tokens), drawn, None)
    body = torch.compile(model.model, dynamic=True) if config.compile else model.model
    began = time.monotonic() - spent
    saved = time.monotonic()
    running, counted = 0.0, 0
    while True:
        spent = time.monotonic() - began
        progress = max(seen / config.tokens, spent / 60 / config.minutes)
        if progress >= 1:
            break
        rate = config.learning_rate * min(
            (step + 1) / config.warmup_steps, 1 - (1 - config.final_share) * min(progress, 1)
        )
        for group in optimizer.param_groups:
            group["lr"] = rate
        parts = [next(source) for _ in range(config.accumulate)]
        drawn += config.accumulate
        trained = sum(int(mask[:, 1:].sum()) for _, mask in parts)
        for ids_array, mask_array in parts:
            loss = _loss(model, body, torch.from_numpy(ids_array).to(device), torch.from_numpy(mask_array).to(device))
            (loss / trained).backward()
            running += float(loss.detach())
            seen += ids_array.size
        counted += trained
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        now = time.monotonic()
        if step % 100 == 0:
            print(
                f"{time.strftime('%H:%M:%S')} step {step} tokens {seen / 1e6:.2f}M {100 * progress:.1f}% "
                f"loss {running / counted:.4f} lr {rate:.2e} {seen / max(now - began, 1):.0f} tok/s",
                flush=True,
            )
            running, counted = 0.0, 0
            if not math.isfinite(float(loss.detach())):
                raise FloatingPointError(f"loss is not finite at step {step}")
        if now - saved > config.checkpoint_minutes * 60:
            _save(checkpoint, _state(model, optimizer, step, seen, now - began, drawn))
            saved = now
    _save(checkpoint, _state(model, optimizer, step, seen, spent, drawn))


def _state(
    model: LlamaForCausalLM, optimizer: torch.optim.Optimizer, step: int, seen: int, spent: float, drawn: int
) -> dict[str, Any]:
    return {
        "model": model.state_dict(), "optimizer": optimizer.state_dict(),
        "step": step, "seen": seen, "spent": spent, "drawn": drawn,
    }  # fmt: skip


def _loss(model: LlamaForCausalLM, body: Any, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Summed loss; the vocabulary projection is computed at trained positions only."""
    with torch.autocast(ids.device.type, torch.bfloat16):
        hidden = body(input_ids=ids, use_cache=False).last_hidden_state
        wanted = mask[:, 1:]
        logits = model.lm_head(hidden[:, :-1][wanted])
    return functional.cross_entropy(logits.float(), ids[:, 1:][wanted], reduction="sum")
