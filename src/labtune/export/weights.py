"""Reading safetensors one tensor at a time, without torch: a model larger than memory can be converted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labtune.errors import ModelError
from labtune.models.weights import Entry, read_entries, weight_files

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
    return {
        name: _stored(file, name, entry)
        for file in weight_files(folder)
        for name, entry in read_entries(file).items()
    }


def _stored(file: Path, name: str, entry: Entry) -> StoredTensor:
    if entry.dtype not in _WIDTHS:
        raise ModelError(
            f"{name} in {file} is of type {entry.dtype}; only plain weights can be exported",
            hint="export a model whose weights are not quantised (f32, f16 or bf16)",
        )
    if entry.end - entry.start != math.prod(entry.shape) * _WIDTHS[entry.dtype]:
        raise ModelError(
            f"{file} is damaged: {name} does not fit the place that the header gives it",
            hint="fetch or train the model again",
        )
    return StoredTensor(file, entry.dtype, entry.shape, entry.start)
