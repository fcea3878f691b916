"""Finds the leaves of a taxonomy on disk. Links may not lead out of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from labtune.taxonomy.problems import Point, Problems
from labtune.taxonomy.validate import KINDS, LeafName
from labtune.types import Finding, LeafKind

QNA, EXAM, ATTRIBUTION = "qna.yaml", "exam.yaml", "attribution.txt"
_MISNAMED = {"qna.yml": QNA, "qna.yaml": QNA, "exam.yml": EXAM, "exam.yaml": EXAM}
MAX_FOLDER_DEPTH = 40


@dataclass(frozen=True, slots=True)
class LeafFiles:
    """One leaf on disk: its name (`name.file` is relative to `root`) and its folder."""

    root: Path
    folder: Path
    name: LeafName

    def relative(self, file: str) -> str:
        """The name of a file of this leaf in findings."""
        return relative_name(self.root, self.folder / file)


def relative_name(root: Path, path: Path) -> str:
    """POSIX path below the root."""
    return path.relative_to(root).as_posix()


def kind_of(path: str) -> LeafKind | None:
    """The kind that the first folder of a leaf path says."""
    return KINDS.get(path.split("/", 1)[0])


def root_of(path: Path) -> Path | None:
    """The taxonomy that a file or folder belongs to: the parent of the deepest top folder above it."""
    absolute = path.absolute()
    for candidate in (absolute, *absolute.parents):
        if candidate.name in KINDS:
            return candidate.parent
    return None


def leaf_at(folder: Path, root: Path | None) -> LeafFiles:
    """The leaf in a folder, inside a taxonomy or on its own (`root` None)."""
    base = root if root is not None else folder
    path = folder.relative_to(base).as_posix() if folder != base else folder.name
    return LeafFiles(base, folder, LeafName(path, relative_name(base, folder / QNA), kind_of(path)))


def find_leaves(root: Path, start: Path | None = None) -> Iterator[LeafFiles | Finding]:
    """Leaves below `start` (default: the whole taxonomy), sorted by path, and findings about names and links.

    Hidden folders are skipped, folder links are not followed, a `qna.yaml` outside the three top folders is
    a warning.
    """
    real_root = root.resolve()
    stack: list[tuple[Path, int]] = [(start if start is not None else root, 0)]
    while stack:
        folder, depth = stack.pop()
        problems = Problems(relative_name(root, folder))
        subfolders: list[Path] = []
        names: set[str] = set()
        try:
            with os.scandir(folder) as entries:
                for entry in sorted(entries, key=lambda item: item.name):
                    _sort_entry(entry, Path(folder), names, subfolders, problems)
        except OSError as error:
            problems.add("Y101", Point(), f"{error.strerror}", "a readable folder", "check its permissions")
        leaf = leaf_at(folder, root) if QNA in names else None
        if leaf is not None and _link_leaves(folder / QNA, real_root):
            problems.file = leaf.name.file
            found = "a link to a file outside the taxonomy"
            problems.add("P102", Point(), found, "a file", "copy the file here")
            leaf = None
        if leaf is not None and leaf.name.kind is None:
            problems.file = leaf.name.file
            problems.add(
                "P103",
                Point(),
                "a leaf outside the taxonomy's folders; it is ignored",
                ", ".join(KINDS),
                "move the folder below one of these",
            )
            leaf = None
        if leaf is None and EXAM in names and QNA not in names:
            problems.file = relative_name(root, folder / EXAM)
            problems.add("P105", Point(), "an exam without a leaf", f"{QNA} beside it", f"add {QNA}")
        yield from problems.findings
        if leaf is not None:
            yield leaf
        if depth < MAX_FOLDER_DEPTH:
            stack.extend((subfolder, depth + 1) for subfolder in reversed(subfolders))


def _sort_entry(
    entry: os.DirEntry[str], folder: Path, names: set[str], subfolders: list[Path], problems: Problems
) -> None:
    if entry.name.startswith("."):
        return
    if entry.is_dir(follow_symlinks=False):
        subfolders.append(folder / entry.name)
    elif entry.is_dir():
        where = problems.file
        problems.file = f"{where}/{entry.name}".removeprefix("./")
        mend = "copy the folder, or move it here"
        problems.add("P103", Point(), "a link to a folder; it is not followed", "a folder", mend)
        problems.file = where
    elif entry.name.lower() in _MISNAMED:
        right = _MISNAMED[entry.name.lower()]
        if entry.name == right:
            names.add(entry.name)
            return
        where = problems.file
        problems.file = f"{where}/{entry.name}".removeprefix("./")
        found = f"the name {entry.name!r}; the file is ignored"
        problems.add("P101", Point(), found, right, f"rename it to {right}")
        problems.file = where


def _link_leaves(file: Path, real_root: Path) -> bool:
    return file.is_symlink() and not file.resolve().is_relative_to(real_root)
