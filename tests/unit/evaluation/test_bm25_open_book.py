"""The open-book yardstick: ranks sentences, judges them by the exam's rule, reads a curated folder."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from exams import question

from labtune.artifact import write_jsonl
from labtune.types import Chunk, Document

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "bm25_open_book.py"
SENTENCES = (
    "The lighthouse was built by Maria in 1902.",
    "Owls eat mice at night.",
    "The harbour freezes in January.",
    "内科在三楼。",
    "门诊早上八点开始。",
)


def _curated(folder: Path) -> None:
    text, places = "", []
    for sentence in SENTENCES:
        places.append((len(text), len(text) + len(sentence)))
        text += f"{sentence}\n\n"
    leaf = "knowledge/a"
    chunk = Chunk("c", "d", "a.md", leaf, text, 0, len(text), 60, tuple(places))
    exam = [
        question("q1", "Maria built it.", text="By whom was the lighthouse built?"),
        question("q2", "Mice.", text="What do owls eat?"),
        # Shares its words with another sentence than the one that answers it.
        question("q3", "In January.", text="When was ice seen where the lighthouse was built?"),
        question("q4", "三楼", text="请问内科在几楼？"),
        replace(question("q5", "Seals", text="What swims in the harbour?"), split="dev"),
    ]
    write_jsonl(folder / "documents.jsonl", [Document("d", "a.md", "text/markdown", "A", text, "en")])
    write_jsonl(folder / "chunks.jsonl", [chunk])
    write_jsonl(folder / "exam.jsonl", exam)


def test_best_sentence_three_best_and_ceiling(tmp_path: Path) -> None:
    pytest.importorskip("bm25s")
    _curated(tmp_path / "curate")
    done = subprocess.run([sys.executable, str(SCRIPT), str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    total = report["total"]
    assert {way: (part["n_right"], part["n"]) for way, part in total.items()} == {
        "top1": (3, 4),
        "top3": (3, 4),
        "oracle": (4, 4),
    }
    assert report["leaves"]["knowledge/a"]["sentences"] == 5
    assert done.stderr.strip().startswith("BM25 open book, split test: top1 3/4")


def test_a_folder_without_a_curated_taxonomy_is_named(tmp_path: Path) -> None:
    pytest.importorskip("bm25s")
    done = subprocess.run([sys.executable, str(SCRIPT), str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 2
    assert "holds no curated taxonomy" in done.stderr
