"""What a student is made of, read from `config.json` and the headers of its weights: no tensor is loaded.

A safetensors file begins with eight bytes (length of the header, little-endian) and the header, a JSON object
of name -> dtype, shape and place. Source: the format's description in huggingface/safetensors.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labtune.errors import ModelError

LARGEST_HEADER = 100_000_000
"""Bytes; the safetensors library refuses longer ones, too."""

_WRITING = ("o_proj", "down_proj", "out_proj", "output_linear", "dense", "wo", "w2", "c_proj")
"""Names of the linear layers whose result is added to the residual stream."""

_EXPERT = re.compile(r"\.experts\.\d+\.")

_TABLES = ("embed_tokens", "embed_in", "wte", "lm_head", "output_embeddings", "embed_out")


@dataclass(frozen=True, slots=True)
class Tensor:
    """One entry of a header. `dtype` is the format's name (`BF16`, ...)."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Numbers in it; packed 4-bit blocks (MXFP4) hold two to a byte."""
        numbers = math.prod(self.shape)
        return numbers * 2 if self.name.endswith("_blocks") and self.dtype == "U8" else numbers


@dataclass(frozen=True, slots=True)
class Matrix:
    """The weight of a linear layer.

    Attributes:
        outputs: width of its result.
        inputs: width of what it reads.
        writes: whether its result is added to the residual stream, so that nothing of it has to be kept.
        experts: how many of them lie in one tensor; 1 = it is an ordinary layer.
    """

    outputs: int
    inputs: int
    writes: bool
    experts: int = 1

    @property
    def size(self) -> int:
        """Parameters."""
        return self.outputs * self.inputs * self.experts


@dataclass(frozen=True, slots=True)
class Anatomy:
    """Shapes and counts of a student.

    Attributes:
        family: `model_type` of its configuration.
        parameters: all of them, shared ones once.
        matrices: the linear layers' weights, embedding and output left out.
        tables: parameters of embedding and output layer, once when they are one.
        vectors: parameters of norms and biases.
        layers: blocks, of whatever kind.
        attention_layers: blocks that hold an attention.
        hidden: width of the residual stream.
        heads: attention heads that ask.
        head_dim: width of a head.
        vocabulary: width of the logits.
        active_experts: experts that one token passes through; 1 where there are none.
        stored_bytes: size of the weights as they lie on disk.
    """

    family: str
    parameters: int
    matrices: tuple[Matrix, ...]
    tables: int
    vectors: int
    layers: int
    attention_layers: int
    hidden: int
    heads: int
    head_dim: int
    vocabulary: int
    active_experts: int
    stored_bytes: int

    @property
    def active(self) -> int:
        """Parameters of the linear layers, and of the output layer, that one token is multiplied with."""
        return self.vocabulary * self.hidden + sum(
            matrix.outputs * matrix.inputs * self._uses(matrix) for matrix in self.matrices
        )

    def _uses(self, matrix: Matrix) -> int:
        return min(matrix.experts, self.active_experts)

    def widths(self) -> tuple[float, float, float]:
        """Numbers that one token leaves behind in all layers: results read on, inputs of writers, gated ones.

        The third counts the inputs of the widest writer of each layer again, for the activation function
        between an MLP's two halves.
        """
        read = sum(one.outputs * self._uses(one) for one in self.matrices if not one.writes)
        written = sum(one.inputs * self._uses(one) for one in self.matrices if one.writes)
        gated = written - self.attention_layers * self.heads * self.head_dim
        return read, written, max(0, gated)


def read_anatomy(folder: Path) -> Anatomy:
    """Read the anatomy of the model in `folder`.

    Raises:
        ModelError: a file is missing, damaged or cut off, or the configuration says too little.
    """
    config = _read_config(folder / "config.json")
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ModelError(f"{folder} has no weights (*.safetensors)")
    tensors = [tensor for file in files for tensor in read_header(file)]
    return describe(config, tensors, stored_bytes=sum(file.stat().st_size for file in files), where=folder)


def describe(
    config: Mapping[str, Any], tensors: list[Tensor], *, stored_bytes: int, where: object
) -> Anatomy:
    """Put a configuration and the entries of the headers together; `where` is for the error's sentence.

    Raises:
        ModelError: the configuration lacks what every language model's has, or contradicts the weights.
    """
    inner = config.get("text_config")
    text: Mapping[str, Any] = inner if isinstance(inner, Mapping) else config
    hidden = _number(text, "hidden_size", where)
    heads = _number(text, "num_attention_heads", where)
    vocabulary = _number(text, "vocab_size", where)
    layers = _number(text, "num_hidden_layers", where)
    tables = sum(one.size for one in tensors if _is_table(one))
    if tables < vocabulary * hidden:
        raise ModelError(
            f"{where}: config.json says {vocabulary} tokens of width {hidden}, and the weights hold no "
            "embedding of that size",
            hint="fetch the model again; config.json and weights must be of one model",
        )
    matrices = tuple(_matrices(tensors))
    kinds = text.get("layer_types") or text.get("layers_block_type") or []
    without = sum(str(kind).startswith(("mamba", "linear", "conv")) for kind in kinds)
    parameters = sum(one.size for one in tensors if not one.name.endswith("_scales"))
    return Anatomy(
        family=str(config.get("model_type") or "unknown"),
        parameters=parameters,
        matrices=matrices,
        tables=tables,
        vectors=parameters - tables - sum(matrix.size for matrix in matrices),
        layers=layers,
        attention_layers=max(0, layers - without),
        hidden=hidden,
        heads=heads,
        head_dim=int(text.get("head_dim") or hidden // heads),
        vocabulary=vocabulary,
        active_experts=int(text.get("num_experts_per_tok") or 1),
        stored_bytes=stored_bytes,
    )


def read_header(file: Path) -> list[Tensor]:
    """The entries of a safetensors file.

    Raises:
        ModelError: it is not one, or it is shorter than its header says.
    """
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            start = stream.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
            if not 2 <= length <= min(LARGEST_HEADER, size - 8):
                raise ModelError(f"{file} is not a safetensors file, or it is cut off", hint=_AGAIN)
            header = json.loads(stream.read(length))
    except OSError as error:
        raise ModelError(f"{file} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ModelError(f"the header of {file} is damaged", hint=_AGAIN) from error
    tensors = list(_entries(header, file))
    end = max((_end(header[one.name]) for one in tensors), default=0)
    if size < 8 + length + end:
        raise ModelError(
            f"{file} is cut off: its header tells of {8 + length + end} bytes, {size} are there", hint=_AGAIN
        )
    return tensors


_AGAIN = "fetch the file again"


def _entries(header: Any, file: Path) -> Iterator[Tensor]:
    if not isinstance(header, dict):
        raise ModelError(f"the header of {file} is damaged", hint=_AGAIN)
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        if not isinstance(entry, dict) or not _counts(entry.get("shape")) or _end(entry) < 0:
            raise ModelError(f"the header of {file} is damaged: {name} has no shape or place", hint=_AGAIN)
        yield Tensor(name, str(entry.get("dtype")), tuple(entry["shape"]))


def _counts(value: object) -> bool:
    """Whether a value is a list of whole numbers that are not negative."""
    return isinstance(value, list) and all(isinstance(one, int) and one >= 0 for one in value)


def _end(entry: Mapping[str, Any]) -> int:
    """Where a tensor's bytes end, counted from the header's end; -1 when the entry does not say."""
    place = entry.get("data_offsets")
    return max(place) if _counts(place) and len(place) == 2 else -1


def _read_config(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(f"{path.parent} is not a model folder: it has no config.json") from error
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read as JSON") from error
    if not isinstance(value, dict):
        raise ModelError(f"{path} is not a configuration")
    return value


def _number(text: Mapping[str, Any], key: str, where: object) -> int:
    value = text.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ModelError(f"{where}: config.json has no usable {key}")
    return value


def _is_table(tensor: Tensor) -> bool:
    return any(part in _TABLES for part in tensor.name.split("."))


def _matrices(tensors: list[Tensor]) -> Iterator[Matrix]:
    """Linear weights; experts that lie in tensors of their own are counted together."""
    alone: Counter[tuple[str, int, int]] = Counter()
    for tensor in tensors:
        if _is_table(tensor) or tensor.name.endswith(("_scales", "bias")):
            continue
        writes = any(part.removesuffix("_blocks") in _WRITING for part in tensor.name.split("."))
        if tensor.name.endswith("_blocks"):
            # Experts x outputs x groups x packed halves.
            experts, outputs, *_rest = tensor.shape
            yield Matrix(outputs, tensor.size // max(1, experts * outputs), writes, experts)
        elif len(tensor.shape) == 3 and min(tensor.shape) > 1:
            experts, outputs, inputs = tensor.shape
            if not tensor.name.endswith(".weight"):
                # Bare parameters (gpt-oss) are multiplied from the other side.
                outputs, inputs = inputs, outputs
            yield Matrix(outputs, inputs, writes, experts)
        elif len(tensor.shape) == 2 and ".experts." in tensor.name:
            alone[(_EXPERT.sub(".experts.", tensor.name), *tensor.shape)] += 1
        elif len(tensor.shape) == 2:
            yield Matrix(tensor.shape[0], tensor.shape[1], writes)
    for (name, outputs, inputs), experts in alone.items():
        yield Matrix(outputs, inputs, any(part in _WRITING for part in name.split(".")), experts)
