"""What the first bytes of a GGUF file say, read without loading it.

Layout: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (version 2 and 3, little-endian).
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from labtune.errors import ModelError

MAGIC = b"GGUF"
MOST_KEYS = 4096
LONGEST_TEXT = 1 << 24
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_WHOLE = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 10: "<Q", 11: "<q"}
_TEXT, _ARRAY = 8, 9


def trained_context(path: Path) -> int | None:
    """Tokens that the model was trained to read; None when the file does not say.

    Raises:
        ModelError: it is no GGUF file, or its header is damaged.
    """
    try:
        with path.open("rb") as stream:
            return _context(stream)
    except FileNotFoundError as error:
        raise ModelError(f"there is no file {path}") from error
    except (OSError, struct.error, UnicodeDecodeError, ValueError) as error:
        raise ModelError(f"{path} is no usable GGUF file: {error}") from error


def _context(stream: BinaryIO) -> int | None:
    if stream.read(4) != MAGIC:
        raise ValueError("it does not begin with GGUF")
    version, _n_tensors, n_keys = struct.unpack("<IQQ", _exactly(stream, 20))
    if version not in {2, 3}:
        raise ValueError(f"its version is {version}, not 2 or 3")
    if n_keys > MOST_KEYS:
        raise ValueError(f"its header claims {n_keys} keys")
    for _ in range(n_keys):
        key = _text(stream)
        (kind,) = struct.unpack("<I", _exactly(stream, 4))
        if key.endswith(".context_length") and kind in _WHOLE:
            value: int = struct.unpack(_WHOLE[kind], _exactly(stream, _SIZES[kind]))[0]
            return value if value > 0 else None
        _skip(stream, kind)
    return None


def _skip(stream: BinaryIO, kind: int) -> None:
    if kind == _TEXT:
        _text(stream)
    elif kind == _ARRAY:
        inner, length = struct.unpack("<IQ", _exactly(stream, 12))
        if inner in _SIZES:
            stream.seek(_SIZES[inner] * length, 1)
        elif inner == _TEXT:
            for _ in range(length):
                _text(stream)
        else:
            raise ValueError(f"its header holds an array of unknown type {inner}")
    elif kind in _SIZES:
        stream.seek(_SIZES[kind], 1)
    else:
        raise ValueError(f"its header holds a value of unknown type {kind}")


def _text(stream: BinaryIO) -> str:
    (length,) = struct.unpack("<Q", _exactly(stream, 8))
    if length > LONGEST_TEXT:
        raise ValueError(f"its header claims a text of {length} bytes")
    return _exactly(stream, length).decode("utf-8", "replace")


def _exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise ValueError("it ends inside its header")
    return data
