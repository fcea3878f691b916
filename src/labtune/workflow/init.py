"""Making a lab: from a shipped example, from a taxonomy in a git repository, or empty."""

from __future__ import annotations

from importlib.resources import as_file, files
from importlib.resources.abc import Traversable
from pathlib import Path

from labtune.artifact import write_bytes, write_text
from labtune.errors import UserError
from labtune.workflow.lab import LAB_FILE

_EMPTY_LAB = """\
taxonomy: taxonomy         # folder with knowledge/, compositional_skills/, foundational_skills/
teacher: builtin           # or {endpoint: http://localhost:8000/v1, model: NAME}
student: builtin:nano      # or a local folder, or a hub id
recipe: lab                # knowledge-short, knowledge-long, skills, each with replay
exam: {from_seeds: 0.2}    # share of each leaf's seed questions kept for the exam
"""
_IGNORE = "runs/\n.labtune/\nchats/\n"
_ROOTS = ("knowledge", "compositional_skills", "foundational_skills")


def example_names() -> list[str]:
    """Names of the shipped examples, sorted."""
    return sorted(item.name for item in files("labtune.examples").iterdir() if (item / LAB_FILE).is_file())


def init_lab(folder: Path, *, example: str | None = None, taxonomy: str | None = None) -> list[Path]:
    """Make a lab in `folder`; nothing that exists is overwritten.

    Args:
        folder: made when missing.
        example: name of a shipped example to start from.
        taxonomy: URL of a git repository whose newest state becomes the lab's taxonomy.

    Returns:
        The files and folders made.

    Raises:
        UserError: `folder` is a lab already or holds one of the files; the example is unknown.
    """
    if example is not None and taxonomy is not None:
        raise UserError("a lab starts from an example or from a taxonomy, not from both")
    if (folder / LAB_FILE).exists():
        raise UserError(f"{folder} is a lab already", hint=f"cd {folder} && labtune run")
    if example is not None:
        return _copy_example(folder, example)
    made = [folder / LAB_FILE, folder / ".gitignore"]
    if taxonomy is not None:
        from labtune.taxonomy.fetch import clone_taxonomy

        clone_taxonomy(taxonomy, folder / "taxonomy")
        made.append(folder / "taxonomy")
    else:
        for root in _ROOTS:
            (folder / "taxonomy" / root).mkdir(parents=True, exist_ok=True)
            made.append(folder / "taxonomy" / root)
    write_text(folder / LAB_FILE, _EMPTY_LAB)
    _ignore_outputs(folder)
    return made


def _copy_example(folder: Path, name: str) -> list[Path]:
    known = example_names()
    if name not in known:
        raise UserError(f"there is no example {name!r}", hint=f"examples: {', '.join(known)}")
    source = files("labtune.examples") / name
    items = list(_walk(source, Path()))
    for place, _ in items:
        if (folder / place).exists():
            raise UserError(f"{folder / place} exists already", hint="choose an empty folder")
    for place, item in items:
        with as_file(item) as path:
            write_bytes(folder / place, path.read_bytes())
    _ignore_outputs(folder)
    return [folder / place for place, _ in items]


def _walk(item: Traversable, place: Path) -> list[tuple[Path, Traversable]]:
    found: list[tuple[Path, Traversable]] = []
    for child in sorted(item.iterdir(), key=lambda entry: entry.name):
        if child.name == "__pycache__" or child.name.endswith(".py"):
            continue
        if child.is_dir():
            found.extend(_walk(child, place / child.name))
        else:
            found.append((place / child.name, child))
    return found


def _ignore_outputs(folder: Path) -> None:
    path = folder / ".gitignore"
    if not path.exists():
        write_text(path, _IGNORE)
