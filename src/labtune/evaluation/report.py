"""`scores.json`: shares, intervals and verdicts per leaf and in total. Its schema is a promise to readers.

    {schema, rules, leaves: {PATH: SCORES}, total: SCORES, retention}
    SCORES = {base: TALLY, tuned: TALLY, gained, lost, p_value, verdict, verdict_reason}
    TALLY = {n, n_right, right, right_interval, mc, mc_n, mc_interval, mc_chance, f1, stop_rate}

Shares are 0..1 and None where nothing was asked (`n` or `mc_n` 0).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from labtune.evaluation.exam import Mark
from labtune.evaluation.intervals import compare, wilson
from labtune.evaluation.scorers import CONTENT_SHARE
from labtune.evaluation.verdict import HALF, KNOWN, SIGNIFICANCE, judge
from labtune.types import ExamQuestion, Json

SCORES_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Sitting:
    """The same questions answered by base and tuned; the three run in step."""

    questions: tuple[ExamQuestion, ...]
    base: tuple[Mark, ...]
    tuned: tuple[Mark, ...]

    def rows(self) -> Iterator[tuple[ExamQuestion, Mark, Mark]]:
        """Question by question."""
        return zip(self.questions, self.base, self.tuned, strict=True)

    def of_leaf(self, path: str) -> Sitting:
        """The part about one leaf."""
        rows = [row for row in self.rows() if row[0].leaf == path]
        return Sitting(
            tuple(q for q, _, _ in rows), tuple(b for _, b, _ in rows), tuple(t for _, _, t in rows)
        )


def build_scores(sitting: Sitting, leaves: Sequence[str], retention: dict[str, Json]) -> dict[str, Json]:
    """The whole report. Every leaf is listed, also one without a test question."""
    paths = sorted({*leaves, *(q.leaf for q in sitting.questions)})
    return {
        "schema": SCORES_SCHEMA,
        "rules": {
            "right": f"all must words, or else {CONTENT_SHARE} of the content words and all numbers",
            "learned": f"at least {KNOWN:.0%} right, or at least {HALF:.0%} and better than the base",
            "forgotten": "worse than the base",
            "better, worse": f"exact McNemar, p < {SIGNIFICANCE}; plain counts for fewer than 6 questions",
            "interval": "95 %, Wilson",
        },
        "leaves": {path: _scores(sitting.of_leaf(path)) for path in paths},
        "total": _scores(sitting),
        "retention": retention,
    }


def _scores(sitting: Sitting) -> dict[str, Json]:
    paired = compare([m.right for m in sitting.base], [m.right for m in sitting.tuned])
    judgement = judge(paired)
    return {
        "base": tally(sitting.base),
        "tuned": tally(sitting.tuned),
        "gained": paired.gained,
        "lost": paired.lost,
        "p_value": paired.p_value,
        "verdict": judgement.verdict,
        "verdict_reason": judgement.reason,
    }


def tally(marks: Sequence[Mark]) -> dict[str, Json]:
    """Shares of one contestant over some questions."""
    n, n_right = len(marks), sum(m.right for m in marks)
    choices = [m for m in marks if m.mc is not None]
    mc_right = sum(bool(m.mc) for m in choices)
    right_interval, mc_interval = wilson(n_right, n), wilson(mc_right, len(choices))
    return {
        "n": n,
        "n_right": n_right,
        "right": n_right / n if n else None,
        "right_interval": list(right_interval) if right_interval else None,
        "mc": mc_right / len(choices) if choices else None,
        "mc_n": len(choices),
        "mc_interval": list(mc_interval) if mc_interval else None,
        "mc_chance": sum(1 / m.n_options for m in choices) / len(choices) if choices else None,
        "f1": sum(m.f1 for m in marks) / n if n else None,
        "stop_rate": sum(m.answer.stopped for m in marks) / n if n else None,
    }
