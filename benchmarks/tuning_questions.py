"""How many of the tuning questions a tuned model answers right: what settings are chosen by.

    python benchmarks/tuning_questions.py LAB QUESTIONS [--model FOLDER] [--missed]

The questions (benchmarks/questions/*.yaml) were written from the examples' documents alone, by somebody who
knew neither the generator's rules nor the examples' exams. The development split of an exam has too few to
tell settings apart, and its test split must stay unseen.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import yaml

from labtune.artifact import Curated
from labtune.evaluation.answers import chat_of
from labtune.evaluation.intervals import wilson
from labtune.evaluation.scorers import right
from labtune.models.hf import HfChatModel
from labtune.protocols import Sampling
from labtune.types import ExamQuestion, Leaf


def read(path: Path, leaf: Leaf) -> list[ExamQuestion]:
    """The questions of a file, all put to one leaf."""
    rows = yaml.safe_load(path.read_text("utf-8"))
    return [
        ExamQuestion(
            id=f"tuning-{number}",
            leaf=leaf.path,
            question=row["question"],
            answer=row["answer"],
            split="dev",
            source=leaf.source,
            origin="exam",
            must=tuple(str(word) for word in row.get("must", ())),
        )
        for number, row in enumerate(rows)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("lab", type=Path)
    parser.add_argument("questions", type=Path)
    parser.add_argument("--model", type=Path, help="another model than that of the lab's latest run")
    parser.add_argument("--missed", action="store_true", help="print what was missed")
    options = parser.parse_args()
    run = options.lab / "runs" / "latest"
    leaf = next(leaf for leaf in Curated(run / "curate").leaves() if leaf.kind == "knowledge")
    questions = read(options.questions, leaf)
    model = HfChatModel.load(options.model or run / "train" / "model", name="asked")
    replies = model.complete([chat_of(question) for question in questions], Sampling(max_tokens=96))
    verdicts = [bool(right(r.text, q).value) for q, r in zip(questions, replies, strict=True)]
    for question, reply, good in zip(questions, replies, verdicts, strict=True):
        if options.missed and not good:
            print(f"- {question.question} | {question.answer} | {list(question.must)} => {reply.text}")
    interval = wilson(sum(verdicts), len(verdicts)) or (0.0, 1.0)
    share = sum(verdicts) / len(verdicts)
    print(json.dumps({"right": sum(verdicts), "of": len(verdicts), "share": round(share, 3),
                      "interval": [round(end, 3) for end in interval]}))  # fmt: skip


if __name__ == "__main__":
    main()
