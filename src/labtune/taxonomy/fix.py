"""`--fix`: mends what is mechanical by editing the text in place. Comments and layout stay as they are."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from labtune.artifact import write_bytes
from labtune.errors import TaxonomyError
from labtune.taxonomy.check import find_files, taxonomy_around
from labtune.taxonomy.decode import decode
from labtune.taxonomy.discover import EXAM, QNA, LeafFiles
from labtune.taxonomy.exam import validate_exam
from labtune.taxonomy.form import check_form, line_break
from labtune.taxonomy.problems import Edit, Problems
from labtune.taxonomy.read import read_bytes
from labtune.taxonomy.validate import LeafName, validate
from labtune.taxonomy.yaml_nodes import Node, read_nodes

MAX_ROUNDS = 10
_BOM = "\ufeff"
_INDENT_WITH_TABS = re.compile(r"^[ ]*\t[ \t]*", re.MULTILINE)
Look = Callable[[str], tuple[Problems, Node | None]]


@dataclass(frozen=True, slots=True)
class FixedFile:
    """A file that was changed, and what was changed in it, in words."""

    path: Path
    changes: tuple[str, ...]


def fix(path: Path, *, root: Path | None = None) -> list[FixedFile]:
    """Mend every `qna.yaml` and `exam.yaml` that a path stands for; each file is replaced atomically.

    Args:
        path: a taxonomy, a folder in it, a leaf, or one file.
        root: the taxonomy; None = found by the names of the folders above.

    Raises:
        TaxonomyError: `path` does not exist, or a file cannot be written.
    """
    path = path.absolute()
    if not path.exists():
        raise TaxonomyError(f"there is no {path}", hint="labtune check --fix FOLDER   or a qna.yaml")
    base = taxonomy_around(path, root)
    wanted = path.name if path.is_file() else None
    fixed: list[FixedFile] = []
    for item in find_files(path, base):
        if isinstance(item, LeafFiles):
            for name in (QNA, EXAM):
                file = item.folder / name
                if wanted in (None, name) and file.is_file():
                    fixed.extend(_fix_file(file, item.name))
    return fixed


def fix_qna(data: bytes, name: LeafName) -> tuple[bytes, list[str]]:
    """The mended bytes of a `qna.yaml` and the changes; the same bytes when there is nothing to mend."""

    def look(text: str) -> tuple[Problems, Node | None]:
        result = validate(text, name)
        return result.problems, result.root

    return _fix_bytes(data, look)


def fix_exam(data: bytes) -> tuple[bytes, list[str]]:
    """The mended bytes of an `exam.yaml` and the changes."""

    def look(text: str) -> tuple[Problems, Node | None]:
        result = validate_exam(text, EXAM)
        return result.problems, result.root

    return _fix_bytes(data, look)


def _fix_file(file: Path, name: LeafName) -> list[FixedFile]:
    data = read_bytes(file, Problems(file.name))
    if data is None:
        return []
    mended, changes = fix_exam(data) if file.name == EXAM else fix_qna(data, name)
    if mended == data:
        return []
    try:
        write_bytes(file.resolve(), mended)
    except OSError as error:
        raise TaxonomyError(f"{file} cannot be written: {error.strerror}") from error
    return [FixedFile(file, tuple(changes))]


def _fix_bytes(data: bytes, look: Look) -> tuple[bytes, list[str]]:
    text = decode(data, Problems(""))
    if text is None:
        return data, []
    changes: list[str] = []
    current = _without_tabs(text, changes)
    for _ in range(MAX_ROUNDS):
        problems, node = look(current)
        check_form(current, node, problems)
        if not problems.edits:
            break
        proposal, done = _apply(current, problems.edits)
        if _errors(look(proposal)[0]) > _errors(problems):
            # An edit that makes things worse is no mend; leave the rest to the person.
            break
        current = proposal
        changes.extend(done)
    mended = current.encode()
    if data.startswith(_BOM.encode()):
        mended = _BOM.encode() + mended
    return mended, list(dict.fromkeys(changes))


def _errors(problems: Problems) -> int:
    return sum(finding.severity == "error" for finding in problems.findings)


def _apply(text: str, edits: list[Edit]) -> tuple[str, list[str]]:
    newline = line_break(text)
    pieces: list[str] = []
    done: list[str] = []
    position = 0
    for edit in sorted(set(edits)):
        if edit.start < position:
            continue
        pieces.append(text[position : edit.start])
        pieces.append(edit.text.replace("\r\n", "\n").replace("\n", newline))
        position = edit.end
        line = text.count("\n", 0, edit.start) + 1
        done.append(f"line {line}: {edit.summary}")
    pieces.append(text[position:])
    return "".join(pieces), done


def _without_tabs(text: str, changes: list[str]) -> str:
    """Indentation by tabs is not YAML: replaced when that makes the file readable, and only then."""
    if "\t" not in text or read_nodes(text, Problems("")) is not None:
        return text
    for width in (2, 4):
        spaces = " " * width
        proposal = _INDENT_WITH_TABS.sub(lambda found: found.group().replace("\t", spaces), text)  # noqa: B023
        if proposal != text and read_nodes(proposal, Problems("")) is not None:
            changes.append(f"replaced tabs by {width} spaces in the indentation")
            return proposal
    return text
