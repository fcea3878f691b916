"""How much of a leaf's documents the kept rows state, and what they leave out."""

from __future__ import annotations

from typing import Any

from labtune.generation.blocks.passages import list_passages
from labtune.generation.rows import BlockContext, Passage

_SHOWN = 200


def leaf_coverage(context: BlockContext) -> dict[str, Any]:
    """Share of sentences and of table cells that some kept long answer quotes, and the uncovered ones."""
    totals = {"sentences": [0, 0], "cells": [0, 0]}
    uncovered: list[dict[str, Any]] = []
    for passage in list_passages(context):
        counts = totals["sentences" if passage.statement is None else "cells"]
        counts[0] += 1
        if _stated(passage, context.covered.get(passage.document.id, set())):
            counts[1] += 1
        else:
            reason = "no_question_kept" if len(passage.text) > 3 else "too_short"
            uncovered.append(
                {
                    "uri": passage.document.uri,
                    "start": passage.start,
                    "text": passage.text[:_SHOWN],
                    "reason": reason,
                }
            )
    total = sum(counts[0] for counts in totals.values())
    stated = sum(counts[1] for counts in totals.values())
    return {
        "share": stated / total if total else 1.0,
        "sentences": totals["sentences"][0],
        "sentences_stated": totals["sentences"][1],
        "cells": totals["cells"][0],
        "cells_stated": totals["cells"][1],
        "uncovered": uncovered,
    }


def _stated(passage: Passage, spans: set[tuple[int, int]]) -> bool:
    """True when a quote holds most of the passage (a resolved pronoun may be missing)."""
    if (passage.start, passage.end) in spans:
        return True
    statement = passage.statement
    if statement is not None:
        place = passage.start + max(0, passage.text.rfind(statement.value))
        return any(start <= place and end >= place + len(statement.value) for start, end in spans)
    length = passage.end - passage.start
    return any(min(end, passage.end) - max(start, passage.start) >= 0.5 * length for start, end in spans)
