from __future__ import annotations

import shutil

import pytest

from labtune.errors import ModelError
from labtune.models.student import resolve_student


def test_local_folder(tiny_student):
    assert resolve_student(str(tiny_student)) == tiny_student


@pytest.mark.parametrize(
    "reference", ["builtin:giant", "builtin:../nano", "./nowhere", "/no/such/place", "nowhere"]
)
def test_what_is_not_there_is_a_clear_error(reference, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError) as caught:
        resolve_student(reference)
    assert caught.value.hint


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.pth"])
def test_pickled_weights_are_refused(tiny_student, tmp_path, name):
    folder = shutil.copytree(tiny_student, tmp_path / "student")
    (folder / "model.safetensors").rename(folder / name)
    with pytest.raises(ModelError, match="can run code"):
        resolve_student(str(folder))


def test_folder_without_weights(tiny_student, tmp_path):
    folder = shutil.copytree(tiny_student, tmp_path / "student")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="has no weights"):
        resolve_student(str(folder))


def test_hub_model_without_network_says_what_to_do(tmp_path, monkeypatch):
    import huggingface_hub.constants

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match="may not be asked") as caught:
        resolve_student("labtune-nobody/no-such-model")
    assert "local folder" in str(caught.value.hint)
