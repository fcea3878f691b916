"""What a GGUF file says about itself, read with suspicion: no number in it is believed before it is checked.

llama.cpp trusts a file's header and may end the whole process over a false one, so files are read here first.
Source: the GGUF specification (ggml, `docs/gguf.md`), versions 2 and 3, little-endian.
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labtune.errors import MissingDependencyError, ModelError

MAGIC = b"GGUF"
VERSIONS = (2, 3)
MOST_DIMENSIONS = 4
ALIGNMENT = 32
CONTROL, USER_DEFINED = 3, 4

_STRING, _ARRAY = 8, 9
_SCALARS = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<?",
    10: "<Q",
    11: "<q",
    12: "<d",
}
# The shortest possible entry: an empty key, a type and one byte; an empty name, no sides, a type, an offset.
_SHORTEST_ENTRY, _SHORTEST_TENSOR = 13, 24


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """The checked header of a GGUF file.

    Attributes:
        values: all key-value pairs; arrays are lists.
        tensors: shape of each tensor by name, sides in the order of the file.
    """

    path: Path
    values: Mapping[str, Any]
    tensors: Mapping[str, tuple[int, ...]]

    @property
    def architecture(self) -> str:
        """llama.cpp's name of the architecture."""
        return str(self.values.get("general.architecture", ""))

    @property
    def name(self) -> str:
        """The model's name, or the file's."""
        return str(self.values.get("general.name") or self.path.stem)

    @property
    def context_length(self) -> int | None:
        """Tokens that the model was made for; None when the file does not say."""
        found = self.values.get(f"{self.architecture}.context_length")
        return int(found) if found else None

    @property
    def original_context_length(self) -> int | None:
        """Tokens before positions are stretched, for files with two sets of rope factors; None for others."""
        if "rope_factors_long.weight" not in self.tensors:
            return None
        found = self.values.get(f"{self.architecture}.rope.scaling.original_context_length")
        return int(found) if found else None

    @property
    def chat_template(self) -> str:
        """The chat template, or an empty text."""
        return str(self.values.get("tokenizer.chat_template", ""))

    def control_tokens(self) -> list[str]:
        """Texts that the tokenizer turns into tokens by which chats are framed."""
        tokens = self.values.get("tokenizer.ggml.tokens", [])
        kinds = self.values.get("tokenizer.ggml.token_type", [])
        template = self.chat_template
        return [
            text
            for text, kind in zip(tokens, kinds, strict=False)
            if len(text) > 1
            and (kind == CONTROL or (kind == USER_DEFINED and text in template and not text.isspace()))
        ]


def read_header(path: Path) -> GgufHeader:
    """Read and check the header of a GGUF file.

    Raises:
        ModelError: no such file, no GGUF file, or its header says what cannot be.
        MissingDependencyError: the gguf package (sizes of the number formats) is not installed.
    """
    if not path.is_file():
        raise ModelError(f"there is no GGUF file {path}")
    size = path.stat().st_size
    if size < len(MAGIC):
        raise ModelError(f"{path} is not a GGUF file")
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            return _Reader(path, data, size).header()
        except (struct.error, UnicodeDecodeError, IndexError) as error:
            raise _false(path, "it ends in the middle of its header") from error


def _false(path: Path, what: str) -> ModelError:
    return ModelError(f"{path} is damaged or not honest: {what}", hint="fetch or export the file again")


class _Reader:
    """A cursor over the mapped file."""

    def __init__(self, path: Path, data: mmap.mmap, size: int) -> None:
        self.path, self.data, self.size, self.at = path, data, size, 0

    def header(self) -> GgufHeader:
        if self.data[:4] != MAGIC:
            raise ModelError(f"{self.path} is not a GGUF file")
        self.at = 4
        version = self._number("<I")
        if version not in VERSIONS:
            raise ModelError(f"{self.path} is GGUF version {version}; only 2 and 3 can be read")
        n_tensors, n_values = self._number("<Q"), self._number("<Q")
        if n_tensors * _SHORTEST_TENSOR + n_values * _SHORTEST_ENTRY > self.size:
            claim = f"it claims {n_tensors} tensors and {n_values} values, more than it can hold"
            raise _false(self.path, claim)
        values: dict[str, Any] = {}
        for _ in range(n_values):
            key = self._text()
            values[key] = self._value(self._number("<I"))
        if not values.get("general.architecture"):
            raise _false(self.path, "it names no architecture")
        return GgufHeader(self.path, values, self._tensors(n_tensors, values))

    def _tensors(self, count: int, values: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
        sizes = _quant_sizes()
        found: dict[str, tuple[int, ...]] = {}
        ends: list[tuple[int, str]] = []
        for _ in range(count):
            name = self._text()
            n_sides = self._number("<I")
            if not 0 < n_sides <= MOST_DIMENSIONS:
                raise _false(self.path, f"the tensor {name[:80]!r} has {n_sides} dimensions")
            sides = tuple(self._number("<Q") for _ in range(n_sides))
            kind, offset = self._number("<I"), self._number("<Q")
            if kind not in sizes:
                raise ModelError(f"{self.path}: {name[:80]!r} is in a number format ({kind}) not known here")
            block, width = sizes[kind]
            if name in found or not all(sides) or sides[0] % block:
                raise _false(self.path, f"the tensor {name[:80]!r} has the shape {sides}")
            found[name] = sides
            ends.append((offset + math.prod(sides) // block * width, name))
        alignment = values.get("general.alignment", ALIGNMENT)
        if not isinstance(alignment, int) or alignment <= 0:
            raise _false(self.path, f"its alignment is {alignment!r}")
        start = -(-self.at // alignment) * alignment
        last, name = max(ends, default=(0, ""))
        if start + last > self.size:
            raise _false(
                self.path, f"{name[:80]!r} would end at byte {start + last:,}, the file ends at {self.size:,}"
            )
        return found

    def _number(self, form: str) -> Any:
        (value,) = struct.unpack_from(form, self.data, self.at)
        self.at += struct.calcsize(form)
        return value

    def _text(self) -> str:
        length = self._number("<Q")
        if length > self.size - self.at:
            raise _false(self.path, f"a text of {length:,} bytes would end behind the file")
        text = self.data[self.at : self.at + length]
        self.at += length
        return text.decode("utf-8", errors="replace")

    def _value(self, kind: int, depth: int = 0) -> Any:
        if kind in _SCALARS:
            return self._number(_SCALARS[kind])
        if kind == _STRING:
            return self._text()
        if kind != _ARRAY or depth > 1:
            raise _false(self.path, f"a value of the unknown type {kind}")
        inner, count = self._number("<I"), self._number("<Q")
        width = struct.calcsize(_SCALARS[inner]) if inner in _SCALARS else 8
        if count * width > self.size - self.at:
            raise _false(self.path, f"a list of {count:,} values would end behind the file")
        if inner in _SCALARS:
            form = f"<{count}{_SCALARS[inner][1:]}"
            values = list(struct.unpack_from(form, self.data, self.at))
            self.at += count * width
            return values
        return [self._value(inner, depth + 1) for _ in range(count)]


def _quant_sizes() -> dict[int, tuple[int, int]]:
    try:
        import gguf
    except ImportError as error:
        raise MissingDependencyError.for_extra("gguf", "serve") from error
    return {int(kind): size for kind, size in gguf.GGML_QUANT_SIZES.items()}
