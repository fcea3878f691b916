"""`python -m recipes.nano train|export|exam`: see README.md."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path

from tokenizers import Tokenizer
from torch.multiprocessing.spawn import start_processes

from .shards import build
from .tokenizer import save_tokenizer, train_tokenizer
from .train import TrainConfig, launch, make_model, train


def main() -> None:
    """Write the text, train the tokenizer and the model."""
    parser = argparse.ArgumentParser(prog="python -m recipes.nano", description=__doc__)
    parser.add_argument(
        "--folder", type=Path, default=Path("runs/nano"), help="tokenizer, shards and checkpoint"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tokens", type=int, default=30_000_000, help="training ends after so many tokens")
    parser.add_argument(
        "--text-tokens", type=int, help="tokens of text to write (default: as many as --tokens)"
    )
    parser.add_argument("--minutes", type=float, default=120.0, help="or after so many minutes")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--learning-rate", type=float, default=1.5e-3)
    parser.add_argument("--processes", type=int, default=1, help="CPU processes of one thread each")
    parser.add_argument("--compile", action="store_true", help="use torch.compile (needs a C compiler)")
    options = vars(parser.parse_args())
    config = TrainConfig(**{f.name: options[f.name] for f in fields(TrainConfig) if f.name in options})
    config.folder.mkdir(parents=True, exist_ok=True)
    path = config.folder / "tokenizer.json"
    if not path.exists():
        save_tokenizer(train_tokenizer(config.seed), config.folder)
    tokenizer = Tokenizer.from_file(str(path))
    written = build(tokenizer, config.seed, options["text_tokens"] or config.tokens, config.folder / "shards")
    print(f"vocabulary {tokenizer.get_vocab_size()}, {written / 1e6:.1f}M tokens of text", flush=True)
    vocabulary = tokenizer.get_vocab_size()
    if config.processes == 1:
        train(make_model(vocabulary, config.seed), config)
        return
    (config.folder / "rendezvous").unlink(missing_ok=True)
    start_processes(launch, (vocabulary, config), nprocs=config.processes, start_method="spawn")


if __name__ == "__main__":
    main()
