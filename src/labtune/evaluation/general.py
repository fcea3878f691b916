"""The general exam: what a student knew before tuning. Its score before and after is the retention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from labtune.artifact import read_jsonl
from labtune.errors import DataError
from labtune.evaluation.intervals import compare
from labtune.types import ExamQuestion, Json, Source

GENERAL_LEAF = "general"


@dataclass(frozen=True, slots=True)
class GeneralExam:
    """A `Benchmark`: questions, and beside each its category and its language."""

    items: tuple[ExamQuestion, ...] = ()
    categories: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    name: str = GENERAL_LEAF

    def questions(self) -> Sequence[ExamQuestion]:
        """All questions, in the order of the file."""
        return self.items


def load_general_exam(path: Path) -> GeneralExam:
    """Read a general exam: JSONL (or .jsonl.gz) of `{id, question, answer, must, category, language}`.

    Raises:
        DataError: missing file, a malformed row (file and row named), or an id that stands twice.
    """
    items: list[ExamQuestion] = []
    categories: list[str] = []
    languages: list[str] = []
    ids: set[str] = set()
    for number, row in enumerate(read_jsonl(path), 1):
        where = f"{path} row {number}"
        if not isinstance(row, dict):
            raise DataError(f"{where} is not an object")
        texts = [row.get(name) for name in ("id", "question", "answer")]
        must = row.get("must") or []
        if not all(isinstance(text, str) and text.strip() for text in texts):
            raise DataError(f"{where} needs id, question and answer")
        if not isinstance(must, list) or not all(isinstance(term, str) for term in must):
            raise DataError(f"{where}: must is a list of words")
        name, question, answer = map(str, texts)
        if name in ids:
            raise DataError(f"{where}: the id {name!r} stands twice")
        ids.add(name)
        source = Source(path.name, number)
        items.append(ExamQuestion(name, GENERAL_LEAF, question, answer, "test", source, "exam", tuple(must)))
        categories.append(str(row.get("category", "general")))
        languages.append(str(row.get("language", "en")))
    return GeneralExam(tuple(items), tuple(categories), tuple(languages))


def retention(
    exam: GeneralExam, base: Sequence[bool], tuned: Sequence[bool], floor: float
) -> dict[str, Json]:
    """What was kept: shares right of base and tuned, their ratio, and the same per category and language.

    A base that had nothing right has nothing to lose: its ratio is 1. Without questions ratio is None and
    passes: nothing was measured, nothing is claimed.
    """
    categories: dict[str, Json] = {}
    languages: dict[str, Json] = {}
    for groups, names in ((categories, exam.categories), (languages, exam.languages)):
        for name in sorted(set(names)):
            at = [i for i, other in enumerate(names) if other == name]
            groups[name] = _kept([base[i] for i in at], [tuned[i] for i in at])
    total = _kept(base, tuned)
    ratio = total["ratio"]
    return {
        **total,
        "floor": floor,
        "passed": not isinstance(ratio, float) or ratio >= floor,
        "categories": categories,
        "languages": languages,
    }


def _kept(base: Sequence[bool], tuned: Sequence[bool]) -> dict[str, Json]:
    n = len(base)
    if n == 0:
        return {"n": 0, "base": None, "tuned": None, "ratio": None, "gained": 0, "lost": 0}
    paired = compare(base, tuned)
    ratio = paired.tuned_right / paired.base_right if paired.base_right else 1.0
    return {
        "n": n,
        "base": paired.base_right / n,
        "tuned": paired.tuned_right / n,
        "ratio": ratio,
        "gained": paired.gained,
        "lost": paired.lost,
    }
