"""Attention over packed rows without a dense mask: every row attends to itself, in buckets of like length.

transformers finds the rows of a pack by positions that restart and builds a mask of T x T; of a pack of
256 tokens that holds seven rows, six sevenths of the products are then thrown away. Here a batch is one line
of T tokens whose rows are known. On CUDA PyTorch's variable-length FlashAttention takes it as it is;
elsewhere rows of like length are put below each other, padded to the longest of their bucket, and multiplied
in batches.

Legend: T tokens, H heads, K key heads, D head size, R rows of a bucket, L longest row of a bucket, S slots of
all buckets (S = sum of R x L).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

NAME = "labtune_rows"
"""Name under which transformers knows this attention."""

_LIKE = 0.75
"""Rows of a bucket are at least this share of its longest row long."""

_VARLEN_HEAD = 256
"""Largest head size of FlashAttention."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """Rows of like length; `tokens` (R x L) names the token in each slot, `real` whether there is one.

    An empty slot names token 0, which nothing reads: it stands behind its row, and attention looks back only.
    """

    rows: int
    longest: int
    tokens: torch.Tensor
    real: torch.Tensor


Indices = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


@dataclass(frozen=True, slots=True)
class RowLayout:
    """Where the rows of a line of T tokens begin, and their buckets."""

    starts: torch.Tensor
    longest: int
    buckets: tuple[Bucket, ...]
    _indices: dict[tuple[int, int], Indices] = field(default_factory=dict)

    @classmethod
    def of(cls, positions: torch.Tensor) -> RowLayout:
        """The layout of a line whose rows begin where `positions` (T) are 0."""
        begins = (positions == 0).nonzero().flatten().tolist()
        lengths = [end - begin for begin, end in zip(begins, [*begins[1:], len(positions)], strict=True)]
        buckets = []
        for rows in _buckets(lengths):
            longest = lengths[rows[0]]
            inside = torch.arange(longest)
            sizes = torch.tensor([[lengths[row]] for row in rows])
            real = inside < sizes
            tokens = torch.where(real, torch.tensor([[begins[row]] for row in rows]) + inside, 0)
            places = (one.flatten().to(positions.device) for one in (tokens, real))
            buckets.append(Bucket(len(rows), longest, *places))
        starts = torch.tensor([*begins, len(positions)], dtype=torch.int32, device=positions.device)
        return cls(starts, max(lengths), tuple(buckets))

    def indices(self, heads: int, key_heads: int) -> Indices:
        """Rows of (T x H, D) and of (T x K, D) in all heads' slots, and the slot of each token and head."""
        key = heads, key_heads
        if key not in self._indices:
            queries, keys, real = [], [], []
            head = torch.arange(heads, device=self.starts.device)[:, None]
            for bucket in self.buckets:
                queries.append((bucket.tokens * heads + head).flatten())
                keys.append((bucket.tokens * key_heads + head // (heads // key_heads)).flatten())
                real.append(bucket.real.expand(heads, -1).flatten())
            query = torch.cat(queries)
            filled = torch.cat(real).nonzero().flatten()
            slots = torch.empty_like(filled)
            slots[query[filled]] = filled
            self._indices[key] = query, torch.cat(keys), slots
        return self._indices[key]


def _buckets(lengths: Sequence[int]) -> list[list[int]]:
    """Row numbers by falling length, cut where a row is much shorter than the longest of its bucket."""
    found: list[list[int]] = []
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        if not found or lengths[row] < _LIKE * lengths[found[-1][0]]:
            found.append([])
        found[-1].append(row)
    return found


class _Spread(torch.autograd.Function):
    """Rows (T x K, D) into the slots of all heads."""

    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor, index: torch.Tensor, slots: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(slots)
        ctx.rows = rows.shape[0]
        return rows.index_select(0, index)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (slots,) = ctx.saved_tensors
        back = grad.index_select(0, slots)
        repeats = back.shape[0] // ctx.rows
        if repeats > 1:
            back = back.view(ctx.rows, repeats, -1).sum(1)
        return back, None, None


class _Collect(torch.autograd.Function):
    """The slots' rows back in the order of tokens: (T x H, D)."""

    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor, slots: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(slots)
        ctx.rows = rows.shape[0]
        return rows.index_select(0, slots)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None]:
        (slots,) = ctx.saved_tensors
        return grad.new_zeros(ctx.rows, grad.shape[1]).index_copy_(0, slots, grad), None


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    rows: RowLayout,
    **settings: Any,
) -> tuple[torch.Tensor, None]:
    """An attention function for transformers: (1, H, T, D) and twice (1, K, T, D) in, (1, T, H, D) out.

    `settings` are transformers' own: `scaling`, `dropout`, `sliding_window`, `softcap`, `s_aux` (sinks).
    """
    kind = query.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else value.dtype
    query, key, value = (one.transpose(1, 2)[0].to(dtype).contiguous() for one in (query, key, value))
    scale = settings.get("scaling")
    settings["scaling"] = query.shape[-1] ** -0.5 if scale is None else scale
    if fits_varlen(kind, dtype, (query.shape[-1], value.shape[-1]), settings):
        return _attend_varlen(query, key, value, rows, settings).unsqueeze(0), None
    with torch.autocast(kind, enabled=False):
        return attend_rows(query, key, value, rows, settings).unsqueeze(0), None


def fits_varlen(device: str, dtype: torch.dtype, sizes: tuple[int, int], settings: Mapping[str, Any]) -> bool:
    """Whether PyTorch's variable-length FlashAttention can do this; `sizes` are those of keys and values."""
    return (
        device == "cuda"
        and dtype in (torch.bfloat16, torch.float16)
        and sizes[0] == sizes[1] <= _VARLEN_HEAD
        and not any(settings.get(name) is not None for name in ("softcap", "s_aux"))
        and not settings.get("dropout")
    )


def _attend_varlen(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, rows: RowLayout, settings: dict[str, Any]
) -> torch.Tensor:
    from torch.nn.attention.varlen import varlen_attn

    window = settings.get("sliding_window")
    out = varlen_attn(
        query,
        key,
        value,
        rows.starts,
        rows.starts,
        rows.longest,
        rows.longest,
        scale=settings["scaling"],
        window_size=(-1 if window is None else window - 1, 0),
        enable_gqa=query.shape[1] != key.shape[1],
    )
    assert isinstance(out, torch.Tensor), "nothing but the output was asked for"
    return out


@torch.compiler.disable  # type: ignore[untyped-decorator]
def attend_rows(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, rows: RowLayout, settings: dict[str, Any]
) -> torch.Tensor:
    """(T, H, E) and twice (T, K, E) in, (T, H, E) out."""
    tokens, heads, size = len(query), query.shape[1], value.shape[-1]
    queries, keys, slots = rows.indices(heads, key.shape[1])
    sizes = [heads * len(bucket.tokens) for bucket in rows.buckets]
    spread = [
        _Spread.apply(one.reshape(-1, one.shape[-1]), index, slots).split(sizes)  # type: ignore[no-untyped-call]
        for one, index in ((query, queries), (key, keys), (value, keys))
    ]
    found = []
    for bucket, *parts in zip(rows.buckets, *spread, strict=True):
        q, k, v = (part.view(heads * bucket.rows, bucket.longest, -1) for part in parts)
        found.append((_weights(q, k, heads, settings) @ v).view(-1, size))
    out: torch.Tensor = _Collect.apply(torch.cat(found), slots)  # type: ignore[no-untyped-call]
    return out.view(tokens, heads, size)


def _weights(q: torch.Tensor, k: torch.Tensor, heads: int, settings: dict[str, Any]) -> torch.Tensor:
    """Causal attention weights of one bucket, (H x R, L, L)."""
    length, sinks, softcap = q.shape[1], settings.get("s_aux"), settings.get("softcap")
    hidden = torch.ones(length, length, dtype=torch.bool, device=q.device).triu(1)
    if settings.get("sliding_window") is not None:
        hidden |= torch.ones_like(hidden).tril(-settings["sliding_window"])
    bias = torch.zeros(length, length, dtype=q.dtype, device=q.device).masked_fill(hidden, float("-inf"))
    if softcap is None:
        scores = torch.baddbmm(bias, q, k.mT, alpha=settings["scaling"])
    else:
        scores = softcap * torch.tanh((q @ k.mT) * (settings["scaling"] / softcap)) + bias
    if sinks is not None:
        rows = q.shape[0] // heads
        column = sinks.to(scores.dtype).repeat_interleave(rows).view(-1, 1, 1).expand(-1, length, 1)
        weights = torch.softmax(torch.cat([scores, column], -1), -1)[..., :-1]
    else:
        weights = torch.softmax(scores, -1)
    return torch.nn.functional.dropout(weights, settings.get("dropout") or 0.0)


def register() -> str:
    """Make the attention known to transformers; returns its name."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, attend)
    return NAME
