"""The funnel of a leaf that a model taught: where rows were lost, with examples, cause and remedy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from labtune.types import Json, Rejection

SHOWN = 3
"""Examples of every reason."""
_SHOWN_CHARACTERS = 400

CLASSES: Mapping[str, frozenset[str]] = {
    "unparsable": frozenset({"unparsable", "empty_reply", "empty_field", "empty", "too_long"}),
    "judged_out": frozenset(),
    "duplicate": frozenset({"duplicate", "near_duplicate"}),
    "wrong_language": frozenset({"wrong_language"}),
    "ungrounded": frozenset({"number_not_in_document", "name_not_in_document", "nothing_quoted"}),
    "exam": frozenset({"exam_question"}),
    "failed": frozenset({"request_failed", "prompt_failed", "template_failed", "block_failed"}),
}
"""Class of the funnel -> reasons of steps and checks. All others are a judge's or a filter's."""

_REMEDIES: Mapping[str, tuple[str, str]] = {
    "unparsable": (
        "the teacher's replies do not have the form that was asked for",
        "use a larger teacher, or an endpoint with JSON by schema (labtune doctor --endpoint URL says)",
    ),
    "judged_out": (
        "the judge dropped most of them",
        "read the reasons below; use a stronger teacher or another judge",
    ),
    "duplicate": (
        "the teacher says the same again and again",
        "write more varied seeds, raise generate.temperature, or lower generate.target",
    ),
    "wrong_language": (
        "the teacher answers in another language than the document's",
        "use a teacher that speaks it, and write the seeds in the document's language",
    ),
    "ungrounded": (
        "the answers claim what the documents do not say",
        "use a stronger teacher or a lower generate.temperature; look whether the document was read well",
    ),
    "exam": ("the teacher asked what the exam asks", "raise generate.target or generate.rounds"),
    "failed": (
        "requests failed for good",
        "look at the reasons below; labtune doctor --endpoint URL tests the endpoint",
    ),
}
_LESS_WHEN_SIMPLE = frozenset({"unparsable", "judged_out"})


class Funnel:
    """Counts a leaf's rows on their way and keeps the first rejections of every reason."""

    def __init__(self) -> None:
        self.asked = 0
        self.produced = 0
        self.rejected: Counter[tuple[str, str]] = Counter()
        self._examples: dict[str, list[dict[str, Json]]] = {}

    def reject(self, rejection: Rejection) -> None:
        """Count a dropped row."""
        self.rejected[rejection.step, rejection.reason] += 1
        shown = self._examples.setdefault(rejection.reason, [])
        if len(shown) < SHOWN:
            shown.append({"step": rejection.step, **{k: _short(v) for k, v in rejection.row.items()}})

    def classes(self) -> dict[str, int]:
        """Rejections by class."""
        counts = dict.fromkeys(CLASSES, 0)
        for (_, reason), count in self.rejected.items():
            counts[class_of(reason)] += count
        return counts

    def cause(self, pipeline: str = "") -> tuple[str, str, str]:
        """Class, likely cause and remedy of the greatest loss; `simple` is advised to who does not use it."""
        counts = self.classes()
        worst = max(counts, key=lambda name: counts[name])
        if not counts[worst]:
            return "asked", "the leaf has too few passages or seeds to ask about", "add documents or seeds"
        cause, remedy = _REMEDIES[worst]
        if worst in _LESS_WHEN_SIMPLE and pipeline != "simple":
            remedy += "; or generate.pipeline: simple"
        return worst, f"{cause} ({counts[worst]} rows)", remedy

    def as_json(self, kept: int) -> dict[str, Any]:
        """The counts and examples; the caller adds what else it knows."""
        reasons: Counter[str] = Counter()
        for (_, reason), count in self.rejected.items():
            reasons[reason] += count
        return {
            "asked": self.asked,
            "produced": self.produced,
            **self.classes(),
            "kept": kept,
            **{f"rejected:{reason}": count for reason, count in sorted(reasons.items())},
            "examples": {reason: self._examples[reason] for reason in sorted(self._examples)},
        }


def class_of(reason: str) -> str:
    """The class of a reason."""
    return next((name for name, reasons in CLASSES.items() if reason in reasons), "judged_out")


def _short(value: Json) -> Json:
    if isinstance(value, str) and len(value) > _SHOWN_CHARACTERS:
        return value[: _SHOWN_CHARACTERS - 1] + "…"
    return value
