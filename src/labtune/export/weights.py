"""Reading safetensors one tensor at a time, without torch: a model larger than memory can be converted.

Source: the format's own description (8 bytes of length, a JSON header, then the tensors' bytes).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labtune.errors import ModelError
from labtune.models.weights import read_shapes, weight_files

if TYPE_CHECKING:
    import numpy as np

_WIDTHS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """Where one tensor lies. `start` is an offset from the beginning of the file, in bytes."""

    file: Path
    dtype: str
    shape: tuple[int, ...]
    start: int

    @property
    def n_values(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)

    def read(self) -> np.ndarray[Any, Any]:
        """Its values: float16 as they are, everything else as float32 (exact for bfloat16)."""
        import numpy as np

        stored = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}[self.dtype]
        raw = np.memmap(self.file, dtype=stored, mode="r", offset=self.start, shape=(self.n_values,))
        if self.dtype == "BF16":
            values = (raw.astype("<u4") << 16).view("<f4")
        elif self.dtype == "F16":
            values = np.array(raw)
        else:
            values = raw.astype("<f4")
        return values.reshape(self.shape)


def open_weights(folder: Path) -> dict[str, StoredTensor]:
    """All tensors of a model folder, by name.

    Raises:
        ModelError: no weights, a shard that the index names is missing, a damaged or truncated file, or
            numbers of a kind that cannot be converted (quantised weights).
    """
    tensors: dict[str, StoredTensor] = {}
    for file in weight_files(folder):
        read_shapes(file)
        tensors.update(_read_header(file))
    return tensors


def _read_header(file: Path) -> Iterator[tuple[str, StoredTensor]]:
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(length))
    for name, entry in header.items():
        if name != "__metadata__":
            yield name, _entry(file, name, entry, 8 + length)


def _entry(file: Path, name: str, entry: Any, data: int) -> StoredTensor:
    dtype, shape = str(entry["dtype"]), tuple(int(side) for side in entry["shape"])
    start, end = (int(offset) for offset in entry["data_offsets"])
    if dtype not in _WIDTHS:
        raise ModelError(
            f"{name} in {file} is of type {dtype}; only plain weights can be exported",
            hint="export a model whose weights are not quantised (f32, f16 or bf16)",
        )
    if not 0 <= start <= end or end - start != math.prod(shape) * _WIDTHS[dtype]:
        raise ModelError(
            f"{file} is damaged: {name} does not fit the place that the header gives it",
            hint="fetch or train the model again",
        )
    return StoredTensor(file, dtype, shape, data + start)
