"""What plain BM25 scores open book: the best sentence of the document, judged by the exam's own rule *right*.

    python benchmarks/bm25_open_book.py LAB/runs/latest [--split test] [--out FILE]

The yardstick for a tuned model that answers closed book. For every exam question of a knowledge leaf the
leaf's sentences (table statements included) are ranked by BM25 (bm25s, its defaults: lower case, English stop
words, no stemming; character pairs in Chinese and Japanese). `top1` judges the best sentence as the answer,
`top3` the best three together, `oracle` asks whether any single sentence would be right: the ceiling of
quoting one. Prints JSON on stdout and one line for people on stderr.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bm25s

from labtune.artifact import Curated, write_json
from labtune.evaluation.intervals import wilson
from labtune.evaluation.scorers import right
from labtune.types import ExamQuestion

RANKED = 3
_CJK = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+")


def sentences_by_leaf(curated: Curated) -> dict[str, list[str]]:
    """Every sentence of each leaf's documents, each once, in document order."""
    texts = {document.id: document.text for document in curated.documents()}
    found: dict[str, dict[str, None]] = {}
    for chunk in curated.chunks():
        text = texts[chunk.document_id]
        places = [*chunk.sentences, *((s.start, s.end) for s in chunk.statements)]
        for start, end in sorted(set(places)):
            if sentence := text[start:end].strip():
                found.setdefault(chunk.leaf, {})[sentence] = None
    return {leaf: list(sentences) for leaf, sentences in found.items()}


def rank(sentences: Sequence[str], questions: Sequence[str]) -> list[list[str]]:
    """The best sentences for each question, best first."""
    index = bm25s.BM25()
    index.index(_tokens(sentences), show_progress=False)
    n_ranked = min(RANKED, len(sentences))
    results = index.retrieve(_tokens(questions), k=n_ranked, show_progress=False)
    return [[sentences[int(i)] for i in row] for row in results.documents]


def _tokens(texts: Sequence[str]) -> Any:
    return bm25s.tokenize([_CJK.sub(_pairs, text) for text in texts], stopwords="en", show_progress=False)


def _pairs(run: re.Match[str]) -> str:
    text = run.group()
    return " " + " ".join(text[i : i + 2] for i in range(len(text) - 1)) + " "


def score_leaf(sentences: Sequence[str], questions: Sequence[ExamQuestion]) -> dict[str, list[bool]]:
    """Question by question: right by the best sentence, by the best three, by any."""
    ranked = rank(sentences, [q.question for q in questions])
    return {
        "top1": [bool(right(best[0], q).value) for q, best in zip(questions, ranked, strict=True)],
        "top3": [bool(right("\n".join(best), q).value) for q, best in zip(questions, ranked, strict=True)],
        "oracle": [any(right(s, q).value for s in sentences) for q in questions],
    }


def summarise(marks: Sequence[bool]) -> dict[str, Any]:
    return {
        "n": len(marks),
        "n_right": sum(marks),
        "right": sum(marks) / len(marks) if marks else None,
        "right_interval": wilson(sum(marks), len(marks)),
    }


def score(curated: Curated, split: str) -> dict[str, Any]:
    """All knowledge leaves with questions, and their total."""
    leaves: dict[str, dict[str, list[bool]]] = {}
    counts: dict[str, int] = {}
    for leaf, sentences in sorted(sentences_by_leaf(curated).items()):
        questions = [q for q in curated.exam() if q.leaf == leaf and split in ("all", q.split)]
        if questions:
            leaves[leaf] = score_leaf(sentences, questions)
            counts[leaf] = len(sentences)
    ways = ("top1", "top3", "oracle")
    return {
        "split": split,
        "leaves": {
            leaf: {"sentences": counts[leaf], **{way: summarise(marks[way]) for way in ways}}
            for leaf, marks in leaves.items()
        },
        "total": {way: summarise([m for marks in leaves.values() for m in marks[way]]) for way in ways},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of a run, or its curate folder")
    parser.add_argument("--split", choices=("test", "dev", "all"), default="test")
    parser.add_argument("--out", type=Path, help="also write the JSON here")
    arguments = parser.parse_args()
    folder = arguments.run / "curate" if (arguments.run / "curate").is_dir() else arguments.run
    if not (folder / "chunks.jsonl").exists():
        parser.error(f"{folder} holds no curated taxonomy (chunks.jsonl); run 'labtune run' first")
    report = score(Curated(folder), arguments.split)
    print(json.dumps(report, ensure_ascii=False, indent=1))
    if arguments.out:
        write_json(arguments.out, report)
    total = report["total"]
    parts = ", ".join(f"{way} {total[way]['n_right']}/{total[way]['n']}" for way in total)
    print(f"BM25 open book, split {arguments.split}: {parts} right", file=sys.stderr)


if __name__ == "__main__":
    main()
