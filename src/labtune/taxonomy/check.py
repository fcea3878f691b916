"""`check`: every finding about a file, a leaf, or a whole taxonomy. Leaves are read one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from labtune.errors import TaxonomyError
from labtune.taxonomy.discover import (
    ATTRIBUTION,
    EXAM,
    QNA,
    LeafFiles,
    find_leaves,
    kind_of,
    leaf_at,
    relative_name,
    root_of,
)
from labtune.taxonomy.exam import validate_exam
from labtune.taxonomy.fetch import GitCache
from labtune.taxonomy.form import check_form
from labtune.taxonomy.lint import DocumentTexts, check_documents
from labtune.taxonomy.lint import lint as lint_leaf
from labtune.taxonomy.problems import Point, Problems
from labtune.taxonomy.read import LeafRead, read_bytes, read_leaf
from labtune.taxonomy.validate import KINDS, LeafName, validate
from labtune.types import Finding


@dataclass(frozen=True, slots=True)
class CheckReport:
    """All findings, sorted by place. Their files are relative to `root`."""

    root: Path
    leaves: int
    exam_questions: int
    findings: tuple[Finding, ...]

    def count(self, severity: str) -> int:
        """Number of findings of one severity."""
        return sum(finding.severity == severity for finding in self.findings)

    @property
    def passed(self) -> bool:
        """True without errors; warnings do not count."""
        return not any(finding.severity == "error" for finding in self.findings)

    @property
    def fixable(self) -> int:
        """Number of findings that `--fix` mends."""
        return sum(finding.fixable for finding in self.findings)


@dataclass(slots=True)
class _Counts:
    leaves: int = 0
    exam_questions: int = 0


def check(
    path: Path, *, lint: bool = True, root: Path | None = None, cache: GitCache | None = None
) -> CheckReport:
    """Check a taxonomy, a folder in it, one leaf folder, or one file.

    Args:
        path: what to check.
        lint: whether to look for what is valid and probably wrong as well, and at form.
        root: the taxonomy that `path` belongs to; None = found by the names of the folders above.
        cache: where git documents lie when they were fetched before; nothing is fetched here.

    Raises:
        TaxonomyError: `path` does not exist.
    """
    path = path.absolute()
    if not path.exists():
        raise TaxonomyError(f"there is no {path}", hint="labtune check FOLDER   or a qna.yaml")
    base = taxonomy_around(path, root)
    if path.is_file() and path.name not in (QNA, EXAM, ATTRIBUTION):
        return _check_lone_file(path, base)
    counts, findings = _Counts(), []
    texts = DocumentTexts(cache or GitCache.default())
    shown = base if base is not None else (path if path.is_dir() else path.parent)
    for item in find_files(path, base):
        if isinstance(item, Finding):
            findings.append(item)
            continue
        read = read_leaf(item)
        counts.leaves += 1
        counts.exam_questions += len(read.exam_items)
        findings.extend(_check_leaf(read, texts, lint=lint))
        shown = item.root
    if not counts.leaves and all(finding.severity != "error" for finding in findings):
        problems = Problems(".")
        mend = "labtune new knowledge PATH --document FILE   writes one"
        problems.add("P104", Point(), f"no {QNA} in {path.name}", "at least one leaf", mend)
        findings.extend(problems.findings)
    return CheckReport(shown, counts.leaves, counts.exam_questions, _sorted(findings))


def taxonomy_around(path: Path, root: Path | None) -> Path | None:
    """The named root when the path lies in it or above it, else what the names of the folders say."""
    if root is not None:
        named = root.absolute()
        if path.is_relative_to(named) or named.is_relative_to(path):
            return named
    return taxonomy_of(path)


def taxonomy_of(path: Path) -> Path | None:
    """The taxonomy root that a path is, lies in, or holds as `taxonomy/`; None for a leaf on its own."""
    if path.is_dir():
        for candidate in (path, path / "taxonomy"):
            if any((candidate / top).is_dir() for top in KINDS) and not (candidate / QNA).exists():
                return candidate
    return root_of(path if path.is_dir() else path.parent)


def find_files(path: Path, root: Path | None) -> Iterator[LeafFiles | Finding]:
    """The leaves that a path stands for."""
    folder = path if path.is_dir() else path.parent
    if path.is_file() or (root is None and (folder / QNA).is_file()):
        yield leaf_at(folder, root)
        return
    base = root if root is not None else folder
    yield from find_leaves(base, folder if folder.is_relative_to(base) else base)


def _check_leaf(read: LeafRead, texts: DocumentTexts, *, lint: bool) -> list[Finding]:
    located = check_documents(read, texts)
    findings = list(read.findings)
    if not lint:
        return findings
    for validation in (read.validation, read.exam):
        if validation is not None and validation.text is not None:
            problems = Problems(validation.problems.file)
            check_form(validation.text, validation.root, problems)
            findings.extend(problems.findings)
    findings.extend(lint_leaf(read, located, texts))
    return findings


def _check_lone_file(path: Path, root: Path | None) -> CheckReport:
    """A file of another name: read it as what its name is nearest to, and say what it should be called."""
    base = root if root is not None else path.parent
    problems = Problems(relative_name(base, path))
    exam = path.name.lower().startswith("exam")
    right = EXAM if exam else QNA
    problems.add("P101", Point(), f"the name {path.name!r}", right, f"rename it to {right}")
    data = read_bytes(path, problems)
    findings = list(problems.findings)
    if data is not None and exam:
        findings.extend(validate_exam(data, problems.file).problems.findings)
    elif data is not None:
        leaf = relative_name(base, path.parent)
        name = LeafName(leaf, problems.file, kind_of(leaf))
        findings.extend(validate(data, name).problems.findings)
    return CheckReport(base, 1, 0, _sorted(findings))


def _sorted(findings: list[Finding]) -> tuple[Finding, ...]:
    return tuple(
        sorted(findings, key=lambda item: (item.source.file, item.source.line, item.source.column, item.code))
    )
