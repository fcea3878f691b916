"""Noise in the questions: words left out, moved, and put in from unrelated questions.

A generator asks for a fact in a limited number of frames, and a small student learns the frames: it answers
held-out questions of the generator and misses the same fact when a stranger asks for it. A question whose
words are partly gone, moved or foreign can only be answered by those that name the fact. So it is with a
skill that chooses among a few answers. General questions with such answers have their words moved, else the
student answers every clumsy question with its new knowledge. All other rows and all answers stay.

Source: random deletion, swap and insertion of EDA (arXiv 1901.11196); word dropout of deep averaging networks
(Iyyer et al. 2015). Measured on the examples: docs/log.md.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Mapping, Sequence
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

_GENERAL = 0.5
"""Part of the share for general rows: noise must not tell the lab's questions from all others."""

_LONGEST_QUESTION = 120
"""Characters of a question that pieces are taken from: longer ones are mostly passages."""

_Questions = Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class QuestionNoise:
    """Draws that depend on the seed, the phase and the row's own id only.

    Attributes:
        share: of the knowledge rows that get noise, and of the skills' rows in `fixed`; half of it is that of
            the general rows in `fixed`, which lose no words.
        seed: of the draws.
        foreign: language -> questions, as words, that pieces are taken from; other languages get none.
        fixed: leaf and answer of the skills' and the general rows that get noise, too: `fixed_answers`.
    """

    share: float
    seed: int
    foreign: Mapping[str, _Questions]
    fixed: Collection[tuple[str, str]] = ()

    def over(self, rows: Iterable[Placed], phase: str, counts: TokenCounts) -> list[Placed]:
        """The rows, those that were drawn with a noisy question and its token count."""
        placed = list(rows)
        noisy: dict[int, Candidate] = {}
        for n, row in enumerate(placed if self.share else ()):
            draw = random.Random(shuffle_key(self.seed, "noise", phase, row.id))
            if draw.random() < self._share_of(row.candidate):
                noisy[n] = self._noisy(row.candidate, draw)
        n_tokens = counts.fresh(list(noisy.values()))
        for (n, candidate), size in zip(noisy.items(), n_tokens, strict=True):
            placed[n] = replace(placed[n], candidate=candidate, n_tokens=size)
        return placed

    def _share_of(self, row: Candidate) -> float:
        if [turn.role for turn in row.messages[-2:]] != ["user", "assistant"]:
            return 0.0
        if row.part == "samples" and row.knowledge:
            return self.share
        if row.part not in ("samples", "general") or not _is_plain(row) or _key(row) not in self.fixed:
            return 0.0
        return self.share * (_GENERAL if row.part == "general" else 1.0)

    def _noisy(self, row: Candidate, draw: random.Random) -> Candidate:
        *before, question, answer = row.messages
        foreign = self.foreign.get(str(row.metadata["language"]), ())
        # What stands between blanks moves as a whole: Chinese keeps its order, its characters are no words.
        parts = question.content.split()
        words = _otherwise(parts, foreign, draw) if row.part == "general" else _hardly(parts, foreign, draw)
        noisy = Message("user", join_words(words))
        return replace(row, messages=(*before, noisy, answer), metadata={**row.metadata, "noise": True})


def fixed_answers(rows: Iterable[Candidate]) -> frozenset[tuple[str, str]]:
    """Leaf and answer wherever several seeds of a skill, or several general chats, have one answer.

    A request then only chooses among answers, as a question about knowledge does. Requests with a text of
    their own (a line break parts the two) are left out: an answer may depend on each word of that text.
    """
    asked: dict[tuple[str, str], set[str]] = {}
    for row in rows:
        if _is_plain(row) and not row.knowledge:
            asked.setdefault(_key(row), set()).add(str(row.metadata["seed"] or row.id))
    return frozenset(key for key, by in asked.items() if len(by) > 1)


def _is_plain(row: Candidate) -> bool:
    question = row.questions[0].strip() if len(row.questions) == 1 else ""
    return 0 < len(question) < _LONGEST_QUESTION and "\n" not in question


def _key(row: Candidate) -> tuple[str, str]:
    return row.leaf, row.answer


def _hardly(parts: list[str], foreign: _Questions, draw: random.Random) -> list[str]:
    """Words left out, moved and put in: what is left names the fact or nothing does."""
    if draw.random() < _MOVED:
        draw.shuffle(parts)
    words = _words(parts)
    kept = [word for word in words if draw.random() >= _LEFT_OUT] or words
    for _ in range(draw.randint(1, _PIECES) if foreign else 0):
        if draw.random() < _PUT_IN:
            at = draw.randint(0, len(kept))
            kept[at:at] = _piece(draw.choice(foreign), draw)
    return kept


def _otherwise(parts: list[str], foreign: _Questions, draw: random.Random) -> list[str]:
    """All words in another order; where numbers have one, it stays, and pieces stand before or behind."""
    if not _has_number(parts):
        draw.shuffle(parts)
        return _words(parts)
    words = _words(parts)
    for _ in range(draw.randint(1, 2) if foreign else 0):
        at = draw.choice((0, len(words)))
        words[at:at] = _piece(draw.choice(foreign), draw)
    return words


def _words(parts: Iterable[str]) -> list[str]:
    return [word for part in parts for word in split_words(part)]


def _has_number(texts: Iterable[str]) -> bool:
    return any(character.isdigit() for text in texts for character in text)


def foreign_questions(rows: Iterable[GeneralRow]) -> dict[str, list[list[str]]]:
    """The short questions of a general set by language, as words."""
    questions: dict[str, list[list[str]]] = {}
    for row in rows:
        asked = next((turn.content for turn in reversed(row.messages) if turn.role == "user"), "")
        # "7 plus 7 is" put before "how much" would teach that sums are prices.
        if asked and len(asked) < _LONGEST_QUESTION and not _has_number(asked):
            questions.setdefault(row.language, []).append(split_words(asked))
    return questions


def is_noisy(row: Placed) -> bool:
    """Whether the question of a row was changed."""
    return bool(row.candidate.metadata.get("noise"))


def _piece(words: Sequence[str], draw: random.Random) -> Sequence[str]:
    length = draw.randint(1, _LONGEST_PIECE)
    start = draw.randrange(max(1, len(words) - length + 1))
    return words[start : start + length]
