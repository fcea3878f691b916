"""Reads a taxonomy folder: all leaves that are free of errors, and all findings of all files."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from labtune.errors import TaxonomyError
from labtune.taxonomy.attribution import parse_attribution
from labtune.taxonomy.decode import MAX_BYTES
from labtune.taxonomy.discover import ATTRIBUTION, EXAM, QNA, LeafFiles, find_leaves
from labtune.taxonomy.exam import ExamItem, ExamValidation, validate_exam
from labtune.taxonomy.problems import Point, Problems
from labtune.taxonomy.validate import Validation, validate
from labtune.types import Finding, Leaf


@dataclass(slots=True)
class LeafRead:
    """Everything that lies in one leaf folder. `attribution_text` None = there is no such file."""

    files: LeafFiles
    validation: Validation
    exam: ExamValidation | None
    attribution_text: str | None
    findings: list[Finding] = field(default_factory=list)

    @property
    def leaf(self) -> Leaf | None:
        """The leaf, unless its `qna.yaml` has errors."""
        return self.validation.leaf

    @property
    def exam_items(self) -> list[ExamItem]:
        """The questions of its `exam.yaml`; none when that has errors."""
        return self.exam.items if self.exam else []


def read_bytes(path: Path, problems: Problems) -> bytes | None:
    """The content of a regular file of sane size; None after recording why not."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            problems.add("Y101", Point(), "something that is not a file", "a text file", "replace it")
            return None
        if status.st_size > MAX_BYTES:
            problems.add(
                "Y102",
                Point(),
                f"{status.st_size:,} bytes",
                f"at most {MAX_BYTES:,} bytes",
                "move long texts into documents; a qna.yaml holds examples",
            )
            return None
        return path.read_bytes()
    except OSError as error:
        problems.add("Y101", Point(), str(error.strerror), "a readable file", "check path and permissions")
        return None


def read_leaf(files: LeafFiles) -> LeafRead:
    """Read and validate one leaf folder. Raises nothing about its content."""
    problems = Problems(files.name.file)
    data = read_bytes(files.folder / QNA, problems)
    validation = validate(data, files.name) if data is not None else Validation(None, problems)
    attribution_problems = Problems(files.relative(ATTRIBUTION))
    attribution = _read_optional(files, ATTRIBUTION, attribution_problems)
    text = attribution.decode("utf-8", "replace") if attribution is not None else None
    if validation.leaf is not None and text:
        validation.leaf = replace(validation.leaf, attribution=parse_attribution(text))
    exam_problems = Problems(files.relative(EXAM))
    exam_data = _read_optional(files, EXAM, exam_problems)
    exam = validate_exam(exam_data, exam_problems.file) if exam_data is not None else None
    findings = [*validation.problems.findings, *attribution_problems.findings, *exam_problems.findings]
    if exam is not None:
        findings.extend(exam.problems.findings)
    return LeafRead(files, validation, exam, text, findings)


def _read_optional(files: LeafFiles, name: str, problems: Problems) -> bytes | None:
    path = files.folder / name
    if not path.exists() and not path.is_symlink():
        return None
    if path.is_symlink() and not path.resolve().is_relative_to(files.root.resolve()):
        problems.add("P102", Point(), "a link to a file outside the taxonomy", "a file", "copy the file here")
        return None
    return read_bytes(path, problems)


def iterate_leaves(root: Path, start: Path | None = None) -> Iterator[LeafRead | Finding]:
    """All leaves below `start`, one at a time, sorted by path, and findings about names and links.

    Raises:
        TaxonomyError: there is no such folder.
    """
    if not root.is_dir():
        raise TaxonomyError(f"there is no taxonomy folder {root}", hint="labtune init makes one")
    for found in find_leaves(root, start):
        yield read_leaf(found) if isinstance(found, LeafFiles) else found


def read_taxonomy(root: Path) -> tuple[list[Leaf], list[Finding]]:
    """All error-free leaves sorted by path, and the findings of all files (without lint).

    Raises:
        TaxonomyError: there is no such folder.
    """
    leaves: list[Leaf] = []
    findings: list[Finding] = []
    for item in iterate_leaves(root):
        if isinstance(item, Finding):
            findings.append(item)
            continue
        findings.extend(item.findings)
        if item.leaf is not None:
            leaves.append(item.leaf)
    return sorted(leaves, key=lambda leaf: leaf.path), findings
