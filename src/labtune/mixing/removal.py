"""What must not be trained on: exam questions (leaks) and rows that say the same twice (near duplicates).

Leak rules, for every row of whatever origin:
- `exam_question`: a question of the row equals an exam question, or has the same numbers in the same order
  and a Jaccard similarity of at least `leak_overlap` over words (character pairs in Chinese and Japanese;
  articles, politeness and particles not counted). Looked at are the whole turn, its last paragraph (a passage
  may stand before the question), each sentence, and what follows a comma or colon (a greeting may). An exam
  question with a context leaks only with that context, since skills ask one question about many contexts.
- `held_out_seed`: the row comes from a seed that the exam holds out.
- `exam_answer`: a knowledge row gives, word for word, the exam's answer of at least five words, and neither
  quotes a document nor has it from a seed that may be trained on (a short answer proves nothing).

Generated phrasings of one fact are alike by design, so duplicates are only rows with the same answer whose
questions are all but the same (`near_duplicate`, over character shingles).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from labtune.documents.similarity import (
    SimilarSets,
    Sketcher,
    frequencies,
    jaccard,
    numbers,
    plain,
    sketch_similarity,
    tokens,
)
from labtune.mixing.rows import Candidate
from labtune.types import ExamQuestion, Json, SeedExample

_ANSWER_TOKENS = 5
_PART_TOKENS = 3
_SENTENCE_END = re.compile(r"[.?!。？！]+(?:\s+|$)|[。？！]+|\n+")
_CLAUSE_END = re.compile(r"[,，:：;；]\s*")


@dataclass(frozen=True, slots=True)
class Removed:
    """A row that enters no phase: why, and which exam question or row it repeats."""

    candidate: Candidate
    pool: str
    reason: str
    partner: str
    similarity: float
    partner_text: str

    def as_json(self) -> dict[str, Json]:
        """One line of `removed.jsonl`."""
        row = self.candidate
        return {
            "id": row.id,
            "leaf": row.leaf,
            "pool": self.pool,
            "reason": self.reason,
            "partner": self.partner,
            "similarity": round(self.similarity, 4),
            "question": row.questions[-1] if row.questions else "",
            "answer": row.answer,
            "partner_text": self.partner_text,
        }


@dataclass(frozen=True, slots=True)
class _Asked:
    """An exam question as leaks are compared with it."""

    id: str
    text: str
    question: str
    has_context: bool


class LeakFilter:
    """Knows both splits of the exam and the general exam; tells which of its questions a row gives away."""

    def __init__(
        self,
        exam: Sequence[ExamQuestion],
        general_exam: Sequence[str],
        overlap: float,
        seeds: Sequence[SeedExample] = (),
    ) -> None:
        asked = [
            _Asked(
                q.id, f"{q.context}\n\n{q.question}" if q.context else q.question, q.question, bool(q.context)
            )
            for q in exam
        ]
        asked += [
            _Asked(f"general-exam-{i:04d}", text, text, False) for i, text in enumerate(general_exam, 1)
        ]
        bags = {i: tokens(item.text) for i, item in enumerate(asked)}
        self._asked = asked
        self._overlap = overlap
        self._numbers = [numbers(item.text) for item in asked]
        self._equal: dict[str, int] = {}
        for i, item in enumerate(asked):
            self._equal.setdefault(plain(item.text), i)
        self._alike: SimilarSets[int, str] = SimilarSets(overlap, frequencies(bags.values()))
        for i, bag in bags.items():
            self._alike.add(i, bag)
        self._seeds = {(q.source.file, q.source.line): q.id for q in exam if q.origin == "seed"}
        self._answers = {plain(q.answer): q for q in exam if len(tokens(q.answer)) >= _ANSWER_TOKENS}
        for seed in seeds:
            if not seed.held_out:
                self._answers.pop(plain(seed.answer), None)

    def check(self, row: Candidate, pool: str) -> Removed | None:
        """The leak of a row, or None."""
        if row.seed is not None and (row.seed.file, row.seed.line) in self._seeds:
            partner = self._seeds[row.seed.file, row.seed.line]
            return Removed(row, pool, "held_out_seed", partner, 1.0, f"{row.seed.file}:{row.seed.line}")
        for text in row.questions:
            leak = self._match(text)
            if leak is not None:
                item = self._asked[leak[0]]
                return Removed(row, pool, "exam_question", item.id, leak[1], item.text)
        if row.knowledge and not row.grounded:
            exam = self._answers.get(plain(row.answer))
            if exam is not None:
                return Removed(row, pool, "exam_answer", exam.id, 1.0, exam.answer)
        return None

    def _match(self, text: str) -> tuple[int, float] | None:
        tail = text.rsplit("\n\n", 1)[-1]
        for part in dict.fromkeys((text, tail, *_parts(text))):
            equal = self._equal.get(plain(part))
            if equal is not None:
                return equal, 1.0
            best = max(self._near(part, tail), key=lambda found: found[1], default=None)
            if best is not None:
                return best
        return None

    def _near(self, part: str, tail: str) -> Iterator[tuple[int, float]]:
        found = self._alike.find(tokens(part))
        if not found:
            return
        own_numbers = numbers(part)
        for i, value in found:
            item = self._asked[i]
            if self._numbers[i] != own_numbers:
                continue
            if item.has_context and jaccard(tokens(tail), tokens(item.question)) < self._overlap:
                continue
            yield i, value


def _parts(text: str) -> Iterator[str]:
    """Sentences of a turn, and their ends after a comma or colon; the shortest say too little to leak."""
    for sentence in _SENTENCE_END.split(text):
        starts = [0, *(match.end() for match in _CLAUSE_END.finditer(sentence))]
        for start in starts:
            part = sentence[start:]
            if len(part) > _PART_TOKENS and len(tokens(part)) >= _PART_TOKENS:
                yield part


def split_duplicates(
    rows: Sequence[Candidate], threshold: float, pool: str
) -> tuple[list[Candidate], list[Removed]]:
    """Keep, of rows with one answer and all but one question, the one with the smallest id.

    Args:
        rows: in any order; the result does not depend on it.
        threshold: estimated Jaccard similarity of the questions' shingles from which they are the same.
        pool: named in the removals.
    """
    groups: dict[str, list[Candidate]] = {}
    for row in sorted(rows, key=lambda row: row.id):
        groups.setdefault(plain(row.answer) or row.answer, []).append(row)
    sketcher = Sketcher()
    kept: list[Candidate] = []
    removed: list[Removed] = []
    for group in groups.values():
        kept_here, removed_here = _split_group(group, threshold, pool, sketcher)
        kept += kept_here
        removed += removed_here
    return kept, removed


def _split_group(
    group: Sequence[Candidate], threshold: float, pool: str, sketcher: Sketcher
) -> tuple[list[Candidate], list[Removed]]:
    if len(group) == 1:
        return list(group), []
    texts = ["\n".join(row.questions) for row in group]
    sketches = [sketcher.sketch(text) for text in texts]
    own_numbers = [numbers(text) for text in texts]
    index: SimilarSets[int, int] = SimilarSets(threshold, frequencies(sketches), sketch_similarity)
    kept: list[Candidate] = []
    removed: list[Removed] = []
    for i, row in enumerate(group):
        # A long passage with one other number is alike to the shingle, but not the same task.
        near = [(j, value) for j, value in index.find(sketches[i]) if own_numbers[j] == own_numbers[i]]
        if near:
            j, value = near[0]
            removed.append(Removed(row, pool, "near_duplicate", group[j].id, value, texts[j]))
        else:
            index.add(i, sketches[i])
            kept.append(row)
    return kept, removed
