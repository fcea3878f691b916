"""Which files a knowledge leaf's documents are: local globs, or patterns in a git checkout."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from labtune.errors import DocumentError
from labtune.taxonomy.discover import ATTRIBUTION, EXAM, QNA
from labtune.taxonomy.fetch import GitCache
from labtune.taxonomy.patterns import pattern_fault
from labtune.types import DocumentSource

SUFFIXES = frozenset(
    {".md", ".markdown", ".txt", ".text", ".html", ".htm", ".docx", ".pptx", ".xlsx", ".pdf"}
)
MAX_FILES = 200_000
_LFS = b"version https://git-lfs.github.com/spec/"


@dataclass(frozen=True, slots=True)
class LocatedDocument:
    """A file to read, and what a citation calls it."""

    path: Path
    uri: str


def locate_documents(
    source: DocumentSource, folder: Path, root: Path, *, cache: GitCache
) -> list[LocatedDocument]:
    """The documents of a leaf, sorted; a git repository is fetched when it is not in the cache.

    Args:
        source: what `qna.yaml` says.
        folder: the leaf's folder, which local patterns may not leave.
        root: the taxonomy, to which citations of local documents are relative.
        cache: where git checkouts lie.

    Raises:
        DocumentError: nothing matches, a pattern or link leaves its folder, or the fetch failed.
    """
    if source.repo is None:
        files = match_files(folder, source.patterns)
        return [LocatedDocument(file, file.relative_to(root).as_posix()) for file in files]
    checkout = cache.checkout(source.repo, source.commit or "")
    name = f"{re.sub(r'://[^/@]+@', '://', source.repo)}@{(source.commit or '')[:12]}"
    return [
        LocatedDocument(file, f"{name}:{file.relative_to(checkout).as_posix()}")
        for file in match_files(checkout, source.patterns)
    ]


def match_files(folder: Path, patterns: tuple[str, ...]) -> list[Path]:
    """Readable documents below `folder` that match any pattern (`*`, `?`, `[...]`, `**`), sorted.

    Raises:
        DocumentError: a pattern matches nothing, or what it matches lies outside `folder`.
    """
    found: set[Path] = set()
    for pattern in patterns:
        fault = pattern_fault(pattern)
        if fault:
            raise DocumentError(f"refused {fault[0]}", hint=f"expected {fault[1]}")
        matched = list(_match(folder, pattern))
        usable = [file for file in matched if file.suffix.lower() in SUFFIXES]
        if not usable:
            others = sorted({file.suffix.lower() or "no suffix" for file in matched})
            what = f"only files of other kinds ({', '.join(others[:5])})" if matched else "no file"
            raise DocumentError(
                f"the pattern {pattern!r} matches {what} in {folder}",
                hint=f"documents are {', '.join(sorted(SUFFIXES))}; ** matches folders at any depth",
            )
        for file in usable:
            _check_place(file, folder)
            found.add(file)
    return sorted(found)


def _match(folder: Path, pattern: str) -> Iterator[Path]:
    parts = pattern.replace("\\", "/").split("/")
    if not re.search(r"[*?\[]", pattern):
        file = folder.joinpath(*parts)
        if file.is_file():
            yield file
        return
    if parts[-1] == "**":
        parts.append("*")
    for name in _walk(folder, deep=len(parts) > 1):
        if _matches(parts, name.split("/")):
            yield folder / name


def _matches(pattern: list[str], path: list[str]) -> bool:
    if not pattern:
        return not path
    if pattern[0] == "**":
        rest = pattern[1:]
        while rest and rest[0] == "**":
            rest = rest[1:]
        return any(_matches(rest, path[start:]) for start in range(len(path) + 1))
    return bool(path) and fnmatchcase(path[0], pattern[0]) and _matches(pattern[1:], path[1:])


def _walk(folder: Path, *, deep: bool) -> Iterator[str]:
    count = 0
    for current, folders, files in os.walk(folder, followlinks=False):
        base = Path(current).relative_to(folder).as_posix()
        folders[:] = sorted(name for name in folders if not name.startswith(".")) if deep else []
        for name in sorted(files):
            count += 1
            if count > MAX_FILES:
                raise DocumentError(f"{folder} holds more than {MAX_FILES:,} files", hint="name the files")
            if name.startswith(".") or (base == "." and name in (QNA, EXAM, ATTRIBUTION)):
                continue
            yield name if base == "." else f"{base}/{name}"


def _check_place(file: Path, folder: Path) -> None:
    if not file.resolve().is_relative_to(folder.resolve()):
        raise DocumentError(
            f"{file.relative_to(folder)} is a link that leaves {folder}", hint="copy the document there"
        )
    with file.open("rb") as stream:
        if stream.read(len(_LFS)) == _LFS:
            raise DocumentError(
                f"{file} is a Git LFS pointer, not the document itself",
                hint="copy the document beside qna.yaml and use 'path:'",
            )
