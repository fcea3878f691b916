"""Numbers into the bytes of a `ggml` type: plain types and old blocks in numpy, K-quants by llama.cpp.

The K-quant kernels are C functions of llama.cpp that the xllamacpp wheel exports; they are called directly,
so no second program and no intermediate file is needed.
"""

from __future__ import annotations

import ctypes
import math
from typing import TYPE_CHECKING, Any

from labtune.errors import ExportError, MissingDependencyError

if TYPE_CHECKING:
    import numpy as np

    Values = np.ndarray[Any, Any]

LARGEST_F16 = 65504.0
_BLOCKS = {"f32": 1, "f16": 1, "bf16": 1}
_K_BLOCK, _OLD_BLOCK = 256, 32


def fitting_kind(kind: str, row: int) -> str:
    """The type itself, or q8_0 or f16 when rows of this length do not fill its blocks."""
    if row % _block(kind) == 0:
        return kind
    return "q8_0" if row % _OLD_BLOCK == 0 else "f16"


def encoded_size(kind: str, shape: tuple[int, ...]) -> int:
    """Bytes that a tensor takes as `kind`."""
    import gguf

    block, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind.upper()]]
    return math.prod(shape) // block * size


def encode(values: Values, kind: str, name: str) -> Values:
    """The bytes of a tensor as GGUF stores them.

    Args:
        values: float16 or float32.
        kind: the `ggml` type; its blocks divide the rows.
        name: the tensor's name, for messages.

    Raises:
        ExportError: a value is no number, or does not fit float16.
        MissingDependencyError: a K-quant is wanted, and xllamacpp is not installed.
    """
    import gguf
    import numpy as np

    wide = np.ascontiguousarray(values, dtype=np.float32)
    largest = float(np.abs(wide).max()) if wide.size else 0.0
    if not math.isfinite(largest):
        raise ExportError(f"{name} holds values that are no numbers: the training of this model has failed")
    if kind == "f16" and largest > LARGEST_F16:
        raise ExportError(
            f"{name} holds {largest:g}, which float16 cannot hold", hint="--type bf16, q8_0 or f32"
        )
    if kind.endswith("_k"):
        return _by_kernel(wide, kind)
    return gguf.quants.quantize(wide, gguf.GGMLQuantizationType[kind.upper()])


def kernels() -> ctypes.CDLL:
    """llama.cpp's functions.

    Raises:
        MissingDependencyError: xllamacpp is not installed.
        ExportError: this build of xllamacpp does not export them.
    """
    try:
        from xllamacpp import xllamacpp
    except ImportError as error:
        raise MissingDependencyError.for_extra("xllamacpp (llama.cpp)", "serve") from error
    library = ctypes.CDLL(xllamacpp.__file__)
    if not hasattr(library, "ggml_quantize_chunk"):
        raise ExportError(
            "this build of xllamacpp does not offer llama.cpp's quantiser", hint="--type q8_0, q5_1 or q4_0"
        )
    library.ggml_quantize_chunk.restype = ctypes.c_size_t
    library.ggml_quantize_chunk.argtypes = [
        ctypes.c_int,
        ctypes.c_void_p,
        ctypes.c_void_p,
        ctypes.c_int64,
        ctypes.c_int64,
        ctypes.c_int64,
        ctypes.c_void_p,
    ]
    return library


def _by_kernel(values: Values, kind: str) -> Values:
    import gguf
    import numpy as np

    number = gguf.GGMLQuantizationType[kind.upper()]
    row = values.shape[-1]
    block, size = gguf.GGML_QUANT_SIZES[number]
    packed = np.empty((*values.shape[:-1], row // block * size), dtype=np.uint8)
    rows = values.size // row
    written = kernels().ggml_quantize_chunk(
        int(number), values.ctypes.data, packed.ctypes.data, 0, rows, row, None
    )
    if written != packed.nbytes:
        raise ExportError(f"llama.cpp's quantiser wrote {written} bytes of {kind}, not {packed.nbytes}")
    return packed


def _block(kind: str) -> int:
    return _K_BLOCK if kind.endswith("_k") else _BLOCKS.get(kind, _OLD_BLOCK)
