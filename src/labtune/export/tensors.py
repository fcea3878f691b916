"""The tensors of a checkpoint as llama.cpp names, orders and stores them.

Legend: a matrix has the shape (out, in), as in the checkpoint; GGUF lists the sides in reverse.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from labtune.errors import ExportError, ModelError
from labtune.export.layouts import OTHER_WAYS, Shape
from labtune.export.number_formats import NumberFormat
from labtune.export.quantise import fitting_kind
from labtune.export.weights import StoredTensor

if TYPE_CHECKING:
    import numpy as np

    Values = np.ndarray[Any, Any]

_OUTSIDE = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
_INSIDE = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "self_attn.qkv_proj": "attn_qkv",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "mlp.gate_up_proj": "ffn_up",
    "shared_mlp.output_linear": "ffn_down",
}
_LAYER = re.compile(r"model\.layers\.(\d+)\.(.+)\.(weight|bias)")
_COMPUTED = re.compile(r"(^|\.)rotary_emb\.inv_freq$")


@dataclass(frozen=True, slots=True)
class OutTensor:
    """One tensor of the GGUF file: its name and shape, how it is stored, where its values come from."""

    name: str
    shape: tuple[int, ...]
    kind: str
    values: Callable[[], Values]


def plan_tensors(stored: Mapping[str, StoredTensor], shape: Shape, kind: NumberFormat) -> list[OutTensor]:
    """All tensors of the file, in the order of the checkpoint's layers.

    Raises:
        ModelError: a tensor is missing or has another shape than config.json says.
        ExportError: a tensor is of no kind that llama.cpp knows for this architecture.
    """
    planned = list(_rope_tensors(shape))
    for name in sorted(stored, key=_place):
        if not (_COMPUTED.search(name) or (shape.tied and name == "lm_head.weight")):
            planned += [_with_kind(tensor, shape, kind) for tensor in _convert(name, stored[name], shape)]
    _check_whole({tensor.name: tensor.shape for tensor in planned}, shape)
    return planned


def permute_for_pairs(values: Values, heads: int) -> Values:
    """Reorder the rows of q or k: llama.cpp rotates rows 2i and 2i + 1, the checkpoint i and i + half."""
    rows = values.shape[0]
    return (
        values.reshape(heads, 2, rows // heads // 2, *values.shape[1:]).swapaxes(1, 2).reshape(values.shape)
    )


def _place(name: str) -> tuple[int, str]:
    found = _LAYER.fullmatch(name)
    return (int(found.group(1)), name) if found else (-1, name)


def _convert(name: str, stored: StoredTensor, shape: Shape) -> Iterator[OutTensor]:
    found = _LAYER.fullmatch(name)
    if found is None:
        if name not in _OUTSIDE:
            raise ExportError(f"the checkpoint holds {name}, which has no place in GGUF", hint=OTHER_WAYS)
        yield OutTensor(_OUTSIDE[name], stored.shape, "", stored.read)
        return
    layer, part, end = int(found.group(1)), found.group(2), found.group(3)
    block = f"blk.{layer}"
    if part == "shared_mlp.input_linear":
        yield from _split_gate(block, stored)
        return
    if part not in _INSIDE or layer >= shape.layers:
        raise ExportError(f"the checkpoint holds {name}, which has no place in GGUF", hint=OTHER_WAYS)
    heads = {"self_attn.q_proj": shape.heads, "self_attn.k_proj": shape.kv_heads}.get(part)
    read = partial(_read_permuted, stored, heads) if heads and shape.layout.interleaved else stored.read
    yield OutTensor(f"{block}.{_INSIDE[part]}.{end}", stored.shape, "", read)


def _read_permuted(stored: StoredTensor, heads: int) -> Values:
    return permute_for_pairs(stored.read(), heads)


def _split_gate(block: str, stored: StoredTensor) -> Iterator[OutTensor]:
    half = stored.shape[0] // 2
    sides = (half, *stored.shape[1:])
    yield OutTensor(f"{block}.ffn_gate.weight", sides, "", lambda: stored.read()[:half])
    yield OutTensor(f"{block}.ffn_up.weight", sides, "", lambda: stored.read()[half:])


def _with_kind(tensor: OutTensor, shape: Shape, kind: NumberFormat) -> OutTensor:
    """Norms and biases stay in float32; rows that no block divides fall back to a type that fits."""
    if len(tensor.shape) < 2:
        return OutTensor(tensor.name, tensor.shape, "f32", tensor.values)
    layer = int(tensor.name.split(".")[1]) if tensor.name.startswith("blk.") else 0
    name = kind.kind_of(tensor.name, layer, shape.layers)
    return OutTensor(tensor.name, tensor.shape, fitting_kind(name, tensor.shape[-1]), tensor.values)


def _rope_tensors(shape: Shape) -> Iterator[OutTensor]:
    kind = shape.scaling.get("kind")
    if kind == "factors":
        yield _constant("rope_freqs.weight", shape.scaling["factors"])
    elif kind == "longrope":
        yield _constant("rope_factors_long.weight", shape.scaling["long"])
        yield _constant("rope_factors_short.weight", shape.scaling["short"])


def _constant(name: str, values: Sequence[float]) -> OutTensor:
    def read() -> Values:
        import numpy as np

        return np.array(values, dtype=np.float32)

    return OutTensor(name, (len(values),), "f32", read)


def _check_whole(found: Mapping[str, tuple[int, ...]], shape: Shape) -> None:
    for name, wanted in _expected(shape):
        if name not in found:
            raise ModelError(f"the checkpoint is not whole: it lacks what GGUF calls {name}")
        if found[name] != wanted:
            raise ModelError(
                f"config.json and weights do not fit: {name} has the shape {found[name]}, not {wanted}",
                hint="the folder mixes files of two models; fetch or train it again",
            )


def _expected(shape: Shape) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Every matrix that llama.cpp must find, with its shape (the vocabulary's side is checked elsewhere)."""
    q, kv = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    yield "output_norm.weight", (shape.hidden,)
    for layer in range(shape.layers):
        block = f"blk.{layer}"
        yield f"{block}.attn_norm.weight", (shape.hidden,)
        yield f"{block}.ffn_norm.weight", (shape.hidden,)
        yield f"{block}.attn_output.weight", (shape.hidden, q)
        yield f"{block}.ffn_down.weight", (shape.hidden, shape.inner)
        if shape.layout.fused:
            yield f"{block}.attn_qkv.weight", (q + 2 * kv, shape.hidden)
            yield f"{block}.ffn_up.weight", (2 * shape.inner, shape.hidden)
            continue
        yield f"{block}.attn_q.weight", (q, shape.hidden)
        yield f"{block}.attn_k.weight", (kv, shape.hidden)
        yield f"{block}.attn_v.weight", (kv, shape.hidden)
        yield f"{block}.ffn_gate.weight", (shape.inner, shape.hidden)
        yield f"{block}.ffn_up.weight", (shape.inner, shape.hidden)
        if shape.layout.qk_norm:
            yield f"{block}.attn_q_norm.weight", (shape.head_dim,)
            yield f"{block}.attn_k_norm.weight", (shape.head_dim,)
