"""A lab's student: its folder, fetched before any stage begins when it comes from a hub."""

from __future__ import annotations

import shutil
from pathlib import Path

from labtune.artifact import content_hash, write_text
from labtune.errors import ConfigError
from labtune.types import Emit, no_events
from labtune.workflow.lab import Lab

STUDENTS = "students"
"""Folder of the lab's cache for students that got a template from the lab."""

_TEMPLATES = ("chat_template.jinja", "chat_template.json")


def locate_student(lab: Lab, emit: Emit = no_events) -> Path:
    """The folder of the model that the lab tunes; a relative path is looked for in the lab first.

    Raises:
        ModelError: see `models.student.resolve_student`.
        ConfigError: the file of `student.template` cannot be read.
    """
    from labtune.models.student import resolve_student

    student = lab.config.lab.student
    folder = resolve_student(student, base=lab.root, emit=emit)
    return folder if student.template is None else _with_template(lab, folder, student.template)


def _with_template(lab: Lab, folder: Path, name: str) -> Path:
    """A folder of links to a student's files, with another template among them.

    Its last name is the student's own, which tells the commit of a hub model.
    """
    file = lab.root / Path(name).expanduser()
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"student.template: {file} cannot be read: {error}") from error
    place = lab.cache_dir / STUDENTS / content_hash(str(folder.resolve()), text)[:16] / folder.name
    if place.is_dir():
        return place
    fresh = place.with_name(f".{place.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    for path in sorted(folder.resolve().iterdir()):
        if path.is_file() and path.name not in _TEMPLATES:
            (fresh / path.name).symlink_to(path.resolve())
    write_text(fresh / _TEMPLATES[0], text)
    fresh.rename(place)
    return place
