"""How many of the tuning questions a tuned model answers right: what settings are chosen by.

    python benchmarks/tuning_questions.py LAB QUESTIONS [--model FOLDER] [--missed]

The questions (benchmarks/questions/*.yaml) were written from the examples' documents alone, by somebody who
knew neither the generator's rules nor the examples' exams. The development split of an exam has too few to
tell settings apart, and its test split must stay unseen.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path

import yaml

from labtune.artifact import Curated
from labtune.evaluation.answers import chat_of
from labtune.evaluation.intervals import wilson
from labtune.evaluation.scorers import right
from labtune.models.hf import HfChatModel
from labtune.protocols import Sampling
from labtune.types import ExamQuestion, Leaf


def read(path: Path, leaves: Iterable[Leaf]) -> list[ExamQuestion]:
    """The questions of a file, put to the leaf that each names, or to the one of knowledge."""
    by_path = {leaf.path: leaf for leaf in leaves}
    knowledge = next(leaf for leaf in by_path.values() if leaf.kind == "knowledge")
    rows = yaml.safe_load(path.read_text("utf-8"))
    return [
        ExamQuestion(
            id=f"tuning-{number}",
            leaf=(leaf := by_path[row["leaf"]] if "leaf" in row else knowledge).path,
            question=row["question"],
            answer=row["answer"],
            split="dev",
            source=leaf.source,
            origin="exam",
            must=tuple(str(word) for word in row.get("must", ())),
            context=row.get("context"),
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
    questions = read(options.questions, Curated(run / "curate").leaves())
    model = HfChatModel.load(options.model or run / "train" / "model", name="asked")
    replies = model.complete([chat_of(question) for question in questions], Sampling(max_tokens=96))
    verdicts = [bool(right(r.text, q).value) for q, r in zip(questions, replies, strict=True)]
    for question, reply, good in zip(questions, replies, verdicts, strict=True):
        if options.missed and not good:
            print(f"- {question.question} | {question.answer} | {list(question.must)} => {reply.text}")
    for leaf in dict.fromkeys(question.leaf for question in questions):
        mine = [good for question, good in zip(questions, verdicts, strict=True) if question.leaf == leaf]
        share = sum(mine) / len(mine)
        interval = [round(end, 3) for end in wilson(sum(mine), len(mine)) or (0.0, 1.0)]
        print(json.dumps({"leaf": leaf, "right": sum(mine), "of": len(mine), "share": round(share, 3),
                          "interval": interval}))  # fmt: skip


if __name__ == "__main__":
    main()
