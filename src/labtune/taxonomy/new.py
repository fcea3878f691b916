"""`labtune new`: a valid leaf to start from, with drafts quoted from the document where there is one."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from labtune.artifact import write_text
from labtune.errors import TaxonomyError
from labtune.taxonomy.discover import ATTRIBUTION, EXAM, QNA
from labtune.taxonomy.draft import DraftSeed, draft_seeds
from labtune.taxonomy.locate import SUFFIXES
from labtune.taxonomy.starters import STARTER_DOCUMENT, STARTER_SKILL, Words, words_for
from labtune.taxonomy.validate import KINDS

_FOLDERS = {"knowledge": ("knowledge",), "skill": ("compositional_skills", "foundational_skills")}
_FORBIDDEN = frozenset('\\:*?"<>|')


@dataclass(frozen=True, slots=True)
class _Plan:
    folder: Path
    leaf: str
    words: Words
    author: str


def new_leaf(
    root: Path,
    kind: Literal["knowledge", "skill"],
    path: str,
    *,
    document: Path | None = None,
    language: str = "en",
) -> Path:
    """Write a leaf that passes `check` and says in comments what to do next.

    Args:
        root: the taxonomy.
        kind: what the leaf teaches.
        path: its folder below the kind's top folder; the top folder may be named too
            (`foundational_skills/...` for a foundational skill).
        document: copied beside `qna.yaml`; five or more contexts are quoted from it. Knowledge only.
        language: of comments and starter text, `zh` or English for everything else; a document's own
            language decides the drafts.

    Returns:
        The `qna.yaml`.

    Raises:
        TaxonomyError: bad path, the leaf exists already, or a document for a skill.
        DocumentError: the document cannot be read or is too short to quote five contexts from.
    """
    folder = root / leaf_folder(kind, path)
    leaf = folder.relative_to(root).as_posix()
    if folder.exists() and any(folder.iterdir()):
        raise TaxonomyError(f"{folder} exists already", hint="choose another path, or edit what is there")
    if document is not None and kind == "skill":
        raise TaxonomyError("a document belongs to a knowledge leaf", hint=f"labtune new knowledge {path}")
    if document is not None and document.suffix.lower() not in SUFFIXES:
        known = ", ".join(sorted(SUFFIXES))
        raise TaxonomyError(f"{document.name} is not a kind of document labtune reads", hint=f"use {known}")
    plan = _Plan(folder, leaf, words_for(language), _author())
    files = _skill(plan, language) if kind == "skill" else _knowledge(plan, document, language)
    _place(folder, files, document)
    return folder / QNA


def leaf_folder(kind: Literal["knowledge", "skill"], path: str) -> str:
    """The folder of a leaf below the taxonomy root.

    Raises:
        TaxonomyError: the path is empty, leaves the taxonomy or holds forbidden characters.
    """
    parts = list(PurePosixPath(path.replace(os.sep, "/").strip("/")).parts)
    tops = _FOLDERS[kind]
    if parts and parts[0] in KINDS:
        if parts[0] not in tops:
            raise TaxonomyError(f"{path!r} is not below {' or '.join(tops)}", hint=f"leave {parts[0]!r} out")
        top = parts.pop(0)
    else:
        top = tops[0]
    for part in parts:
        odd = _FORBIDDEN & set(part) or not part.isprintable()
        if part in ("..", ".") or part.startswith((".", "-")) or odd:
            raise TaxonomyError(
                f"{part!r} cannot be a folder of a taxonomy", hint="use letters, digits and _"
            )
    if not parts or path.startswith(("/", "~")):
        raise TaxonomyError(f"{path!r} is not a path for a leaf", hint="such as science/animals/birds")
    return "/".join([top, *parts])


def _author() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "me"


def _place(folder: Path, files: dict[str, str], document: Path | None) -> None:
    """Make the folder at once: either the whole leaf is there or nothing."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=folder.parent) as temporary:
        made = Path(temporary) / "leaf"
        for name, text in files.items():
            write_text(made / name, text)
        if document is not None:
            shutil.copyfile(document, made / _document_name(document))
        if folder.exists():
            folder.rmdir()
        made.rename(folder)


def _document_name(document: Path) -> str:
    name = "".join("_" if character in _FORBIDDEN else character for character in document.name)
    reserved = (QNA, EXAM, ATTRIBUTION)
    return f"document-{name}" if name.startswith((".", "-")) or name in reserved else name


def _knowledge(plan: _Plan, document: Path | None, language: str) -> dict[str, str]:
    """The files of a knowledge leaf; without a document, a short starter text stands in for it."""
    files: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as temporary:
        source, name = document, ""
        if source is None:
            name = "document.md"
            source = Path(temporary) / name
            starter = STARTER_DOCUMENT["zh" if language == "zh" else "en"]
            files[name] = starter
            write_text(source, starter)
        else:
            name = _document_name(source)
        drafts = draft_seeds(source)
    words = plan.words
    domain = PurePosixPath(plan.leaf).parent.name.replace("_", " ")
    lines = [
        *_comments(words.knowledge),
        "version: 3",
        f"created_by: {quoted(plan.author)}",
        f"domain: {quoted(domain)}",
        f"document_outline: {quoted(drafts.title)}",
        "document:",
        f"  path: [{quoted(_escaped(name))}]",
        "seed_examples:",
    ]
    for seed in drafts.seeds:
        lines += _knowledge_seed(seed, words)
    files[QNA] = "\n".join(lines) + "\n"
    files[ATTRIBUTION] = _attribution(drafts.title, plan)
    return files


def _knowledge_seed(seed: DraftSeed, words: Words) -> list[str]:
    lines = ["  - context: |", *(f"      {line}".rstrip() for line in seed.context.split("\n"))]
    lines.append("    questions_and_answers:")
    for question, answer in seed.pairs:
        lines.append(f"      # draft: {words.draft}")
        lines.append(f"      - question: {quoted(question)}")
        lines.append(f"        answer: {quoted(answer)}")
    return lines


def _skill(plan: _Plan, language: str) -> dict[str, str]:
    task, pairs = STARTER_SKILL["zh" if language == "zh" else "en"]
    words = plan.words
    lines = [
        *_comments(words.skill),
        "version: 3",
        f"created_by: {quoted(plan.author)}",
        f"task_description: {quoted(task)}",
        "seed_examples:",
    ]
    for question, answer in pairs:
        lines.append(f"  # draft: {words.draft}")
        lines.append(f"  - question: {quoted(question)}")
        lines.append(f"    answer: {quoted(answer)}")
    return {QNA: "\n".join(lines) + "\n", ATTRIBUTION: _attribution(task, plan)}


def _attribution(title: str, plan: _Plan) -> str:
    return (
        f"Title of work: {title}\nLink to work: -\nRevision: -\n"
        f"License of the work: -\nCreator names: {plan.author}\n"
    )


def _comments(text: str) -> list[str]:
    return [f"# {line}".rstrip() for line in text.split("\n")]


def _escaped(name: str) -> str:
    """A file name as a pattern that matches just it."""
    return "".join(f"[{character}]" if character in "*?[" else character for character in name)


def quoted(text: str) -> str:
    """A YAML text on one line, in double quotes."""
    escaped = json.dumps(" ".join(text.split()), ensure_ascii=False)
    return "".join(
        character if character.isprintable() else f"\\U{ord(character):08X}" for character in escaped
    )
