"""`student: NAME` and `student: {model, revision, mirror, offline}`."""

from __future__ import annotations

from pathlib import Path

import pytest

from labtune.config.layers import load
from labtune.errors import ConfigError


def lab_file(folder: Path, text: str) -> Path:
    path = folder / "labtune.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_word_is_the_model(tmp_path):
    loaded = load(lab_file(tmp_path, "student: org/bird\n"), environment={})
    assert loaded.lab.student.model == loaded.lab.student.name == str(loaded.lab.student) == "org/bird"
    assert (loaded.lab.student.revision, loaded.lab.student.offline) == (None, False)
    assert loaded.explain("student.model").origin == "labtune.yaml"


def test_all_of_it_can_be_said(tmp_path):
    text = "student: {model: org/bird, revision: v1.2, mirror: 'https://hub.example:8080', offline: true}\n"
    student = load(lab_file(tmp_path, text), environment={}).lab.student
    assert student.name == "org/bird@v1.2"
    assert (student.mirror, student.offline) == ("https://hub.example:8080", True)


def test_another_student_does_not_inherit_the_revision(tmp_path):
    file = lab_file(tmp_path, "student: {model: org/bird, revision: v1}\n")
    assert load(file, environment={}, overrides=["student=org/fish"]).lab.student.name == "org/fish"
    assert load(file, environment={}, overrides=["student.revision=v2"]).lab.student.name == "org/bird@v2"
    assert load(file, environment={"LABTUNE_STUDENT": "org/frog"}).lab.student.name == "org/frog"


def test_the_profile_follows_the_model(tmp_path):
    nano = load(lab_file(tmp_path, "student: {model: 'builtin:nano', offline: true}\n"), environment={})
    other = load(lab_file(tmp_path, "student: {model: org/bird}\n"), environment={})
    assert nano.explain("train.optimizer").origin == "profile nano"
    assert other.lab.train.optimizer == "adamw"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("student: {modell: org/bird}", "student.modell"),
        ("student: {model: org/bird, revision: 'v1; rm -rf'}", "student.revision"),
        ("student: {model: org/bird, mirror: hub.example}", "student.mirror"),
        ("student: {model: org/bird, offline: maybe}", "student.offline"),
        ("student: ''", "student.model"),
    ],
)
def test_what_cannot_be_meant_is_named(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        load(lab_file(tmp_path, text + "\n"), environment={})
