"""Students from a (local) hub: fetched once, gone on with, pinned, offline, refused in one sentence."""

from __future__ import annotations

import json
import os
import shutil
import signal
import struct
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from labtune.config.lab import StudentConfig
from labtune.errors import ModelError
from labtune.models.student import licence_of, origin_of, resolve_student
from local_hub import MAIN, OLD, LocalHub, local_hub

CHUNK = 10 * 2**20
"""Bytes that the hub library reads at once."""


def write_model(folder: Path, *, rows: int = 8, fill: int = 1, licence: str = "apache-2.0") -> Path:
    """A folder that passes for a model as far as its headers go."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"vocab_size": rows, "hidden_size": 1024}))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "README.md").write_text(f"---\nlicense: {licence}\n---\n")
    body = bytes([fill]) * (rows * 1024 * 4)
    entry = {"dtype": "F32", "shape": [rows, 1024], "data_offsets": [0, len(body)]}
    header = json.dumps({"model.embed_tokens.weight": entry}).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + body)
    return folder


@pytest.fixture
def hub(tmp_path, monkeypatch):
    import huggingface_hub.constants as constants

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with local_hub() as served:
        served.models["org/bird", MAIN] = write_model(tmp_path / "served" / "main")
        served.models["org/bird", OLD] = write_model(tmp_path / "served" / "old", fill=2, licence="mit")
        yield served


def student(hub: LocalHub, **settings) -> StudentConfig:
    return StudentConfig(**{"model": "org/bird", "mirror": hub.address, **settings})


def test_fetched_once_and_then_never_asked_for_again(hub, tmp_path):
    events = []
    folder = resolve_student(student(hub), emit=lambda name, fields: events.append((name, dict(fields))))
    assert folder.name == MAIN
    names = {"README.md", "config.json", "model.safetensors", "tokenizer.json"}
    assert {path.name for path in folder.iterdir()} == names
    source = tmp_path / "served" / "main"
    assert all((folder / name).read_bytes() == (source / name).read_bytes() for name in names)
    assert events[-1][0] == "student.fetch"
    assert events[-1][1]["bytes"] == events[-1][1]["total"] == sum((source / n).stat().st_size for n in names)
    hub.asked.clear()
    assert resolve_student(student(hub)) == folder
    assert resolve_student(student(hub, offline=True)) == folder
    assert hub.asked == []


@pytest.mark.parametrize("revision", ["v1", OLD])
def test_a_revision_is_pinned_and_its_licence_told(hub, revision):
    pinned = student(hub, revision=revision)
    folder = resolve_student(pinned)
    origin = origin_of(pinned, folder)
    assert (origin.name, origin.revision, origin.licence) == (f"org/bird@{revision}", OLD, "mit")
    assert origin_of(student(hub), resolve_student(student(hub))).licence == "apache-2.0"


FETCH = """
import sys
from labtune.config.lab import StudentConfig
from labtune.models.student import resolve_student
print(resolve_student(StudentConfig(model="org/bird", mirror=sys.argv[1])))
"""


def test_what_was_fetched_before_a_kill_is_not_fetched_again(hub, tmp_path):
    source = write_model(tmp_path / "served" / "large", rows=6000)
    hub.models["org/bird", MAIN] = source
    size = (source / "model.safetensors").stat().st_size
    hub.stop_after = CHUNK + 1000
    environment = {**os.environ, "HF_HUB_CACHE": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "0"}
    child = subprocess.Popen([sys.executable, "-c", FETCH, hub.address], env=environment)
    blobs = tmp_path / "cache" / "models--org--bird" / "blobs"
    try:
        assert hub.silent.wait(60)
        for _ in range(500):
            if any(path.stat().st_size >= CHUNK for path in blobs.glob("*.labtune-part")):
                break
            child_is_waiting = child.poll() is None
            assert child_is_waiting
            hub.closing.wait(0.02)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    hub.stop_after = None
    folder = resolve_student(student(hub))
    assert hub.ranges == [None, f"bytes={CHUNK}-"]
    assert (folder / "model.safetensors").read_bytes() == (source / "model.safetensors").read_bytes()
    assert (folder / "model.safetensors").stat().st_size == size
    assert not list(blobs.glob("*.labtune-part"))


def test_a_part_that_is_not_what_the_hub_has_is_found_out(hub, tmp_path):
    import hashlib

    weights = (tmp_path / "served" / "main" / "model.safetensors").read_bytes()
    blobs = tmp_path / "cache" / "models--org--bird" / "blobs"
    blobs.mkdir(parents=True)
    part = blobs / f"{hashlib.sha256(weights).hexdigest()}.labtune-part"
    part.write_bytes(b"\0" * 500)
    with pytest.raises(ModelError, match="came damaged"):
        resolve_student(student(hub))
    assert not part.exists()
    assert (resolve_student(student(hub)) / "model.safetensors").read_bytes() == weights


def test_too_little_room_is_told_before_anything_is_fetched(hub, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(1000, 0, 1000))
    with pytest.raises(ModelError, match=r"takes .* GiB of disk, and 0\.0 GiB are free") as caught:
        resolve_student(student(hub))
    assert "HF_HOME" in str(caught.value.hint)
    assert hub.ranges == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's disk that is always full")
def test_a_full_disk_is_told_and_nothing_is_lost(hub, tmp_path):
    import hashlib

    weights = tmp_path / "served" / "main" / "model.safetensors"
    blobs = tmp_path / "cache" / "models--org--bird" / "blobs"
    blobs.mkdir(parents=True)
    part = blobs / f"{hashlib.sha256(weights.read_bytes()).hexdigest()}.labtune-part"
    part.symlink_to("/dev/full")
    with pytest.raises(ModelError, match="the disk is full; org/bird is not complete") as caught:
        resolve_student(student(hub))
    assert "what is there is kept" in str(caught.value.hint)
    part.unlink()
    assert (resolve_student(student(hub)) / "model.safetensors").read_bytes() == weights.read_bytes()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "org/nothing"}, "has no model org/nothing"),
        ({"revision": "v9"}, "has no revision 'v9'"),
        ({"model": "org/gated"}, "licence was accepted"),
        ({"offline": True}, "may not be asked"),
        ({"mirror": "http://127.0.0.1:9"}, "cannot be reached"),
        ({"model": "org/pickled"}, "no safetensors"),
        ({"model": "org/b--d"}, "is not a hub id"),
    ],
    ids=["no-model", "no-revision", "gated", "offline", "unreachable", "pickled", "no-id"],
)
def test_what_cannot_be_fetched_is_one_sentence(hub, tmp_path, settings, message):
    hub.gated.add("org/gated")
    pickled = write_model(tmp_path / "served" / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    hub.models["org/pickled", MAIN] = pickled
    with pytest.raises(ModelError, match=message) as caught:
        resolve_student(student(hub, **settings))
    assert caught.value.hint
    assert "\n" not in caught.value.message
    assert hub.ranges == []


def test_second_copies_of_the_weights_are_not_fetched(hub, tmp_path):
    source = tmp_path / "served" / "main"
    for name in ("consolidated.safetensors", "tekken.json", "training_args.bin", "model.gguf"):
        shutil.copy(source / "model.safetensors", source / name)
    folder = resolve_student(student(hub))
    assert {path.name for path in folder.iterdir()} == {
        "README.md",
        "config.json",
        "model.safetensors",
        "tokenizer.json",
    }


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: apache-2.0\n---\n# x", "apache-2.0"),
        ("---\nlicense: other\nlicense_name: bird-1\n---\n", "bird-1"),
        ("---\nlicense: [mit\n---\n", "LICENSE.txt"),
        ("---\n- a\n---\n", "LICENSE.txt"),
        ("# no metadata", "LICENSE.txt"),
        (None, "LICENSE.txt"),
    ],
)
def test_licence_of_a_folder(tmp_path, card, licence):
    (tmp_path / "LICENSE.txt").write_text("all of it")
    if card is not None:
        (tmp_path / "README.md").write_text(card)
    assert licence_of(tmp_path) == licence


def test_no_licence_is_none(tmp_path):
    assert licence_of(tmp_path) is None
