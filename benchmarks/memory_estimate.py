"""Estimated against measured memory: real trainings of small students on the CPU, each in its own process.

    python benchmarks/memory_estimate.py [--only NAME] [--out FILE.json]

A child process loads the libraries, notes its resident size, sets the system's high-water mark back (Linux:
/proc/self/clear_refs), trains a few steps with `labtune.training.train`, and reports the mark. Beside it
stands what `labtune.training.estimate` says from config.json and the headers alone.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "unit"))

from tiny_model import make_tiny_student, write_dataset

from labtune.artifact import Dataset
from labtune.config.lab import TrainConfig
from labtune.training.anatomy import read_anatomy
from labtune.training.estimate import Course, estimate
from labtune.training.train import train
from labtune.types import RunContext

MIB = 2**20
WORDS = ("sky", "sea", "bird", "forest", "pump", "letter", "morning", "station", "deep", "blue", "water")


@dataclass(frozen=True)
class Case:
    """A student's shape and how it is trained."""

    name: str
    shape: dict[str, int]
    train: dict[str, Any]
    words: int = 60
    family: str = "llama"


SMALL = {"hidden": 512, "inner": 1536, "layers": 8, "vocabulary": 8192}
WIDE = {"hidden": 768, "inner": 2048, "layers": 6, "vocabulary": 32768}
CASES = (
    Case("full adamw bf16", SMALL, {}),
    Case("full adamw fp32", SMALL, {"precision": "fp32"}),
    Case("full muon, drawn back", SMALL, {"optimizer": "muon", "pull_back": 1.0}),
    Case("full, 2 replicas", SMALL, {"replicas": 2}),
    Case("full, checkpointing", SMALL, {"gradient_checkpointing": True}),
    Case("full, 1,024 at once", SMALL, {"batch_tokens": 1024}),
    Case("full, long rows", SMALL, {"max_length": 2048}, words=360),
    Case("full, wide vocabulary", WIDE, {}),
    Case("lora bf16", SMALL, {"method": "lora"}),
    Case(
        "lora fp32, checkpointing",
        SMALL,
        {"method": "lora", "precision": "fp32", "gradient_checkpointing": True},
    ),
    Case("dora bf16", SMALL, {"method": "dora"}),
    Case("osft bf16", SMALL, {"method": "osft"}),
    Case("lora, wide vocabulary", WIDE, {"method": "lora"}),
    Case("qwen3 full bf16", SMALL, {}, family="qwen3"),
    Case(
        "qwen3 full fp32, checkpointing",
        SMALL,
        {"precision": "fp32", "gradient_checkpointing": True},
        family="qwen3",
    ),
    Case("granite lora bf16", SMALL, {"method": "lora"}, family="granite"),
)


def main() -> None:
    options = _options()
    context = multiprocessing.get_context("spawn")
    results = []
    for case in CASES:
        if options.only and not any(part in case.name for part in options.only.split(",")):
            continue
        with tempfile.TemporaryDirectory() as folder, context.Pool(1) as pool:
            result = pool.apply(_measure, (case, Path(folder)))
        results.append(result)
        print(
            f"{result['case']:30} estimated {result['estimated_mib']:6,.0f} MiB  "
            f"measured {result['measured_mib']:6,.0f} MiB  ratio {result['ratio']:.2f}",
            flush=True,
        )
        if options.parts:
            print("   ", result["parts_mib"])
    if options.out:
        Path(options.out).write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", help="parts of cases' names, separated by commas")
    parser.add_argument("--out", help="JSON file for the results")
    parser.add_argument("--parts", action="store_true", help="show what the estimate is made of")
    return parser.parse_args()


def _measure(case: Case, folder: Path) -> dict[str, Any]:
    import datasets
    import trl  # noqa: F401

    from labtune.training import phase  # noqa: F401

    datasets.disable_progress_bars()
    student = _make_student(folder / "student", case)
    rows = _rows(case.words, 2 * case.train.get("batch_tokens", 4096) // (case.words * 5))
    data = write_dataset(folder / "data", {"knowledge-short": rows})
    settings = {
        "batch_tokens": 4096,
        "max_length": 1024,
        "epochs_short": 1,
        "evaluations": 1,
        "memory_gib": 64,
    }
    config = TrainConfig(**settings | case.train)
    events: dict[str, Any] = {}
    run = RunContext(
        folder / "out", folder / "cache", emit=lambda name, fields: events.setdefault(name, fields)
    )
    before = _resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    train(Dataset(data), config=config, run=run, student=student, select=lambda _model: 0.5)
    measured = _resident("VmHWM") - before
    batch = _batch(events["train.fit"])
    course = Course.of(config, "cpu")
    memory = estimate(read_anatomy(student), course, batch)
    return {
        "case": case.name,
        "parameters": read_anatomy(student).parameters,
        "tokens": batch.tokens,
        "longest": batch.longest,
        "estimated_mib": memory.total / MIB,
        "measured_mib": measured / MIB,
        "ratio": memory.total / measured,
        "parts_mib": {name: round(getattr(memory, name) / MIB) for name in memory.__dataclass_fields__},
    }


def _batch(fields: dict[str, Any]) -> Any:
    from labtune.training.estimate import Batch

    return Batch(fields["micro_tokens"], fields["longest"], fields["trained"])


def _make_student(folder: Path, case: Case) -> Path:
    """A model of the given family and shape around the tests' tokenizer."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    shape = case.shape
    make_tiny_student(folder, context=2048)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(
        AutoConfig.for_model(
            case.family,
            vocab_size=shape["vocabulary"],
            hidden_size=shape["hidden"],
            intermediate_size=shape["inner"],
            num_hidden_layers=shape["layers"],
            num_attention_heads=shape["hidden"] // 64,
            num_key_value_heads=shape["hidden"] // 128,
            head_dim=64,
            max_position_embeddings=2048,
            tie_word_embeddings=True,
            pad_token_id=config["pad_token_id"],
            eos_token_id=config["eos_token_id"],
            bos_token_id=None,
        )
    )
    model.to(torch.bfloat16).save_pretrained(folder)
    return folder


def _rows(words: int, count: int) -> list[tuple[str, str]]:
    draw = random.Random(0)
    return [
        (" ".join(draw.choices(WORDS, k=words // 2)), " ".join(draw.choices(WORDS, k=words // 2)))
        for _ in range(max(8, count))
    ]


def _resident(key: str) -> int:
    """Bytes, from /proc/self/status."""
    found = re.search(rf"^{key}:\s+(\d+) kB", Path("/proc/self/status").read_text("ascii"), re.MULTILINE)
    assert found is not None, "Linux only"
    return int(found.group(1)) * 1024


if __name__ == "__main__":
    main()
