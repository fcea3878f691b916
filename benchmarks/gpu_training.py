"""Training speed of 1B and 3B students on this machine's accelerator: tokens/s, MFU, memory.

    python benchmarks/gpu_training.py [--models llama-1b llama-3b granite-1b granite-3b] [--methods full lora]
        [--pack 4096] [--packs 4] [--steps 10] [--checkpointing] [--compile] [--json FILE]

Needs torch, transformers, labtune and (for lora) peft, no network: configurations are built here and weights
are random. A step trains `--packs` packs of `--pack` tokens in one line, rows of a chat's lengths, through
labtune's own loss, attention and optimiser: weights and AdamW in fp32 (frozen ones in bf16), products
in bf16. MFU is against a matrix product measured at the start. `--models tiny` runs anywhere.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import math
import random
import resource
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, GraniteConfig, LlamaConfig

from labtune.config.lab import TrainConfig
from labtune.models.device import accelerators, choose
from labtune.models.quiet import no_warnings, quiet_libraries
from labtune.training.anatomy import describe
from labtune.training.gauge import Gauge, measure_ceiling
from labtune.training.loss import PackedLoss
from labtune.training.machine import this_machine
from labtune.training.optimizer import make_optimizer

WARM_UP = 3
"""Steps that are not counted: kernels are chosen, compiled and memory is found in them."""

_GRANITE = {
    "embedding_multiplier": 12.0,
    "logits_scaling": 8.0,
    "residual_multiplier": 0.22,
    "attention_multiplier": 0.015625,
}
# Sizes of Llama 3.2 1B and 3B; the Granite ones have the widths and scaling factors of that family.
CONFIGS: dict[str, tuple[type, dict[str, Any]]] = {
    "llama-1b": (
        LlamaConfig,
        {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32,
         "num_key_value_heads": 8, "head_dim": 64, "vocab_size": 128_256},
    ),
    "llama-3b": (
        LlamaConfig,
        {"hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 28, "num_attention_heads": 24,
         "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 128_256},
    ),
    "granite-1b": (
        GraniteConfig,
        {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 18, "num_attention_heads": 32,
         "num_key_value_heads": 8, "vocab_size": 49_160, **_GRANITE},
    ),
    "granite-3b": (
        GraniteConfig,
        {"hidden_size": 2560, "intermediate_size": 8192, "num_hidden_layers": 40, "num_attention_heads": 40,
         "num_key_value_heads": 8, "vocab_size": 49_160, **_GRANITE},
    ),
    "tiny": (
        LlamaConfig,
        {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
         "num_key_value_heads": 2, "vocab_size": 600},
    ),
}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> list[dict[str, Any]]:
    options = _options(arguments)
    quiet_libraries()
    device = torch.device(choose("auto", accelerators()))
    machine = this_machine(device.type)
    ceiling = measure_ceiling(device, "bf16")
    print(f"{machine.name}, torch {torch.__version__}: {ceiling / 1e12:.2f} TFLOP/s in a bf16 matrix product")
    print("| student | method | parameters | tokens/s | MFU | peak memory | loss |")
    print("|---|---|---|---|---|---|---|")
    found = []
    for name, method in itertools.product(options.models, options.methods):
        try:
            row = _measure(name, method, options, device, ceiling)
        except torch.OutOfMemoryError:
            row = {"model": name, "method": method, "out_of_memory": True}
            print(f"| {name} | {method} | out of memory: try --checkpointing or fewer --packs | | | | |")
        found.append(row | {"device": machine.name, "ceiling_flops": ceiling})
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return found


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", choices=list(CONFIGS), default=["llama-1b", "llama-3b"])
    parser.add_argument("--methods", nargs="+", choices=["full", "lora"], default=["full", "lora"])
    parser.add_argument("--pack", type=int, default=4096, help="tokens of a pack")
    parser.add_argument("--packs", type=int, default=4, help="packs in a step")
    parser.add_argument("--steps", type=int, default=10, help="steps that are timed")
    parser.add_argument("--trained", type=float, default=1.0, help="share of each row that is trained")
    parser.add_argument("--checkpointing", action="store_true", help="compute activations again")
    parser.add_argument("--compile", action="store_true", help="compile the layers")
    parser.add_argument("--json", type=Path, help="file for the figures")
    return parser.parse_args(arguments)


def _measure(
    name: str, method: str, options: argparse.Namespace, device: torch.device, ceiling: float
) -> dict[str, Any]:
    config = TrainConfig(method=method, learning_rate=1e-5, gradient_checkpointing=options.checkpointing)
    model, gauge = _build(name, config, device, ceiling)
    if options.checkpointing:
        model.activation_checkpointing_enable()
    loss_of = PackedLoss(model, compiled=options.compile)
    optimizer = make_optimizer(model, config)
    draw = random.Random(1)
    vocabulary = model.get_input_embeddings().weight.shape[0]
    steps = [_step(options, vocabulary, draw, device) for _ in range(WARM_UP + options.steps)]
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    losses: list[torch.Tensor] = []
    begun = 0.0
    for number, (batch, _) in enumerate(steps):
        if number == WARM_UP:
            _wait(device)
            begun = time.perf_counter()
        losses.append(_train(model, loss_of, optimizer, batch))
    _wait(device)
    seconds = time.perf_counter() - begun
    lengths = [length for _, lengths in steps[WARM_UP:] for length in lengths]
    trained = sum(int((batch["labels"] != -100).sum()) for batch, _ in steps[WARM_UP:])
    row = {
        "model": name,
        "method": method,
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "tokens_per_second": sum(lengths) / seconds,
        "mfu": gauge.utilisation(gauge.flops(lengths, trained), seconds),
        "memory_gib": _peak_gib(device),
        "loss": float(losses[-1]),
    }
    print(
        f"| {name} | {method} | {row['parameters'] / 1e9:.2f}B | {row['tokens_per_second']:,.0f} "
        f"| {row['mfu']:.1%} | {row['memory_gib']:.1f} GiB | {row['loss']:.2f} |"
    )
    return row


def _build(name: str, config: TrainConfig, device: torch.device, ceiling: float) -> tuple[Any, Gauge]:
    """A model with random weights on the device, adapters around it for lora, and what measures its use."""
    kind, settings = CONFIGS[name]
    shape = kind(tie_word_embeddings=True, max_position_embeddings=131_072, **settings)
    frozen = config.method != "full"
    torch.manual_seed(0)
    with device:
        model = AutoModelForCausalLM.from_config(
            shape, dtype=torch.bfloat16 if frozen and device.type == "cuda" else torch.float32
        )
    shapes = {name: tuple(weight.shape) for name, weight in model.named_parameters()}
    student = describe(shape.to_dict(), shapes, stored_bytes=0, where=name)
    gauge = Gauge.of(student, config, this_machine(device.type), ceiling)
    if frozen:
        from peft import LoraConfig, get_peft_model

        adapters = LoraConfig(
            r=config.lora.rank,
            lora_alpha=config.lora.alpha,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        )
        with no_warnings():
            model = get_peft_model(model, adapters)
    return model.train(), gauge


def _step(
    options: argparse.Namespace, vocabulary: int, draw: random.Random, device: torch.device
) -> tuple[dict[str, torch.Tensor], list[int]]:
    """One line of packs that are full to the last token, and the lengths of its rows."""
    lengths: list[int] = []
    for _ in range(options.packs):
        room = options.pack
        while room:
            # Chats: log-normal, half of them below a tenth of a pack.
            length = min(room, max(8, round(draw.lognormvariate(math.log(options.pack / 10), 0.8))))
            lengths.append(length)
            room -= length
    positions = torch.cat([torch.arange(length) for length in lengths])[None]
    begins = torch.cat([torch.full((n,), max(1, round(n * (1 - options.trained)))) for n in lengths])[None]
    ids = torch.randint(
        vocabulary, positions.shape, generator=torch.Generator().manual_seed(draw.getrandbits(32))
    )
    batch = {
        "input_ids": ids,
        "labels": torch.where(positions < begins, -100, ids),
        "position_ids": positions,
    }
    return {key: value.to(device) for key, value in batch.items()}, lengths


def _train(
    model: Any, loss_of: PackedLoss, optimizer: torch.optim.Optimizer, batch: dict[str, torch.Tensor]
) -> torch.Tensor:
    with torch.autocast(batch["input_ids"].device.type, dtype=torch.bfloat16):
        total, trained, _ = loss_of(model, batch)
    loss = total / trained
    torch.autograd.backward(loss)
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss.detach()


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()
    elif device.type == "mps":
        torch.mps.synchronize()


def _peak_gib(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    main()
