"""The forward pass of a small Llama on a CPU, for training: the same numbers with fewer passes over memory.

A small model's products take little more than half of a step; the rest is casts, norms and rotations of
transformers' general code, and the last layer's work for positions that predict nothing. Here norms give what
the next product reads, and the last layer goes on with the wanted positions only.

Legend: T tokens, N wanted positions, D hidden size, H heads, K key heads, E head size, F inner size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import Linear
from torch.nn.functional import embedding, linear, silu
from transformers.models.llama.modeling_llama import LlamaForCausalLM

from labtune.training.attention import RowLayout, attend_rows


def fits(model: Any) -> bool:
    """Whether `model` is a plain Llama on a CPU: fp32 weights, no biases or dropout, usual rotations."""
    config = model.config
    return (
        type(model) is LlamaForCausalLM
        and config.hidden_act == "silu"
        and not config.attention_dropout
        and config.rope_parameters["rope_type"] == "default"
        and all(weight.is_cpu and weight.dtype == torch.float32 for weight in model.parameters())
        and all(type(product) is Linear and product.bias is None for product in _products(model))
    )


def _products(model: Any) -> list[Any]:
    found = []
    for layer in model.model.layers:
        found += [getattr(layer.self_attn, name) for name in ("q_proj", "k_proj", "v_proj", "o_proj")]
        found += [getattr(layer.mlp, name) for name in ("gate_proj", "up_proj", "down_proj")]
    return found


@dataclass(frozen=True, slots=True)
class Output:
    """What takes the place of the model's own output."""

    logits: torch.Tensor


@dataclass(frozen=True, slots=True)
class Forward:
    """In place of the model's own forward: gives what its output projection reads at the wanted positions."""

    model: Any
    wanted_1T: torch.Tensor

    def __call__(
        self, *, input_ids: torch.Tensor, position_ids: torch.Tensor, use_cache: bool, rows: RowLayout
    ) -> Output:
        """States (N, D) of one line of rows; arithmetic in autocast's type where that is on."""
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else torch.float32
        base, wanted_N = self.model.model, self.wanted_1T[0].nonzero().flatten()
        with torch.autocast("cpu", enabled=False):
            x_TD = embedding(input_ids[0], base.embed_tokens.weight)
            angles = position_ids[0][:, None].float() * base.rotary_emb.inv_freq
            turn = angles.cos()[:, None], angles.sin()[:, None]
            layers = base.layers[: self.model.config.num_hidden_layers]
            for layer in layers:
                x_TD = _layer(layer, x_TD, turn, rows, wanted_N if layer is layers[-1] else None, dtype)
            return Output(_norm(base.norm, x_TD, dtype))


def _layer(
    layer: Any,
    x_TD: torch.Tensor,
    turn: tuple[torch.Tensor, torch.Tensor],
    rows: RowLayout,
    wanted_N: torch.Tensor | None,
    dtype: torch.dtype,
) -> torch.Tensor:
    attention, mlp = layer.self_attn, layer.mlp
    heads = attention.q_proj.weight.shape[0] // attention.head_dim
    key_heads = attention.k_proj.weight.shape[0] // attention.head_dim
    normed = _norm(layer.input_layernorm, x_TD, dtype)
    weights = [attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight]
    qkv = linear(normed, torch.cat([weight.to(dtype) for weight in weights]))
    each = qkv.view(len(qkv), -1, attention.head_dim)
    turned = _Rotate.apply(each, *turn, heads + key_heads)  # type: ignore[no-untyped-call]
    q, k, v = turned.split([heads, key_heads, key_heads], 1)
    mixed = attend_rows(q, k, v, rows, {"scaling": attention.scaling}).reshape(len(qkv), -1)
    if wanted_N is not None:
        mixed, x_TD = mixed.index_select(0, wanted_N), x_TD.index_select(0, wanted_N)
    x_TD = x_TD + linear(mixed, attention.o_proj.weight.to(dtype))
    normed = _norm(layer.post_attention_layernorm, x_TD, dtype)
    both = torch.cat([mlp.gate_proj.weight.to(dtype), mlp.up_proj.weight.to(dtype)])
    gated = _SwiGLU.apply(linear(normed, both))  # type: ignore[no-untyped-call]
    return x_TD + linear(gated, mlp.down_proj.weight.to(dtype))


def _norm(module: Any, x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    out: torch.Tensor = _Norm.apply(x, module.weight, module.variance_epsilon, dtype)  # type: ignore[no-untyped-call]
    return out


class _Norm(torch.autograd.Function):
    """Root-mean-square norm in fp32 (Zhang and Sennrich 2019) whose result is in `dtype`."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, eps: float, dtype: torch.dtype
    ) -> torch.Tensor:
        size = x.shape[-1]
        scale = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().div_(size).add_(eps).rsqrt_()
        ctx.save_for_backward(x, weight, scale)
        out: torch.Tensor = (x * scale).mul_(weight).to(dtype)
        return out

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None, None]:
        x, weight, scale = ctx.saved_tensors
        grad = grad.float()
        product = grad * x
        pull = (product @ weight)[:, None] * scale.pow(3).div_(-x.shape[-1])
        by_weight = scale.view(1, -1) @ product
        by_x = (grad * weight).mul_(scale).addcmul_(x, pull)
        return by_x, by_weight.view(-1), None, None


class _Rotate(torch.autograd.Function):
    """Rotary positions (Su et al. 2021) for the first `heads` of (T, H + 2K, E); the rest goes through."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, heads: int) -> torch.Tensor:
        ctx.save_for_backward(cos, sin)
        ctx.heads = heads
        return _rotated(x, cos, sin, heads, 1)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
        cos, sin = ctx.saved_tensors
        return _rotated(grad, cos, sin, ctx.heads, -1), None, None, None


def _rotated(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, heads: int, way: int) -> torch.Tensor:
    out = torch.empty(x.shape, dtype=x.dtype)
    first, second = x[:, :heads].float().chunk(2, -1)
    out[:, :heads, : first.shape[-1]] = (first * cos).addcmul_(second, sin, value=-way)
    out[:, :heads, first.shape[-1] :] = (second * cos).addcmul_(first, sin, value=way)
    out[:, heads:] = x[:, heads:]
    return out


class _SwiGLU(torch.autograd.Function):
    """silu(gate) x up of (T, 2F)."""

    @staticmethod
    def forward(ctx: Any, both: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(both)
        gate, up = both.chunk(2, -1)
        return silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        (both,) = ctx.saved_tensors
        gate, up = both.chunk(2, -1)
        out = torch.empty_like(both)
        by_gate, by_up = out.chunk(2, -1)
        torch.mul(grad, silu(gate), out=by_up)
        by_gate.copy_(torch.ops.aten.silu_backward(grad * up, gate))
        return out
