"""Models that take turns leave nothing behind for the next; servers that stay are told."""

from __future__ import annotations

import gc
import os
import shutil
import weakref
from pathlib import Path
from typing import Any

import pytest

from labtune.models.device_memory import release_memory
from labtune.serving.records import ServerRecord, recorded, running
from labtune.workflow.lab import Lab
from labtune.workflow.voices import Voices

NO_PROCESS = 2**22 + 1
"""More than the largest process id of Linux."""
RECORD = ServerRecord(
    os.getpid(), "http://127.0.0.1:1/v1", "m", "the model of run 0001", "llama.cpp", "0001", None, "log"
)


@pytest.fixture
def lab(tmp_path: Path, tiny_student: Path) -> Lab:
    shutil.copytree(tiny_student, tmp_path / "student")
    (tmp_path / "taxonomy").mkdir()
    (tmp_path / "labtune.yaml").write_text("student: student\n")
    return Lab.open(tmp_path)


def test_a_model_that_is_dropped_is_gone(lab: Lab) -> None:
    with Voices(lab) as voices:
        first: Any = voices.open("base").speaker
        assert voices.open("base").speaker is first
        model = weakref.ref(first.model)
        del first
        voices.keep_only("base")
        assert model() is not None
        voices.keep_only("tuned")
        assert model() is None


def test_what_only_refers_to_itself_is_collected() -> None:
    class Model:
        pass

    gc.disable()
    try:
        model: Any = Model()
        model.itself = model
        gone = weakref.ref(model)
        del model
        assert gone() is not None
        release_memory()
        assert gone() is None
    finally:
        gc.enable()


def test_a_record_lives_as_long_as_its_server(tmp_path: Path) -> None:
    with recorded(tmp_path, RECORD):
        assert running(tmp_path) == [RECORD]
        mine = (tmp_path / f"{RECORD.pid}.json").read_text()
        (tmp_path / "dead.json").write_text(mine.replace(str(RECORD.pid), str(NO_PROCESS)))
        (tmp_path / "broken.json").write_text("{")
        assert running(tmp_path) == [RECORD]
        assert [path.name for path in tmp_path.glob("*.json")] == [f"{RECORD.pid}.json"]
    assert running(tmp_path) == []


def test_a_lab_says_who_works_in_it(lab: Lab) -> None:
    assert lab.busy_process() is None
    with lab.locked():
        assert lab.busy_process() == str(os.getpid())
    assert lab.busy_process() is None
