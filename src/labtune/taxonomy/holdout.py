"""Which seeds are held out for the exam, and which exam questions choose checkpoints. Hashes decide."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

from labtune.artifact import content_hash
from labtune.taxonomy.exam import ExamItem
from labtune.taxonomy.seeds import same_question_key, seed_id
from labtune.types import ExamQuestion, Leaf, SeedExample, Split


def hold_out(leaf: Leaf, share: float, items: Iterable[ExamItem] = ()) -> tuple[SeedExample, ...]:
    """Mark the share of a leaf's seeds that only the exam may use.

    The number is `share` of the seeds, rounded half up, at least one of two or more. Which ones follows from
    the hash of their ids alone. Seeds with the same question stay together, and a seed that `exam.yaml` asks
    as well is always held out: otherwise the answer would leak.
    """
    wanted = math.floor(share * len(leaf.seeds) + 0.5)
    if share > 0 and len(leaf.seeds) >= 2:
        wanted = max(wanted, 1)
    groups: dict[str, list[SeedExample]] = {}
    for seed in leaf.seeds:
        groups.setdefault(_group_key(leaf, seed.question, seed.context), []).append(seed)
    asked = {_group_key(leaf, item.question, item.context) for item in items}
    held: set[str] = {seed.id for key, group in groups.items() if key in asked for seed in group}
    free = [group for key, group in groups.items() if key not in asked]
    free.sort(key=lambda group: content_hash("held out", min(seed.id for seed in group)))
    for group in free:
        if len(held) + len(group) <= wanted:
            held.update(seed.id for seed in group)
    if not held and wanted:
        held.update(seed.id for seed in free[0])
    return tuple(replace(seed, held_out=seed.id in held) for seed in leaf.seeds)


def make_exam(leaf: Leaf, items: Iterable[ExamItem], dev_share: float) -> list[ExamQuestion]:
    """The exam of one leaf: questions of `exam.yaml`, then held-out seeds that it does not ask already.

    The development split gets exactly `dev_share` of them (rounded half up; of two or more questions at least
    one each way when the share is above zero), those whose ids hash lowest.
    """
    questions: list[ExamQuestion] = []
    asked: set[str] = set()
    for item in items:
        asked.add(_group_key(leaf, item.question, item.context))
        identity = seed_id(leaf.path, item.question, item.context)
        questions.append(
            ExamQuestion(
                id=f"e{identity}",
                leaf=leaf.path,
                question=item.question,
                answer=item.answer,
                split="test",
                source=item.source,
                origin="exam",
                must=item.must,
                context=item.context,
            )
        )
    for seed in leaf.seeds:
        key = _group_key(leaf, seed.question, seed.context)
        if not seed.held_out or key in asked:
            continue
        asked.add(key)
        questions.append(
            ExamQuestion(
                id=f"s{seed.id}",
                leaf=leaf.path,
                question=seed.question,
                answer=seed.answer,
                split="test",
                source=seed.source,
                origin="seed",
                context=seed.context if leaf.kind != "knowledge" else None,
            )
        )
    dev = _dev_ids(questions, dev_share)
    split: dict[bool, Split] = {True: "dev", False: "test"}
    return [replace(question, split=split[question.id in dev]) for question in questions]


def _dev_ids(questions: list[ExamQuestion], share: float) -> set[str]:
    wanted = math.floor(share * len(questions) + 0.5)
    if share > 0 and len(questions) >= 2:
        wanted = min(max(wanted, 1), len(questions) - 1)
    ranked = sorted(questions, key=lambda question: content_hash("dev split", question.id))
    return {question.id for question in ranked[:wanted]}


def _group_key(leaf: Leaf, question: str, context: str | None) -> str:
    # A knowledge question stands for itself; a skill's question is often one and the same instruction.
    shown = "" if leaf.kind == "knowledge" else same_question_key(context or "")
    return f"{same_question_key(question)}\n{shown}"
