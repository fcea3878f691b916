"""Headers that lie, end early or name impossible sizes: one sentence each, before llama.cpp sees the file."""

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from exporting import export_to
from hypothesis import given, settings
from hypothesis import strategies as st

from labtune.builtin import NANO
from labtune.errors import ModelError
from labtune.models.gguf_header import read_header
from labtune.models.llamacpp import LlamaCppModel


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return export_to(NANO, tmp_path_factory.mktemp("gguf"), "q4_0", chats=()).path.read_bytes()


def write(folder: Path, data: bytes) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(data)
    return path


def test_a_whole_file_says_what_it_is(whole: bytes, tmp_path: Path) -> None:
    header = read_header(write(tmp_path, whole))
    assert header.architecture == "llama"
    assert header.name == "tiny"
    assert header.context_length == 1024
    assert header.tensors["blk.0.attn_q.weight"] == (256, 256)
    assert header.control_tokens() == ["<|pad|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"]


def number(at: int, form: str, value: int) -> Callable[[bytes], bytes]:
    """Write a number over what stands at a place."""
    packed = struct.pack(form, value)
    return lambda data: data[:at] + packed + data[at + len(packed) :]


LIES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "another kind of file": (lambda data: b"PK\3\4" + data[4:], "not a GGUF file"),
    "empty": (lambda data: b"", "not a GGUF file"),
    "a version of the future": (lambda data: data[:4] + struct.pack("<I", 9) + data[8:], "version 9"),
    "too many tensors": (
        lambda data: data[:8] + struct.pack("<Q", 1 << 40) + data[16:],
        "more than it can hold",
    ),
    "too many values": (
        lambda data: data[:16] + struct.pack("<Q", 1 << 62) + data[24:],
        "more than it can hold",
    ),
    "a key without end": (
        lambda data: data[:24] + struct.pack("<Q", 1 << 50) + data[32:],
        "would end behind",
    ),
    "cut off in the header": (lambda data: data[:3000], "would end|ends in the middle"),
    "cut off in the tensors": (lambda data: data[:-100_000], "the file ends at"),
    "a tensor far away": (
        lambda data: data.replace(_place(data, 0), _place(data, 1 << 40), 1),
        "would end at byte 1,099,",
    ),
}


def _place(data: bytes, offset: int) -> bytes:
    """The entry of the embedding: name, two sides, number format q8_0, where it begins."""
    name = b"token_embd.weight"
    return struct.pack("<Q", len(name)) + name + struct.pack("<IQQIQ", 2, 256, 5120, 8, offset)


@pytest.mark.parametrize("name", LIES)
def test_a_lie_is_told_in_one_sentence(name: str, whole: bytes, tmp_path: Path) -> None:
    lie, words = LIES[name]
    path = write(tmp_path, lie(whole))
    with pytest.raises(ModelError, match=words) as caught:
        LlamaCppModel.load(path)
    assert str(path) in caught.value.message


@settings(max_examples=60)
@given(st.integers(0, 4000), st.binary(min_size=1, max_size=8))
def test_no_damage_does_more_than_raise(
    whole: bytes, tmp_path_factory: pytest.TempPathFactory, at: int, noise: bytes
) -> None:
    path = write(tmp_path_factory.getbasetemp(), whole[:at] + noise + whole[at + len(noise) :])
    try:
        header = read_header(path)
    except ModelError as error:
        assert str(path) in error.message
    else:
        assert header.architecture


def test_no_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no GGUF file"):
        LlamaCppModel.load(tmp_path / "absent.gguf")
