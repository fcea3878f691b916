"""The number formats a model can be exported in: which matrix gets which type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from labtune.errors import UserError


@dataclass(frozen=True, slots=True)
class NumberFormat:
    """A number format of GGUF files.

    Attributes:
        name: as people write it.
        file_type: `general.file_type`, llama.cpp's `llama_ftype`.
        matrices: the type of most matrices, in `ggml`'s words.
        outer: the type of the embedding and the output matrix, which every token passes.
        finer: the type of the values' and the down projections in the layers that matter most.
    """

    name: str
    file_type: int
    matrices: str
    outer: str
    finer: str

    @property
    def kernels(self) -> bool:
        """Whether llama.cpp's own kernels are needed to write it."""
        return self.matrices.endswith("_k")

    def kind_of(self, tensor: str, layer: int, layers: int) -> str:
        """The type of one matrix, called as llama.cpp calls it, before its row length is looked at."""
        if tensor in ("token_embd.weight", "output.weight"):
            return self.outer
        if tensor.endswith((".attn_v.weight", ".attn_qkv.weight", ".ffn_down.weight")):
            return self.finer if _matters_more(layer, layers) else self.matrices
        return self.matrices


def _matters_more(layer: int, layers: int) -> bool:
    """First and last eighth, and every third between. Source: llama.cpp's `use_more_bits`."""
    eighth = layers // 8
    return layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2


FORMATS: Mapping[str, NumberFormat] = {
    kind.name: kind
    for kind in (
        NumberFormat("f32", 0, "f32", "f32", "f32"),
        NumberFormat("f16", 1, "f16", "f16", "f16"),
        NumberFormat("bf16", 32, "bf16", "bf16", "bf16"),
        NumberFormat("q8_0", 7, "q8_0", "q8_0", "q8_0"),
        NumberFormat("q5_1", 9, "q5_1", "q8_0", "q5_1"),
        NumberFormat("q5_0", 8, "q5_0", "q8_0", "q5_0"),
        NumberFormat("q4_1", 3, "q4_1", "q8_0", "q4_1"),
        NumberFormat("q4_0", 2, "q4_0", "q8_0", "q4_0"),
        NumberFormat("q6_k", 18, "q6_k", "q6_k", "q6_k"),
        NumberFormat("q5_k_m", 17, "q5_k", "q6_k", "q6_k"),
        NumberFormat("q5_k_s", 16, "q5_k", "q6_k", "q5_k"),
        NumberFormat("q4_k_m", 15, "q4_k", "q6_k", "q6_k"),
        NumberFormat("q4_k_s", 14, "q4_k", "q6_k", "q5_k"),
        NumberFormat("q3_k_m", 12, "q3_k", "q6_k", "q5_k"),
        NumberFormat("q2_k", 10, "q2_k", "q6_k", "q3_k"),
    )
}

PLAIN = ("f32", "f16", "bf16")
"""What safetensors can be written in."""


def number_format(name: str) -> NumberFormat:
    """The format called `name`. Raises UserError."""
    found = FORMATS.get(name.lower())
    if found is None:
        raise UserError(f"there is no number format {name!r}", hint=f"--type {' | '.join(FORMATS)}")
    return found
