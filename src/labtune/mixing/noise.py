"""Noise in the questions of knowledge rows: words left out, moved, and put in from unrelated questions.

A generator asks for a fact in a limited number of frames, and a small student learns the frames: it answers
held-out questions of the generator and misses the same fact when a stranger asks for it. A question whose
words are partly gone, moved or foreign can only be answered by those that name the fact. Answers, skills,
general rows and questions behind passages stay as they are.

Source: random deletion, swap and insertion of EDA (arXiv 1901.11196); word dropout of deep averaging networks
(Iyyer et al. 2015). Measured on the examples: docs/log.md.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from labtune.documents.words import join_words, split_words
from labtune.mixing.general import GeneralRow
from labtune.mixing.replay import TokenCounts, shuffle_key
from labtune.mixing.rows import Candidate, Placed
from labtune.types import Message

_MOVED = 0.5
"""Chance that the words of a question change places."""

_LEFT_OUT = 0.2
"""Chance of each word."""

_PIECES, _PUT_IN, _LONGEST_PIECE = 3, 0.9, 3
"""Most pieces for a question, the chance of each, and most words of one."""

_LONGEST_QUESTION = 120
"""Characters of a general question that pieces are taken from: longer ones are mostly passages."""


@dataclass(frozen=True, slots=True)
class QuestionNoise:
    """Draws that depend on the seed, the phase and the row's own id only.

    Attributes:
        share: of the knowledge rows that get noise.
        seed: of the draws.
        foreign: language -> questions, as words, that pieces are taken from; other languages get none.
    """

    share: float
    seed: int
    foreign: Mapping[str, Sequence[Sequence[str]]]

    def over(self, rows: Iterable[Placed], phase: str, counts: TokenCounts) -> list[Placed]:
        """The rows, those that were drawn with a noisy question and its token count."""
        placed = list(rows)
        noisy: dict[int, Candidate] = {}
        for n, row in enumerate(placed if self.share else ()):
            draw = random.Random(shuffle_key(self.seed, "noise", phase, row.id))
            if _is_plain_question(row.candidate) and draw.random() < self.share:
                noisy[n] = self._noisy(row.candidate, draw)
        n_tokens = counts.fresh(list(noisy.values()))
        for (n, candidate), size in zip(noisy.items(), n_tokens, strict=True):
            placed[n] = replace(placed[n], candidate=candidate, n_tokens=size)
        return placed

    def _noisy(self, row: Candidate, draw: random.Random) -> Candidate:
        *before, question, answer = row.messages
        # What stands between blanks moves as a whole: Chinese keeps its order, its characters are no words.
        parts = question.content.split()
        if draw.random() < _MOVED:
            draw.shuffle(parts)
        words = [word for part in parts for word in split_words(part)]
        kept = [word for word in words if draw.random() >= _LEFT_OUT] or words
        foreign = self.foreign.get(str(row.metadata["language"]), ())
        for _ in range(draw.randint(1, _PIECES) if foreign else 0):
            if draw.random() < _PUT_IN:
                at = draw.randint(0, len(kept))
                kept[at:at] = _piece(draw.choice(foreign), draw)
        noisy = Message("user", join_words(kept))
        return replace(row, messages=(*before, noisy, answer), metadata={**row.metadata, "noise": True})


def foreign_questions(rows: Iterable[GeneralRow]) -> dict[str, list[list[str]]]:
    """The short questions of a general set by language, as words."""
    questions: dict[str, list[list[str]]] = {}
    for row in rows:
        asked = next((turn.content for turn in reversed(row.messages) if turn.role == "user"), "")
        # "7 plus 7 is" put before "how much" would teach that sums are prices.
        if asked and len(asked) < _LONGEST_QUESTION and not any(map(str.isdigit, asked)):
            questions.setdefault(row.language, []).append(split_words(asked))
    return questions


def is_noisy(row: Placed) -> bool:
    """Whether the question of a row was changed."""
    return bool(row.candidate.metadata.get("noise"))


def _is_plain_question(row: Candidate) -> bool:
    roles = [turn.role for turn in row.messages[-2:]]
    return row.knowledge and row.part == "samples" and roles == ["user", "assistant"]


def _piece(words: Sequence[str], draw: random.Random) -> Sequence[str]:
    length = draw.randint(1, _LONGEST_PIECE)
    start = draw.randrange(max(1, len(words) - length + 1))
    return words[start : start + length]
