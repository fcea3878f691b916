"""The identity of seed examples and exam questions: a hash of what they say."""

from __future__ import annotations

import unicodedata

from labtune.artifact import content_hash

ID_DIGITS = 12


def seed_id(leaf: str, question: str, context: str | None, repetition: int = 0) -> str:
    """12 hex digits over leaf path, question and context; `repetition` tells equal seeds of a leaf apart."""
    parts: list[object] = [leaf, question, context]
    if repetition:
        parts.append(repetition)
    return content_hash(*parts)[:ID_DIGITS]


def same_question_key(question: str) -> str:
    """Equal for questions that differ only in case, spaces, final punctuation or character width."""
    folded = unicodedata.normalize("NFKC", question).casefold()
    return " ".join(folded.split()).rstrip(" ?!.:。…")
