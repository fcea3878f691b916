"""How far each number format of an export is from its checkpoint: the table in docs/export.md.

    python -m benchmarks.export_parity [--families] [--types f16,q8_0,...]

The built-in student, and with --families a tiny random student of each family that becomes GGUF, answer 16
questions of the general exam; distances are in nats.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from labtune.builtin import GENERAL_EXAM, NANO
from labtune.evaluation.answers import chat_of
from labtune.evaluation.general import load_general_exam
from labtune.export.export import load_reference
from labtune.export.gguf_file import convert, write_gguf
from labtune.export.number_formats import FORMATS, number_format
from labtune.export.parity import compare
from labtune.models.hf import load_tokenizer
from labtune.models.llamacpp import LlamaCppModel
from labtune.workflow.export import spread

PROMPTS, TOKENS = 16, 48
RANDOM = ("llama3", "granite3", "qwen3", "mistral", "phi4mini")


def measure(folder: Path, name: str, kinds: list[str], out: Path) -> None:
    """Print one line for each number format."""
    chats = [chat_of(question) for question in spread(load_general_exam(GENERAL_EXAM).items, PROMPTS)]
    tokenizer, reference = load_tokenizer(folder), load_reference(folder, name)
    for kind in kinds:
        path = out / f"{name}-{kind}.gguf"
        write_gguf(convert(folder, tokenizer, name=name, kind=number_format(kind)), path)
        with LlamaCppModel.load(path, context=512) as engine:
            found = compare(reference, engine, chats, kind=kind, max_tokens=TOKENS)
        margin = max(prompt.margin for prompt in found.prompts)
        size = path.stat().st_size / 2**20
        print(
            f"{name:10} {kind:7} {size:6.1f} MiB  distance {found.distance:.4f}  "
            f"same {found.same_texts}/{PROMPTS}  largest margin {margin:.3f}  "
            f"{'passes' if not found.failures else found.failures}",
            flush=True,
        )


def main() -> None:
    """Measure the built-in student, and the families when asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--families", action="store_true")
    parser.add_argument("--types", default=",".join(FORMATS))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(NANO, "nano", options.types.split(","), Path(folder))
        if options.families:
            from tests.families import make_family

            for name in RANDOM:
                source = make_family(name, Path(folder) / name)
                measure(source, name, options.types.split(","), Path(folder))


if __name__ == "__main__":
    main()
