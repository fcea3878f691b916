"""What a student is made of, read from `config.json` and the headers of its weights: no tensor is loaded."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from labtune.errors import ModelError
from labtune.models.weights import Shapes, read_object, read_shapes, weight_files

_WRITING = ("o_proj", "down_proj", "out_proj", "output_linear", "dense", "wo", "w2", "c_proj")
"""Names of the linear layers whose result is added to the residual stream."""

_EXPERT = re.compile(r"\.experts\.\d+\.")

_TABLES = ("embed_tokens", "embed_in", "wte", "lm_head", "output_embeddings", "embed_out")


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


class Widths(NamedTuple):
    """Numbers of one token, in all layers together.

    Attributes:
        fed: inputs of the layers that do not write into the residual stream.
        read: their results.
        written: inputs of those that do.
        gated: inputs of the MLPs' writers once more, for the activation function before them.
    """

    fed: int
    read: int
    written: int
    gated: int


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

    def widths(self) -> Widths:
        """Numbers that one token leaves behind in all layers."""
        fed = sum(one.inputs * self._uses(one) for one in self.matrices if not one.writes)
        read = sum(one.outputs * self._uses(one) for one in self.matrices if not one.writes)
        written = sum(one.inputs * self._uses(one) for one in self.matrices if one.writes)
        gated = written - self.attention_layers * self.heads * self.head_dim
        return Widths(fed, read, written, max(0, gated))


def read_anatomy(folder: Path) -> Anatomy:
    """Read the anatomy of the model in `folder`.

    Raises:
        ModelError: a file is missing, damaged or cut off, or the configuration says too little.
    """
    files = weight_files(folder)
    shapes: Shapes = {}
    for file in files:
        shapes |= read_shapes(file)
    size = sum(file.stat().st_size for file in files)
    return describe(read_object(folder / "config.json"), shapes, stored_bytes=size, where=folder)


def describe(config: Mapping[str, Any], shapes: Shapes, *, stored_bytes: int, where: object) -> Anatomy:
    """Put a configuration and the shapes of the weights together; `where` is for the error's sentence.

    Raises:
        ModelError: the configuration lacks what every language model's has, or contradicts the weights.
    """
    inner = config.get("text_config")
    text: Mapping[str, Any] = inner if isinstance(inner, Mapping) else config
    hidden = _number(text, "hidden_size", where)
    heads = _number(text, "num_attention_heads", where)
    vocabulary = _number(text, "vocab_size", where)
    layers = _number(text, "num_hidden_layers", where)
    tables = sum(math.prod(shape) for name, shape in shapes.items() if _is_table(name))
    if tables < vocabulary * hidden:
        raise ModelError(
            f"{where}: config.json says {vocabulary} tokens of width {hidden}, and the weights hold no "
            "embedding of that size",
            hint="take config.json and weights from the same model",
        )
    matrices = tuple(_matrices(shapes))
    kinds = text.get("layer_types") or text.get("layers_block_type") or []
    without = sum(str(kind).startswith(("mamba", "linear", "conv")) for kind in kinds)
    parameters = sum(_numbers(name, shape) for name, shape in shapes.items())
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


def _number(text: Mapping[str, Any], key: str, where: object) -> int:
    value = text.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ModelError(f"{where}: config.json has no usable {key}")
    return value


def _numbers(name: str, shape: tuple[int, ...]) -> int:
    """Numbers in a tensor; packed 4-bit blocks (MXFP4) hold two to a byte, and their scales are none."""
    if name.endswith("_scales"):
        return 0
    return math.prod(shape) * (2 if name.endswith("_blocks") else 1)


def _is_table(name: str) -> bool:
    return any(part in _TABLES for part in name.split("."))


def _matrices(shapes: Shapes) -> Iterator[Matrix]:
    """Linear weights; experts that lie in tensors of their own are counted together."""
    alone: Counter[tuple[str, int, int]] = Counter()
    for name, shape in shapes.items():
        if _is_table(name) or name.endswith(("_scales", "bias")):
            continue
        writes = any(part.removesuffix("_blocks") in _WRITING for part in name.split("."))
        if name.endswith("_blocks"):
            # Experts x outputs x groups x packed halves.
            experts, outputs, *_rest = shape
            yield Matrix(outputs, _numbers(name, shape) // max(1, experts * outputs), writes, experts)
        elif len(shape) == 3 and min(shape) > 1:
            experts, outputs, inputs = shape
            if not name.endswith(".weight"):
                # Bare parameters (gpt-oss) are multiplied from the other side.
                outputs, inputs = inputs, outputs
            yield Matrix(outputs, inputs, writes, experts)
        elif len(shape) == 2 and ".experts." in name:
            alone[(_EXPERT.sub(".experts.", name), shape[0], shape[1])] += 1
        elif len(shape) == 2:
            yield Matrix(shape[0], shape[1], writes)
    for (name, outputs, inputs), experts in alone.items():
        yield Matrix(outputs, inputs, any(part in _WRITING for part in name.split(".")), experts)
