"""The curate stage: a checked taxonomy becomes leaves, documents, chunks and the exam.

Seeds that are held out and questions of `exam.yaml` form the exam. A held-out question and its answer enter
nothing else; its context is part of the document and stays there.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path

from labtune.artifact import file_hash, write_json, write_jsonl
from labtune.config.lab import DocumentsConfig, ExamConfig
from labtune.documents.chunk import chunk_document
from labtune.documents.load import load_document
from labtune.documents.report import ingestion_report
from labtune.errors import DocumentError, TaxonomyError
from labtune.taxonomy.discover import ATTRIBUTION, EXAM, QNA
from labtune.taxonomy.exam import ExamItem
from labtune.taxonomy.fetch import GitCache
from labtune.taxonomy.holdout import hold_out, make_exam
from labtune.taxonomy.locate import LocatedDocument, locate_documents
from labtune.taxonomy.read import iterate_leaves
from labtune.types import Chunk, Document, ExamQuestion, Finding, Leaf, RunContext, StageOutcome

SHOWN_ERRORS = 5


@dataclass(frozen=True, slots=True)
class _Input:
    """What is kept of a leaf folder once it is read: no text, no nodes, so that large taxonomies fit."""

    leaf: Leaf
    folder: Path
    items: list[ExamItem]


@dataclass(slots=True)
class _Curation:
    """What the leaves came to so far."""

    leaves: list[Leaf] = field(default_factory=list)
    documents: dict[str, Document] = field(default_factory=dict)
    chunks: list[Chunk] = field(default_factory=list)
    exam: list[ExamQuestion] = field(default_factory=list)


def curate(
    taxonomy_root: Path,
    *,
    exam: ExamConfig,
    documents: DocumentsConfig,
    run: RunContext,
    cache: GitCache | None = None,
) -> StageOutcome:
    """Write leaves, documents, chunks, exam, findings and the ingestion report to `run.out_dir`.

    Raises:
        TaxonomyError: a leaf has errors (the first ones are named), or there is no leaf.
        DocumentError: a leaf's documents cannot be found, fetched or read; the leaf is named.
    """
    inputs, findings = _read_all(taxonomy_root)
    _refuse_errors(taxonomy_root, inputs, findings)
    located = _locate_all(taxonomy_root, inputs, cache or GitCache.default())
    result = _Curation()
    for number, entry in enumerate(inputs):
        leaf = entry.leaf
        run.emit("progress", {"leaf": leaf.path, "done": number, "total": len(inputs), "unit": "leaves"})
        for document in _load(leaf, located.get(leaf.path, []), result.documents):
            result.chunks.extend(chunk_document(document, leaf=leaf.path, max_tokens=documents.chunk_tokens))
        leaf = replace(leaf, seeds=hold_out(leaf, exam.from_seeds, entry.items))
        result.leaves.append(leaf)
        result.exam.extend(make_exam(leaf, entry.items, exam.dev_share))
    run.emit("progress", {"done": len(inputs), "total": len(inputs), "unit": "leaves"})
    return _write(run.out_dir, result, findings)


def curate_key(taxonomy_root: Path) -> str:
    """Hash of the bytes of everything that `curate` reads from the taxonomy, for up-to-date checks.

    Documents in git are named by their commit, which stands in `qna.yaml`; nothing is fetched.

    Raises:
        TaxonomyError: there is no such folder.
    """
    digest = hashlib.sha256()
    for item in iterate_leaves(taxonomy_root):
        if isinstance(item, Finding):
            digest.update(f"{item.code} {item.source.file}\0".encode())
            continue
        files = [item.files.folder / name for name in (QNA, EXAM, ATTRIBUTION)]
        source = item.leaf.documents if item.leaf else None
        if source is not None and source.repo is None:
            try:
                local = locate_documents(source, item.files.folder, taxonomy_root, cache=GitCache.default())
                files.extend(document.path for document in local)
            except DocumentError as error:
                digest.update(error.message.replace(str(taxonomy_root), "").encode())
        for file in files:
            if file.is_file():
                name = file.relative_to(taxonomy_root).as_posix()
                digest.update(f"{name} {file_hash(file)}\0".encode())
    return digest.hexdigest()


def _read_all(root: Path) -> tuple[list[_Input], list[Finding]]:
    inputs: list[_Input] = []
    findings: list[Finding] = []
    for item in iterate_leaves(root):
        if isinstance(item, Finding):
            findings.append(item)
            continue
        findings.extend(item.findings)
        if item.leaf is not None:
            inputs.append(_Input(item.leaf, item.files.folder, item.exam_items))
    return sorted(inputs, key=lambda entry: entry.leaf.path), findings


def _refuse_errors(root: Path, inputs: list[_Input], findings: list[Finding]) -> None:
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors:
        shown = [
            f"{error.source.file}:{error.source.line}:{error.source.column}: {error.code} "
            f"{error.found}; expected {error.expected}"
            for error in errors[:SHOWN_ERRORS]
        ]
        more = f"\n... and {len(errors) - SHOWN_ERRORS} more" if len(errors) > SHOWN_ERRORS else ""
        lines = "\n".join(shown)
        raise TaxonomyError(
            f"the taxonomy {root} has {len(errors)} error{'s' if len(errors) > 1 else ''}:\n{lines}{more}",
            hint=f"labtune check {root}   says how to mend each; --fix mends the mechanical ones",
        )
    if not inputs:
        raise TaxonomyError(
            f"the taxonomy {root} has no leaf", hint="labtune new knowledge PATH --document FILE"
        )


def _locate_all(root: Path, inputs: list[_Input], cache: GitCache) -> dict[str, list[LocatedDocument]]:
    located: dict[str, list[LocatedDocument]] = {}
    for entry in inputs:
        leaf = entry.leaf
        if leaf.documents is None:
            continue
        try:
            located[leaf.path] = locate_documents(leaf.documents, entry.folder, root, cache=cache)
        except DocumentError as error:
            raise DocumentError(f"{leaf.path}: {error.message}", hint=error.hint) from error
    return located


def _load(leaf: Leaf, files: list[LocatedDocument], known: dict[str, Document]) -> list[Document]:
    loaded: list[Document] = []
    for file in files:
        try:
            document = load_document(file.path, uri=file.uri)
        except DocumentError as error:
            raise DocumentError(f"{leaf.path}: {error.message}", hint=error.hint) from error
        document = known.setdefault(document.id, document)
        if document not in loaded:
            loaded.append(document)
    return loaded


def _write(out_dir: Path, result: _Curation, findings: list[Finding]) -> StageOutcome:
    documents = list(result.documents.values())
    write_jsonl(out_dir / "leaves.jsonl", result.leaves)
    write_jsonl(out_dir / "documents.jsonl", documents)
    write_jsonl(out_dir / "chunks.jsonl", result.chunks)
    write_jsonl(out_dir / "exam.jsonl", result.exam)
    write_json(out_dir / "findings.json", findings)
    write_json(out_dir / "ingestion.json", ingestion_report(documents))
    held_out = sum(seed.held_out for leaf in result.leaves for seed in leaf.seeds)
    dev = sum(question.split == "dev" for question in result.exam)
    counts = {
        "leaves": len(result.leaves),
        "seeds": sum(len(leaf.seeds) for leaf in result.leaves),
        "held_out": held_out,
        "documents": len(documents),
        "chunks": len(result.chunks),
        "exam": len(result.exam),
        "exam_dev": dev,
        "exam_test": len(result.exam) - dev,
        "warnings": sum(finding.severity == "warning" for finding in findings),
    }
    summary = (
        f"{counts['leaves']} leaves, {counts['seeds']} seeds ({held_out} held out), "
        f"{len(documents)} documents in {len(result.chunks)} chunks, "
        f"{len(result.exam)} exam questions ({dev} for choosing checkpoints)"
    )
    return StageOutcome(counts, summary)
