"""Numbers into blocks: llama.cpp's kernels and numpy, what fits where, what is refused."""

import gguf
import numpy as np
import pytest

from labtune.errors import ExportError, UserError
from labtune.export.number_formats import FORMATS, number_format
from labtune.export.quantise import encode, encoded_size, fitting_kind

ERRORS = {
    "f32": 0.0, "f16": 3e-4, "bf16": 3e-3,
    "q8_0": 6e-3, "q6_k": 0.02, "q5_1": 0.04, "q5_k": 0.04, "q5_0": 0.045,
    "q4_1": 0.08, "q4_k": 0.075, "q4_0": 0.088, "q3_k": 0.16, "q2_k": 0.32,
}  # fmt: skip
"""Largest relative error (root mean square) of normal numbers in each type."""


@pytest.mark.parametrize("kind", ERRORS)
def test_values_come_back_as_close_as_the_type_allows(kind: str) -> None:
    values = np.random.default_rng(1).standard_normal((16, 512), dtype=np.float32)
    packed = encode(values, kind, "blk.0.attn_q.weight")
    assert packed.nbytes == encoded_size(kind, values.shape)
    back = gguf.quants.dequantize(packed, gguf.GGMLQuantizationType[kind.upper()])
    error = float(np.sqrt(((back - values) ** 2).mean() / (values**2).mean()))
    assert error <= ERRORS[kind]


@pytest.mark.parametrize(
    ("kind", "row", "fits"),
    [
        ("q4_k", 256, "q4_k"),
        ("q4_k", 96, "q8_0"),
        ("q6_k", 100, "f16"),
        ("q4_0", 64, "q4_0"),
        ("q8_0", 8, "f16"),
        ("bf16", 7, "bf16"),
    ],
)
def test_rows_that_do_not_fill_blocks_get_a_type_that_fits(kind: str, row: int, fits: str) -> None:
    assert fitting_kind(kind, row) == fits


def test_a_number_too_large_for_float16_is_refused_with_what_holds_it() -> None:
    values = np.array([[1.0, 70_000.0]], dtype=np.float32)
    with pytest.raises(ExportError, match=r"blk.1 holds 70000, which float16 cannot hold") as caught:
        encode(values, "f16", "blk.1")
    assert "bf16" in (caught.value.hint or "")
    assert encode(values, "bf16", "blk.1").nbytes == 4


def test_no_numbers_are_refused() -> None:
    with pytest.raises(ExportError, match="no numbers"):
        encode(np.array([[1.0, np.nan]], dtype=np.float32), "q8_0", "blk.1")


def test_what_every_token_passes_is_kept_finer() -> None:
    kind = number_format("Q4_K_M")
    assert kind.kind_of("token_embd.weight", 0, 16) == "q6_k"
    assert [kind.kind_of(f"blk.{n}.ffn_down.weight", n, 16) for n in range(16)].count("q6_k") == 8
    assert kind.kind_of("blk.0.attn_q.weight", 0, 16) == "q4_k"


def test_an_unknown_format_lists_the_known_ones() -> None:
    with pytest.raises(UserError, match="no number format 'q9'") as caught:
        number_format("q9")
    assert all(name in (caught.value.hint or "") for name in FORMATS)
