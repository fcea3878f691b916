"""The training loop: bf16 autocast, Muon, loss on the trained tokens, resumable checkpoints.

Matrices are trained with Muon (Jordan et al. 2024; learning rates on AdamW's scale, Liu et al. 2025),
embeddings and norms with AdamW: Muon needs far fewer tokens here (docs/log.md).
"""

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
    """`tokens` or `minutes` end the run, whichever comes first; the learning rate follows the same clock.

    `start` is a checkpoint whose weights begin a new run.
    """

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
    start: Path | None = None


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


def _own(checkpoint: Path, rank: int) -> Path:
    """The optimizer state of one process: each holds that of its own matrices."""
    return checkpoint.with_name(f"optimizer-{rank}.pt")


def _save(checkpoint: Path, model: LlamaForCausalLM, optimizer: _Optimizer, clock: _Clock, rank: int) -> None:
    files: dict[Path, Any] = {_own(checkpoint, rank): optimizer.state()}
    if rank == 0:
        files[checkpoint] = {"model": model.state_dict(), **asdict(clock)}
    for path, state in files.items():
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
    optimizer = _Optimizer(model, rank, config.processes)
    checkpoint = config.folder / "checkpoint.pt"
    clock = _Clock()
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.restore(torch.load(_own(checkpoint, rank), map_location=device, weights_only=True))
        clock = _Clock(**{name: state[name] for name in ("step", "seen", "spent", "drawn")})
    elif config.start:
        model.load_state_dict(torch.load(config.start, map_location=device, weights_only=True)["model"])
    source = batches(config.folder / "shards", config.seed, config.batch_tokens)
    source = itertools.islice(source, clock.drawn + rank, None, config.processes)
    body: Any = torch.compile(model.model, dynamic=True) if config.compile else model.model
    began = time.monotonic() - clock.spent
    losses, counted = 0.0, 0.0
    progress = clock.progress(config)
    saved = int(progress * config.minutes / config.checkpoint_minutes)
    while progress < 1:
        rate = config.learning_rate * min(
            (clock.step + 1) / config.warmup_steps, 1 - (1 - config.final_share) * progress
        )
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
        optimizer.step(rate)
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
        # The clock of rank 0, summed into `progress`, decides for all when to save.
        if int(progress * config.minutes / config.checkpoint_minutes) > saved:
            saved = int(progress * config.minutes / config.checkpoint_minutes)
            _save(checkpoint, model, optimizer, clock, rank)
    _save(checkpoint, model, optimizer, clock, rank)


@dataclass
class _Clock:
    """How far the run is."""

    step: int = 0
    seen: int = 0
    spent: float = 0.0
    drawn: int = 0

    def progress(self, config: TrainConfig) -> float:
        return max(self.seen / config.tokens, self.spent / 60 / config.minutes)


class _Optimizer:
    """Muon for the layers' matrices, AdamW for the rest; the processes share out Muon's matrices."""

    def __init__(self, model: LlamaForCausalLM, rank: int, processes: int) -> None:
        matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
        chosen = {id(p) for p in matrices}
        self._rest = [p for p in model.parameters() if id(p) not in chosen]
        self._shares = [matrices[share::processes] for share in range(processes)]
        self._parts: tuple[torch.optim.Optimizer, ...] = (
            torch.optim.Muon(self._shares[rank], weight_decay=0.05, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(self._rest, betas=(0.9, 0.98), weight_decay=0.0, fused=True),
        )

    def step(self, rate: float) -> None:
        """Update all weights and drop the gradients."""
        for part in self._parts:
            for group in part.param_groups:
                group["lr"] = rate
            part.step()
        for share, matrices in enumerate(self._shares):
            if dist.is_initialized():
                flat = torch.cat([matrix.detach().view(-1) for matrix in matrices])
                dist.broadcast(flat, src=share)
                for matrix, values in zip(matrices, flat.split([m.numel() for m in matrices]), strict=True):
                    matrix.detach().copy_(values.view_as(matrix))
            for matrix in matrices:
                matrix.grad = None
        for weight in self._rest:
            weight.grad = None

    def state(self) -> list[dict[str, Any]]:
        return [part.state_dict() for part in self._parts]

    def restore(self, states: list[dict[str, Any]]) -> None:
        for part, state in zip(self._parts, states, strict=True):
            part.load_state_dict(state)


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


def _loss(model: LlamaForCausalLM, body: Any, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Summed loss; the vocabulary projection is computed at trained positions only."""
    with torch.autocast(ids.device.type, torch.bfloat16):
        hidden = body(input_ids=ids, use_cache=False).last_hidden_state
        wanted = mask[:, 1:]
        logits = model.lm_head(hidden[:, :-1][wanted])
    return functional.cross_entropy(logits.float(), ids[:, 1:][wanted], reduction="sum")
