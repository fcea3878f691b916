"""The training loop: bf16 autocast, fused AdamW, loss on the trained tokens, resumable checkpoints."""

from __future__ import annotations

import itertools
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
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
    batch_tokens: int = 1536
    processes: int = 1
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
            attn_implementation="eager",
        )
    )


def _save(path: Path, state: dict[str, Any]) -> None:
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)


def train(model: LlamaForCausalLM, config: TrainConfig, rank: int = 0) -> None:
    """Train in place; continues from `config.folder/checkpoint.pt` when it is there.

    With several processes each takes its own batches and the gradients are summed: on small CPUs two
    processes of one thread are much faster than one process of two threads.
    """
    chosen = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(chosen if config.device == "auto" else config.device)
    model.to(device).train()
    optimizer = _optimizer(model, config)
    checkpoint = config.folder / "checkpoint.pt"
    clock = _Clock()
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        clock = _Clock(**{name: state[name] for name in ("step", "seen", "spent", "drawn")})
    source = batches(config.folder / "shards", config.seed, config.batch_tokens)
    source = itertools.islice(source, clock.drawn + rank, None, config.processes)
    body: Any = torch.compile(model.model, dynamic=True) if config.compile else model.model
    began = time.monotonic() - clock.spent
    saved = time.monotonic()
    losses, counted = 0.0, 0.0
    progress = clock.progress(config)
    while progress < 1:
        rate = config.learning_rate * min(
            (clock.step + 1) / config.warmup_steps, 1 - (1 - config.final_share) * progress
        )
        for group in optimizer.param_groups:
            group["lr"] = rate
        ids_array, mask_array = next(source)
        ids, mask = torch.from_numpy(ids_array).to(device), torch.from_numpy(mask_array).to(device)
        loss = _loss(model, body, ids, mask)
        torch.autograd.backward(loss)
        clock.spent = time.monotonic() - began
        total = _share_gradients(
            model,
            torch.tensor([mask[:, 1:].sum(), loss.detach(), ids.numel(), clock.progress(config) / 2**10]),
            rank,
        )
        trained, summed, tokens, progress = total[0], total[1], int(total[2]), total[3] * 2**10
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        clock.step, clock.seen, clock.drawn = (
            clock.step + 1,
            clock.seen + tokens,
            clock.drawn + config.processes,
        )
        losses, counted = losses + summed, counted + trained
        if not math.isfinite(summed):
            raise FloatingPointError(f"loss is not finite at step {clock.step}")
        if rank == 0 and clock.step % 100 == 0:
            print(
                f"{time.strftime('%H:%M:%S')} step {clock.step} tokens {clock.seen / 1e6:.2f}M "
                f"{100 * progress:.1f}% loss {losses / counted:.4f} lr {rate:.2e}",
                flush=True,
            )
            losses, counted = 0.0, 0.0
        if rank == 0 and time.monotonic() - saved > config.checkpoint_minutes * 60:
            _save(checkpoint, _state(model, optimizer, clock))
            saved = time.monotonic()
    if rank == 0:
        _save(checkpoint, _state(model, optimizer, clock))


@dataclass
class _Clock:
    """How far the run is."""

    step: int = 0
    seen: int = 0
    spent: float = 0.0
    drawn: int = 0

    def progress(self, config: TrainConfig) -> float:
        return max(self.seen / config.tokens, self.spent / 60 / config.minutes)


def _optimizer(model: LlamaForCausalLM, config: TrainConfig) -> torch.optim.Optimizer:
    decay = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decay, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.98), fused=True)


def _share_gradients(model: LlamaForCausalLM, counts: torch.Tensor, rank: int) -> list[float]:
    """Sum gradients and counts over the processes (progress: rank 0's), divide by the trained tokens."""
    if not dist.is_initialized():
        scale = 1 / float(counts[0])
        for p in model.parameters():
            if p.grad is not None:
                p.grad.mul_(scale)
        return [float(value) for value in counts]
    if rank:
        counts[3] = 0.0
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    flat = torch.cat([g.view(-1) for g in gradients] + [counts])
    dist.all_reduce(flat)
    total = [float(value) for value in flat[-4:]]
    flat.mul_(1 / total[0])
    offset = 0
    for gradient in gradients:
        gradient.copy_(flat[offset : offset + gradient.numel()].view_as(gradient))
        offset += gradient.numel()
    return total


def launch(rank: int, vocabulary: int, config: TrainConfig) -> None:
    """One of `config.processes` CPU processes."""
    torch.set_num_threads(1)
    rendezvous = (config.folder / "rendezvous").resolve()
    dist.init_process_group(
        "gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=config.processes
    )
    train(make_model(vocabulary, config.seed), config, rank)
    dist.destroy_process_group()


def _state(model: LlamaForCausalLM, optimizer: torch.optim.Optimizer, clock: _Clock) -> dict[str, Any]:
    return {"model": model.state_dict(), "optimizer": optimizer.state_dict(), **asdict(clock)}


def _loss(model: LlamaForCausalLM, body: Any, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Summed loss; the vocabulary projection is computed at trained positions only."""
    with torch.autocast(ids.device.type, torch.bfloat16):
        hidden = body(input_ids=ids, use_cache=False).last_hidden_state
        wanted = mask[:, 1:]
        logits = model.lm_head(hidden[:, :-1][wanted])
    return functional.cross_entropy(logits.float(), ids[:, 1:][wanted], reduction="sum")
