"""Skills without a teacher model: the seeds themselves and rewordings of their requests."""

from __future__ import annotations

import random
from collections.abc import Iterator

from labtune.artifact import content_hash
from labtune.generation.lexicon import load_lexicon
from labtune.generation.seeds import seed_sample
from labtune.types import Leaf, Sample, SeedExample

_TRIES = 20


def skill_samples(leaf: Leaf, *, variants: int, seed: int, teacher: str, pipeline: str) -> Iterator[Sample]:
    """Each seed that is not held out as it is, then instruction variants of it.

    Args:
        leaf: a skill leaf.
        variants: instruction variants for each seed.
        seed: seed of the run.
        teacher: name for the lineage.
        pipeline: name for the lineage.
    """
    for example in leaf.seeds:
        if example.held_out:
            continue
        draw = random.Random(content_hash(seed, leaf.path, example.id))
        seen = {_content(example, example.question, True)}
        content = _content(example, example.question, True)
        yield seed_sample(leaf, example, content, form="seed", teacher=teacher, pipeline=pipeline)
        for _ in range(variants * _TRIES):
            if len(seen) > variants:
                break
            content = _content(example, _reword(example.question, leaf.language, draw), draw.random() < 0.75)
            if content in seen:
                continue
            seen.add(content)
            form = "instruction_variant"
            yield seed_sample(leaf, example, content, form=form, teacher=teacher, pipeline=pipeline)


def _content(example: SeedExample, question: str, context_first: bool) -> str:
    if not example.context:
        return question
    context = example.context.strip()
    return f"{context}\n\n{question}" if context_first else f"{question}\n\n{context}"


def _reword(question: str, language: str, draw: random.Random) -> str:
    frames = load_lexicon("skill_wrappers")["zh" if language.startswith("zh") else "en"]
    text = question.strip()
    for entry in frames["openings"]:
        forms = [form.strip() for form in entry.split("|")]
        found = next((form for form in sorted(forms, key=len, reverse=True) if text.startswith(form)), None)
        if found and draw.random() < 0.7:
            text = draw.choice(forms) + text[len(found) :]
            break
    for entry in frames["words"]:
        forms = [form.strip() for form in entry.split("|")]
        found = next((form for form in forms if form in text), None)
        if found and draw.random() < 0.4:
            text = text.replace(found, draw.choice(forms), 1)
    wrapper = str(draw.choice(frames["wrappers"]))
    if wrapper == "{Q}":
        return text
    lowered = text[0].lower() + text[1:] if text[1:2].islower() else text
    return wrapper.format(q=lowered, Q=text)
