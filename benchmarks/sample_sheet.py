"""Draws 40 random samples that the built-in teacher makes from real documents, for people to judge.

    python benchmarks/sample_sheet.py DOCUMENT... > sheet.md

The draw is seeded by the samples' ids: the same rules and documents give the same sheet. The judged sheet is
docs/samples.md.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

from labtune.config.lab import GenerateConfig
from labtune.documents.chunk import chunk_document
from labtune.documents.load import load_document
from labtune.generation.pipeline import load_pipeline
from labtune.generation.rows import BlockContext, Row
from labtune.types import Leaf, Source


def kept_rows(path: Path) -> list[Row]:
    """All rows that the built-in pipeline keeps of one document."""
    document = load_document(path, uri=path.name)
    leaf = Leaf(f"knowledge/{path.stem}", "knowledge", document.language, (), Source(path.name, 1))
    chunks = tuple(chunk_document(document, leaf=leaf.path, max_tokens=240))
    context = BlockContext(leaf, {document.id: document}, chunks, GenerateConfig(), 1)
    return list(load_pipeline("builtin").stream(context))


def draw_key(row: Row, salt: str) -> str:
    """The place of a row in the draw."""
    return hashlib.sha256(
        f"{salt}\0{row.passage.document.uri}\0{row.fact_id}\0{row.question}".encode()
    ).hexdigest()


def main() -> None:
    """Print the sheet as a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("documents", nargs="+", type=Path)
    parser.add_argument("--number", type=int, default=40)
    parser.add_argument("--salt", default="sheet-1", help="another salt draws other samples")
    arguments = parser.parse_args()
    # Each document has the same share, so that long ones do not drown the others.
    share = -(-arguments.number // len(arguments.documents))
    drawn: list[Row] = []
    for path in arguments.documents:
        rows = sorted(kept_rows(path), key=lambda row: draw_key(row, arguments.salt))
        drawn.extend(rows[:share])
    drawn = sorted(drawn, key=lambda row: draw_key(row, arguments.salt))[: arguments.number]
    drawn.sort(key=lambda row: (row.passage.document.uri, row.form, row.question))
    print("| # | document | form | question | answer |")
    print("|---|---|---|---|---|")
    for number, row in enumerate(drawn, 1):
        answer = row.answer.text if row.answer else ""
        cells = (row.passage.document.uri, f"{row.form}, {row.length}", row.question, answer)
        print(f"| {number} | " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")


if __name__ == "__main__":
    main()
