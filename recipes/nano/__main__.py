"""`python -m recipes.nano`: write the text, train tokenizer and model, export them, sit the exam."""

from __future__ import annotations

import argparse
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from torch.multiprocessing.spawn import spawn

from .export import export_model, export_sets, score
from .shards import build
from .tokenizer import save_tokenizer, train_tokenizer
from .train import TrainConfig, launch, make_model, train

STEPS = ("train", "export", "score")


def main() -> None:
    """Run the chosen steps of the recipe."""
    parser = argparse.ArgumentParser(prog="python -m recipes.nano", description=__doc__)
    parser.add_argument("steps", nargs="*", help="train, export, score (default: all three)")
    parser.add_argument("--folder", type=Path, default=Path("runs/nano"), help="text, tokenizer, checkpoint")
    parser.add_argument(
        "--target", type=Path, default=Path("src/labtune/builtin"), help="where export writes"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tokens", type=int, default=30_000_000, help="training ends after so many tokens")
    parser.add_argument("--text-tokens", type=int, help="tokens of text to write (default: --tokens)")
    parser.add_argument("--minutes", type=float, default=120.0, help="or after so many minutes")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--processes", type=int, default=1, help="CPU processes of one thread each")
    parser.add_argument("--start", type=Path, help="checkpoint whose weights begin a new training")
    parser.add_argument("--batch-tokens", type=int, default=1536, help="tokens a step and process")
    parser.add_argument("--compile", action="store_true", help="use torch.compile (needs a C compiler)")
    options = vars(parser.parse_args())
    steps = options["steps"] or list(STEPS)
    if unknown := [step for step in steps if step not in STEPS]:
        parser.error(f"unknown step {unknown[0]}; steps are {', '.join(STEPS)}")
    target: Path = options["target"]
    if "train" in steps:
        _train(options)
    if "export" in steps:
        export_model(options["folder"], target / "nano")
        export_sets(target)
    if "score" in steps:
        scores, _ = score(target / "nano")
        print(json.dumps(scores, ensure_ascii=False, indent=2))


def _train(options: dict[str, Any]) -> None:
    config = TrainConfig(**{f.name: options[f.name] for f in fields(TrainConfig) if f.name in options})
    config.folder.mkdir(parents=True, exist_ok=True)
    path = config.folder / "tokenizer.json"
    if not path.exists():
        save_tokenizer(train_tokenizer(config.seed), config.folder)
    tokenizer = Tokenizer.from_file(str(path))
    written = build(tokenizer, config.seed, options["text_tokens"] or config.tokens, config.folder / "shards")
    vocabulary = tokenizer.get_vocab_size()
    print(f"vocabulary {vocabulary}, {written / 1e6:.1f}M tokens of text", flush=True)
    if config.processes == 1:
        train(make_model(vocabulary, config.seed), config)
        return
    (config.folder / "rendezvous").unlink(missing_ok=True)
    spawn(launch, (vocabulary, config), nprocs=config.processes)  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
