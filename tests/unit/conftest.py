"""What the unit tests of all areas share. Being here also makes `tiny_model` importable."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_model import make_tiny_student


@pytest.fixture(scope="session")
def tiny_student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny student with random weights; copy it before changing anything."""
    return make_tiny_student(tmp_path_factory.mktemp("tiny") / "student")
