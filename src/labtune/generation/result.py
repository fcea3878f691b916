"""What one leaf gave, as JSON lines: the cache keeps them, the stage's files join them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from labtune.artifact import write_text
from labtune.types import Rejection, Sample, Source, Span


@dataclass(frozen=True, slots=True)
class LeafResult:
    """Samples and rejections as JSON lines, the funnel and the coverage of one leaf."""

    samples: tuple[str, ...]
    rejected: tuple[str, ...]
    funnel: Mapping[str, Any]
    coverage: Mapping[str, Any]
    cached: bool = False


def identify(*parts: str) -> str:
    """24 hex digits over texts: the id of a sample."""
    return sha256("\0".join(parts).encode()).hexdigest()[:24]


def sample_line(sample: Sample) -> str:
    """One sample as JSON. By hand: `dataclasses.asdict` copies deeply and takes most of a leaf's time."""
    row: dict[str, Any] = {
        "id": sample.id,
        "leaf": sample.leaf,
        "kind": sample.kind,
        "language": sample.language,
        "messages": [{"role": message.role, "content": message.content} for message in sample.messages],
        "form": sample.form,
        "length": sample.length,
        "pipeline": sample.pipeline,
        "teacher": sample.teacher,
        "fact": sample.fact,
        "grounding": [_span(span) for span in sample.grounding],
        "chunk_id": sample.chunk_id,
        "seed": _source(sample.seed),
        "contributor": sample.contributor,
        "license": sample.license,
    }
    if sample.lineage is not None:
        row["lineage"] = dataclasses.asdict(sample.lineage)
    return json.dumps(row, ensure_ascii=False, sort_keys=True)


def _span(span: Span) -> dict[str, Any]:
    return {
        "document_id": span.document_id,
        "uri": span.uri,
        "start": span.start,
        "end": span.end,
        "page": span.page,
    }


def _source(source: Source | None) -> dict[str, Any] | None:
    return None if source is None else {"file": source.file, "line": source.line, "column": source.column}


def rejection_line(rejection: Rejection) -> str:
    """One rejection as JSON."""
    return json.dumps(dataclasses.asdict(rejection), ensure_ascii=False, sort_keys=True)


def read_result(path: Path) -> LeafResult | None:
    """A cached result; None where the file is missing or damaged."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
        head = json.loads(lines[0])
        n_samples, n_rejected = int(head["samples"]), int(head["rejected"])
        body = tuple(line for line in lines[1:] if line)
        if len(body) != n_samples + n_rejected or head["digest"] != _digest(body):
            return None
        return LeafResult(body[:n_samples], body[n_samples:], head["funnel"], head["coverage"], cached=True)
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError, ValueError):
        return None


def write_result(path: Path, result: LeafResult) -> None:
    """Put a result into the cache."""
    body = (*result.samples, *result.rejected)
    head = {
        "samples": len(result.samples),
        "rejected": len(result.rejected),
        "digest": _digest(body),
        "funnel": result.funnel,
        "coverage": result.coverage,
    }
    write_text(path, "\n".join((json.dumps(head, ensure_ascii=False, sort_keys=True), *body)) + "\n")


def _digest(lines: tuple[str, ...]) -> str:
    return sha256("\n".join(lines).encode()).hexdigest()
