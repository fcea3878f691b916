"""Human seeds of a knowledge leaf: those not held out become samples, those held out must never appear."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from labtune.artifact import content_hash
from labtune.config.lab import GenerateConfig
from labtune.generation.blocks.phrasing import question_key
from labtune.generation.lexicon import load_lexicon
from labtune.generation.result import identify
from labtune.types import Leaf, Message, Sample, SeedExample


def held_out_guard(leaf: Leaf) -> Callable[[str], bool]:
    """A test: is this question one of the leaf's held-out seed questions?"""
    keys = {question_key(seed.question) for seed in leaf.seeds if seed.held_out}
    return lambda question: question_key(question) in keys


def knowledge_seed_samples(
    leaf: Leaf, config: GenerateConfig, seed: int, teacher: str, pipeline: str
) -> Iterator[Sample]:
    """Seed pairs that are not held out: as they are, then in polite and casual wrappings."""
    guard = held_out_guard(leaf)
    barred = {question_key(example.answer) for example in leaf.seeds if example.held_out}
    for example in leaf.seeds:
        if example.held_out or guard(example.question) or question_key(example.answer) in barred:
            continue
        draw = random.Random(content_hash(seed, leaf.path, example.id))
        number = max(12, config.phrasings // 2)
        questions = dict.fromkeys([example.question.strip()])
        for _ in range(number * 6):
            if len(questions) >= number:
                break
            questions.setdefault(_wrapped(example.question.strip(), leaf.language, draw))
        for index, question in enumerate(questions):
            form = "seed" if index == 0 else "seed_variant"
            yield seed_sample(leaf, example, question, form=form, teacher=teacher, pipeline=pipeline)


def seed_sample(
    leaf: Leaf, example: SeedExample, content: str, *, form: str, teacher: str, pipeline: str
) -> Sample:
    """A human example as a sample, asked with `content`; teacher and pipeline are names for the lineage."""
    return Sample(
        id=identify(leaf.path, example.id, content),
        leaf=leaf.path,
        kind=leaf.kind,
        language=leaf.language,
        messages=(Message("user", content), Message("assistant", example.answer)),
        form=form,
        length="long",
        pipeline=pipeline,
        teacher=teacher,
        fact=content_hash(leaf.path, example.id)[:16],
        seed=example.source,
        contributor=leaf.created_by,
        license=leaf.attribution.license,
    )


def _wrapped(question: str, language: str, draw: random.Random) -> str:
    chinese = language.startswith("zh")
    wrappers = load_lexicon("zh_questions" if chinese else "en_questions")["wrappers_direct"]
    text = str(draw.choice(["{Q}", *wrappers])).format(
        q=question[0].lower() + question[1:] if not chinese else question, Q=question
    )
    roll = draw.random()
    if roll < 0.2:
        text = text.lower()
    return text.rstrip("?？") if roll < 0.35 else text
