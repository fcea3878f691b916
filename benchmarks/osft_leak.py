"""How much of what OSFT changes lies within the directions it protects: peft alone, and as labtune does it.

    python benchmarks/osft_leak.py [--student builtin:nano] [--steps 60] [--rate 3e-3] [--preserve 0.5]

Both runs take the same steps of AdamW on the same text (the built-in replay set) from the same weights. For
each decomposed matrix, the change is projected onto the protected left and right singular vectors of the
student's own weight; the shares are norms, |U_h^T dW| / |dW| and |dW V_h| / |dW|, and that in both at once.
Printed are mean and largest over all matrices. Source of the method: arXiv 2504.07097.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from labtune.builtin import REPLAY
from labtune.config.lab import OsftConfig, TrainConfig
from labtune.mixing.general import load_general
from labtune.models.hf import load_model
from labtune.models.quiet import quiet_libraries
from labtune.models.student import resolve_student
from labtune.models.template import render_batch
from labtune.training.methods.choice import make_method
from labtune.training.methods.method import Tuning
from labtune.training.methods.osft import osft_layers
from labtune.training.optimizer import make_optimizer

WIDTH = 96


def main() -> None:
    options = _options()
    quiet_libraries()
    student = resolve_student(options.student)
    model, tokenizer = load_model(student)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    batches = _batches(tokenizer, options.steps, options.rows)
    document: dict[str, Any] = {
        "student": options.student,
        "steps": options.steps,
        "rate": options.rate,
        "preserve": options.preserve,
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, torch {torch.__version__}",
        "cases": [],
    }
    for projected in (False, True):
        case = _run(student, batches, before, options, projected=projected)
        document["cases"].append(case)
    print(_table(document))
    if options.out:
        options.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _run(
    student: Path,
    batches: list[torch.Tensor],
    before: dict[str, torch.Tensor],
    options: argparse.Namespace,
    *,
    projected: bool,
) -> dict[str, Any]:
    config = TrainConfig(
        method="osft", learning_rate=options.rate, osft=OsftConfig(preserve=options.preserve)
    )
    method = make_method(Tuning(student, config, torch.device("cpu"), seed=1))
    model = method.begin(None)
    optimizer = make_optimizer(model, config)
    if projected:
        method.bind(optimizer, model)
    losses, begun = [], time.perf_counter()
    for ids in batches:
        loss = model(input_ids=ids, labels=ids).loss
        torch.autograd.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    seconds = time.perf_counter() - begun
    with torch.no_grad():
        after = method.plain_weights(model)
        leaks = [
            _leak(before[f"{name}.weight"], after[f"{name}.weight"], layer.effective_rank["default"])
            for name, layer in osft_layers(model).items()
        ]
    return {
        "case": "gradients and factors projected" if projected else "gradients projected (peft)",
        "loss": [round(losses[0], 4), round(statistics.mean(losses[-5:]), 4)],
        "change": round(statistics.mean(one["change"] for one in leaks), 4),
        **{
            side: {
                "mean": statistics.mean(one[side] for one in leaks),
                "largest": max(one[side] for one in leaks),
            }
            for side in ("left", "right", "both")
        },
        "seconds": round(seconds, 2),
    }


def _leak(before: torch.Tensor, after: torch.Tensor, protected: int) -> dict[str, float]:
    left, _, right = torch.linalg.svd(before.double(), full_matrices=False)
    left, right = left[:, :protected], right[:protected]
    change = after.double() - before.double()
    size = float(change.norm())
    return {
        "left": float((left.T @ change).norm()) / size,
        "right": float((change @ right.T).norm()) / size,
        "both": float((left.T @ change @ right.T).norm()) / size,
        "change": size / float(before.double().norm()),
    }


def _batches(tokenizer: Any, steps: int, rows: int) -> list[torch.Tensor]:
    chats = [row.messages for row in load_general(REPLAY) if row.messages][: steps * rows * 4]
    stream = [token for ids, _ in render_batch(tokenizer, chats) for token in ids]
    size = rows * WIDTH
    if len(stream) < steps * size:
        raise SystemExit(f"the replay set has tokens for {len(stream) // size} steps only")
    return [torch.tensor(stream[i * size : (i + 1) * size]).view(rows, WIDTH) for i in range(steps)]


def _table(document: dict[str, Any]) -> str:
    lines = [
        f"{document['student']}, {document['steps']} steps of AdamW at {document['rate']:g}, "
        f"{document['preserve']:g} preserved; {document['machine']}",
        "",
        "| | in left space, mean (largest) | in right space | in both | change / weight | loss | s |",
        "|---|---|---|---|---|---|---|",
    ]
    for case in document["cases"]:
        shares = " | ".join(
            f"{case[side]['mean']:.2e} ({case[side]['largest']:.2e})" for side in ("left", "right", "both")
        )
        lines.append(
            f"| {case['case']} | {shares} | {case['change']:.3f} | {case['loss'][0]:.2f} to "
            f"{case['loss'][1]:.2f} | {case['seconds']:.0f} |"
        )
    return "\n".join(lines)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--student", default="builtin:nano")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rows", type=int, default=8, help="rows of 96 tokens in a step")
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--preserve", type=float, default=0.5)
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
