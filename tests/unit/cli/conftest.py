"""A simulated teacher in a process of its own, for the tests that generate with a model."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from benchmarks.simulated_teacher import Faults, TeacherConfig, TeacherProcess, teacher_process


@pytest.fixture(scope="module")
def process() -> Iterator[TeacherProcess]:
    with teacher_process(TeacherConfig(keep=True)) as teacher:
        yield teacher


@pytest.fixture
def teacher(process: TeacherProcess) -> TeacherProcess:
    process.set_faults(Faults())
    process.reset()
    return process
