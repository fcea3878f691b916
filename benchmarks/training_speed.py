"""Training speed on one generated data set: labtune against the defaults of TRL's and transformers' trainers.

    python benchmarks/training_speed.py RUN/mix [--student builtin:nano] [--tokens 40000] [--rounds 5]
        [--only NAME ...]

All variants train the same rows once, from the same weights, with AdamW, the loss on the assistant's tokens.
"equal batch" means that a step trains as many rows as a step of labtune; everything else is the library's
default. Counted are the rows' own tokens per second of training (padding never counts; loading and tokenising
are not timed). Rounds are interleaved, so that a disturbance of the machine hits every variant; medians are
printed. On a machine that others use too, read the column of tokens per CPU second.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset as HfDataset
from datasets import disable_progress_bars
from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments
from transformers.trainer_callback import PrinterCallback
from trl import SFTConfig, SFTTrainer

from labtune.artifact import Dataset
from labtune.config.layers import load
from labtune.models.device import accelerators, choose
from labtune.models.hf import load_model
from labtune.models.quiet import no_warnings, quiet_libraries
from labtune.models.student import resolve_student
from labtune.training.methods.choice import make_method
from labtune.training.methods.method import Tuning
from labtune.training.plan import plan_phases
from labtune.training.rows import IGNORED, TokenRows, read_rows
from labtune.training.trainer import Student, make_trainer

OURS = "labtune"
TRL = "TRL SFTTrainer, defaults, equal batch"
PLAIN = "transformers Trainer, defaults, equal batch"
QUIET: dict[str, Any] = {
    "report_to": "none",
    "disable_tqdm": True,
    "save_strategy": "no",
    "logging_strategy": "no",
}


def main() -> None:
    options = _options()
    quiet_libraries()
    disable_progress_bars()
    student = resolve_student(options.student)
    with tempfile.TemporaryDirectory() as folder:
        rows = _sample(Path(options.dataset), Path(folder), options.tokens, student)
        variants = {
            name: make
            for name, make in _variants(rows, student, Path(folder)).items()
            if name == OURS or not options.only or any(part in name for part in options.only)
        }
        tokens = sum(rows.lengths)
        print(json.dumps({"machine": _machine(), "rows": len(rows.lengths), "tokens": tokens}, indent=1))
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in variants}
        for number in range(options.rounds + 1):
            for name, make in variants.items():
                with no_warnings():
                    spent = _seconds(make())
                # The first round warms caches up and is not counted.
                if number:
                    times[name].append(spent)
    _print_table(times, tokens)


def _print_table(times: dict[str, list[tuple[float, float]]], tokens: int) -> None:
    wall = {name: [tokens / one[0] for one in found] for name, found in times.items()}
    cpu = {name: statistics.median(tokens / one[1] for one in found) for name, found in times.items()}
    print("| variant | tokens/s, median (range) | labtune is | tokens per CPU second | labtune is |")
    print("|---|---|---|---|---|")
    ours, ours_cpu = statistics.median(wall[OURS]), cpu[OURS]
    for name, found in wall.items():
        median = statistics.median(found)
        print(
            f"| {name} | {median:,.0f} ({min(found):,.0f} to {max(found):,.0f}) | {ours / median:.2f}x "
            f"| {cpu[name]:,.0f} | {ours_cpu / cpu[name]:.2f}x |"
        )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset", help="folder of the mix stage")
    parser.add_argument("--student", default="builtin:nano")
    parser.add_argument("--tokens", type=int, default=40_000, help="tokens trained in one round of a variant")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--only", nargs="*", default=[], help="parts of the names of variants, besides labtune's"
    )
    return parser.parse_args()


def _sample(dataset: Path, folder: Path, tokens: int, student: Path) -> TokenRows:
    """Seeded random rows of all phases, about `tokens` tokens, as a data set of one phase."""
    source = Dataset(dataset)
    lines = [line for name in source.phases() for line in (dataset / f"{name}.jsonl").open(encoding="utf-8")]
    random.Random(1).shuffle(lines)
    chosen: list[str] = []
    total = 0
    for line in lines:
        if total >= tokens:
            break
        total += json.loads(line)["n_tokens"]
        chosen.append(line)
    (folder / "phases.json").write_text('["single"]')
    (folder / "single.jsonl").write_text("".join(chosen), encoding="utf-8")
    _, tokenizer = load_model(student)
    return read_rows(Dataset(folder), "single", tokenizer, max_length=load(None).lab.train.max_length)


def _variants(rows: TokenRows, student: Path, folder: Path) -> dict[str, Callable[[], Any]]:
    # The settings that the student's profile has, with the optimiser that the others have.
    once = {
        "epochs_short": 1.0,
        "epochs_long": 1.0,
        "epochs_skills": 1.0,
        "max_tokens": None,
        "evaluations": 1,
    }
    config = load(None).lab.train.model_copy(update={**once, "optimizer": "adamw", "pull_back": 0.0})
    (plan,) = plan_phases({"single": rows}, config, seed=1)
    equal = {"per_device_train_batch_size": round(len(rows.lengths) / plan.steps)}
    starts = rows.starts.tolist()
    spans = list(itertools.pairwise(starts))
    ids = [rows.ids[begin:end].tolist() for begin, end in spans]
    labels = [rows.labels[begin:end].tolist() for begin, end in spans]
    tokenised = HfDataset.from_dict({"input_ids": ids, "labels": labels})
    # TRL asks for bf16 by default, which needs this flag where there is no accelerator.
    device = choose("auto", accelerators())
    on_cpu = device == "cpu"
    common = {"output_dir": str(folder / "out"), "num_train_epochs": 1, "use_cpu": on_cpu, **QUIET}

    def ours(**changed: Any) -> Callable[[], Any]:
        def make() -> Any:
            used = config.model_copy(update=changed)
            method = make_method(Tuning(student, used, torch.device(device), 1))
            model, tokenizer = method.begin(None), load_model(student)[1]
            return make_trainer(
                Student(model, tokenizer, method), plan, config=used, folder=folder / "out", seed=1
            )

        return make

    def trl(**settings: Any) -> Callable[[], Any]:
        def make() -> Any:
            model, tokenizer = load_model(student)
            arguments = SFTConfig(**common, **settings)
            return _NoTelemetry(
                model=model, args=arguments, train_dataset=tokenised, processing_class=tokenizer
            )

        return make

    def plain() -> Any:
        model, tokenizer = load_model(student)
        collator = DataCollatorForSeq2Seq(tokenizer, label_pad_token_id=IGNORED)
        arguments = TrainingArguments(**common, **equal)
        return Trainer(model=model, args=arguments, train_dataset=tokenised, data_collator=collator)

    packed = {"packing": True, "max_length": config.max_length, "gradient_checkpointing": False}
    lines = max(1, config.batch_tokens // config.max_length)
    return {
        OURS: ours(),
        "labtune, one copy": ours(replicas=1),
        "labtune, Muon and pull_back as in profile nano": ours(optimizer="muon", pull_back=3.5),
        TRL: trl(**equal),
        PLAIN: plain,
        "TRL SFTTrainer, defaults (8 rows a step)": trl(),
        "TRL SFTTrainer, packing, no checkpointing, equal tokens": trl(
            **packed, per_device_train_batch_size=lines
        ),
    }


class _NoTelemetry(SFTTrainer):
    def _send_telemetry(self) -> None:
        """A benchmark sends nothing."""


def _seconds(trainer: Any) -> tuple[float, float]:
    """Wall and CPU seconds of a training."""
    trainer.remove_callback(PrinterCallback)
    begun = time.perf_counter(), time.process_time()
    trainer.train()
    return time.perf_counter() - begun[0], time.process_time() - begun[1]


def _machine() -> dict[str, object]:
    info = Path("/proc/cpuinfo")
    model = platform.processor()
    if info.exists():
        names = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if "model name" in line
        ]
        model = names[0] if names else model
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 2),
        "torch": torch.__version__,
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


if __name__ == "__main__":
    main()
