"""Where a sample came from and where it went; what came from a document. Read from the runs' own files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labtune.artifact import file_hash, read_jsonl
from labtune.errors import UserError
from labtune.workflow.lab import Lab
from labtune.workflow.run import runs

MOST_MATCHES = 5
_NOT_ROWS = ("manifest.json", "mix.json", "phases.json", "removed.jsonl")
_Lines = dict[tuple[int, int], list[Any]]


@dataclass(frozen=True, slots=True)
class _Scan:
    """Reads the lines of run files that hold a text. Runs share files by hard links: each is read once."""

    needle: str
    seen: _Lines

    def rows(self, path: Path) -> list[Any]:
        """The parsed lines of `path` that hold the text; none for a missing file."""
        try:
            status = path.stat()
        except FileNotFoundError:
            return []
        key = (status.st_dev, status.st_ino)
        if key not in self.seen:
            with path.open(encoding="utf-8") as stream:
                self.seen[key] = [json.loads(line) for line in stream if self.needle in line]
        return self.seen[key]


def trace_sample(lab: Lab, identity: str) -> dict[str, Any]:
    """The whole chain of one sample.

    Args:
        lab: whose runs are searched, newest first.
        identity: id of the sample or its beginning.

    Returns:
        `sample` (as in samples.jsonl), `quotes` (the cited places with their text), `chunk`, `leaf`,
        `document`, `runs`: where it stands, and per run the phases of the data set that hold it or why it was
        removed.

    Raises:
        UserError: no run has such a sample, or several begin so.
    """
    if not identity.strip():
        raise UserError("an empty text is no id of a sample", hint="labtune trace SAMPLE_ID")
    scan = _Scan(f'"id": "{identity}', {})
    homes: dict[str, tuple[Path, dict[str, Any]]] = {}
    holders: dict[str, list[Path]] = {}
    for run in reversed(runs(lab)):
        for row in scan.rows(run / "generate" / "samples.jsonl"):
            if row["id"].startswith(identity):
                homes.setdefault(row["id"], (run, row))
                holders.setdefault(row["id"], []).append(run)
    if identity in homes:
        homes = {identity: homes[identity]}
    if len(homes) != 1:
        raise _no_sample(lab, identity, sorted(homes))
    ((found, (run, sample)),) = homes.items()
    return {
        "sample": sample,
        **_surroundings(run, sample),
        "runs": [_presence(folder, found) for folder in holders[found]],
    }


def _no_sample(lab: Lab, identity: str, found: list[str]) -> UserError:
    if not found:
        return UserError(
            f"no run of {lab.root} has a sample whose id begins with {identity!r}",
            hint="ids stand in runs/latest/generate/samples.jsonl and in the data set's metadata",
        )
    shown = ", ".join(found[:MOST_MATCHES]) + (", ..." if len(found) > MOST_MATCHES else "")
    return UserError(f"{len(found)} samples begin with {identity!r}", hint=f"one of {shown}")


def _surroundings(run: Path, sample: Mapping[str, Any]) -> dict[str, Any]:
    """Leaf, chunk, document and quoted text of a sample, from the run's curated files."""
    spans = sample.get("grounding") or []
    chunk = _first(run / "curate" / "chunks.jsonl", str(sample.get("chunk_id") or ""))
    leaf = next(
        (row for row in _rows(run / "curate" / "leaves.jsonl") if row["path"] == sample["leaf"]), None
    )
    wanted = spans[0]["document_id"] if spans else (chunk or {}).get("document_id", "")
    document = _first(run / "curate" / "documents.jsonl", wanted)
    text = document["text"] if document else ""
    return {
        "leaf": leaf and {key: leaf[key] for key in ("path", "kind", "source", "created_by", "attribution")},
        "document": document
        and {key: document[key] for key in ("id", "uri", "title", "media_type", "language")},
        "chunk": chunk
        and {key: chunk[key] for key in ("id", "uri", "start", "end", "page", "heading", "text")},
        "quotes": [
            {**span, "text": text[span["start"] : span["end"]] if span["document_id"] == wanted else ""}
            for span in spans
        ],
    }


def _rows(path: Path) -> Iterator[Any]:
    if path.exists():
        yield from read_jsonl(path)


def _first(path: Path, identity: str) -> dict[str, Any] | None:
    if not identity:
        return None
    return next((row for row in _rows(path) if row.get("id") == identity), None)


def _presence(run: Path, identity: str) -> dict[str, Any]:
    """Which training files of a run hold a sample, and why the mix dropped it otherwise."""
    scan = _Scan(f'"{identity}', {})
    phases = {path.stem: len(scan.rows(path)) for path in _training_files(run)}
    removed = [row for row in scan.rows(run / "mix" / "removed.jsonl") if row.get("id") == identity]
    return {
        "run": run.name,
        "phases": {name: count for name, count in phases.items() if count},
        "removed": removed[0].get("reason") if removed else None,
        "tuned": (run / "train" / "manifest.json").exists(),
    }


def _training_files(run: Path) -> list[Path]:
    folder = run / "mix"
    return sorted(path for path in folder.glob("*.jsonl") if path.name not in _NOT_ROWS)


def trace_document(lab: Lab, file: str) -> dict[str, Any]:
    """All samples and runs that came from a document.

    Args:
        lab: whose runs are searched.
        file: a file (found by its content, wherever it lies now), the hash of its bytes, or the name under
            which citations show it; several versions of one name are all listed.

    Returns:
        `documents` (id, uri, runs), `samples` (id, leaf, question, runs), `runs` (run, samples,
        training_rows, tuned).

    Raises:
        UserError: no run has read such a document.
    """
    path = Path(file)
    digest = file_hash(path) if path.is_file() else file
    documents: dict[str, dict[str, Any]] = {}
    for run in reversed(runs(lab)):
        for row in _documents_like(run, file, digest):
            entry = documents.setdefault(row["id"], {"id": row["id"], "uri": row["uri"], "runs": []})
            entry["runs"].append(run.name)
    if not documents:
        raise UserError(
            f"no run of {lab.root} has read the document {file!r}",
            hint="a path, the SHA-256 of its bytes, or its name as citations show it",
        )
    samples: dict[str, dict[str, Any]] = {}
    summary = []
    for run in reversed(runs(lab)):
        own = _samples_of(run, [key for key, entry in documents.items() if run.name in entry["runs"]])
        for row in own:
            entry = samples.setdefault(row["id"], _brief(row))
            entry["runs"].append(run.name)
        if own:
            summary.append(_use(run, {row["id"] for row in own}))
    return {"documents": list(documents.values()), "samples": list(samples.values()), "runs": summary}


def _documents_like(run: Path, name: str, digest: str) -> Iterator[Any]:
    """The run's documents with these bytes, or with this name or the end of a name."""
    for row in _rows(run / "curate" / "documents.jsonl"):
        uri = row["uri"]
        ends = uri.endswith(("/" + name, ":" + name)) or name.endswith("/" + uri)
        if row["id"] == digest or (len(digest) >= 8 and row["id"].startswith(digest)) or uri == name or ends:
            yield row


def _samples_of(run: Path, documents: list[str]) -> list[Any]:
    found: dict[str, Any] = {}
    chunks = {row["id"] for row in _rows(run / "curate" / "chunks.jsonl") if row["document_id"] in documents}
    for row in _rows(run / "generate" / "samples.jsonl"):
        cited = any(span["document_id"] in documents for span in row.get("grounding") or [])
        if cited or row.get("chunk_id") in chunks:
            found[row["id"]] = row
    return list(found.values())


def _brief(row: Mapping[str, Any]) -> dict[str, Any]:
    question = next((turn["content"] for turn in row["messages"] if turn["role"] == "user"), "")
    return {"id": row["id"], "leaf": row["leaf"], "question": question, "runs": []}


def _use(run: Path, identities: set[str]) -> dict[str, Any]:
    """How many training rows of a run come from some samples."""
    rows = 0
    for path in _training_files(run):
        for row in _rows(path):
            rows += (row.get("metadata") or {}).get("sample") in identities
    return {
        "run": run.name,
        "samples": len(identities),
        "training_rows": rows,
        "tuned": (run / "train" / "manifest.json").exists(),
    }
