"""Logits only where they count: the vocabulary projection is the largest product of a small model.

Legend: B batch, T tokens, N wanted positions, D hidden size, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch

_CHUNK = {"cpu": 1 << 21, "cuda": 1 << 27}
"""Logits held at once in the loss: what a CPU's caches hold, and what keeps a GPU's products large."""


@contextmanager
def project_only(model: Any, wanted_BT: torch.Tensor) -> Iterator[None]:
    """Within, `model(...).logits` has the shape (N, V): the wanted positions, row by row.

    The selection happens before the output projection, inside the model's own forward, so whatever a family
    does to its logits afterwards (scaling, soft-capping) still happens.
    """
    handle = model.get_output_embeddings().register_forward_pre_hook(
        lambda _module, inputs: (inputs[0][wanted_BT], *inputs[1:])
    )
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def forward_of(module: Any, forward: Callable[..., Any]) -> Iterator[None]:
    """Within, calling `module` runs `forward`; hooks and wrappers around the module stay."""
    own = module.__dict__.get("forward")
    module.forward = forward
    try:
        yield
    finally:
        if own is None:
            del module.forward
        else:
            module.forward = own


@contextmanager
def project_later(model: Any, wanted_BT: torch.Tensor) -> Iterator[None]:
    """Within, `model(...).logits` are the (N, D) inputs of the output projection, for `chunked_loss`.

    Only for a model for which `can_project_later` holds.
    """
    with forward_of(model.get_output_embeddings(), lambda hidden_BTD: hidden_BTD[wanted_BT]):
        yield


def can_project_later(model: Any) -> bool:
    """Whether the projection may come after what the model does to its logits.

    It may where that is nothing or a factor, and not where logits are soft-capped or the projection is no
    plain matrix. Found out by trying on four tokens.
    """
    head = model.get_output_embeddings()
    if type(head) is not torch.nn.Linear:
        return False
    device = head.weight.device
    ids = torch.arange(4, device=device)[None] % head.weight.shape[0]
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            plain = model(input_ids=ids, use_cache=False).logits[0].float()
            with project_later(model, torch.ones_like(ids, dtype=torch.bool)):
                hidden = model(input_ids=ids, use_cache=False).logits
            later = torch.nn.functional.linear(hidden, head.weight, head.bias).float()
    finally:
        model.train(training)
    return plain.shape == later.shape and bool(torch.allclose(plain, later, rtol=1e-2, atol=1e-3))


def chunked_loss(hidden_ND: torch.Tensor, head: torch.nn.Linear, targets_N: torch.Tensor) -> torch.Tensor:
    """Cross entropy (nats, summed) of `head(hidden)` against `targets`, in fp32, N x V logits never at once.

    Gradients are made on the way forward, chunk by chunk, as Liger's fused linear cross entropy does
    (arXiv 2410.10989): nothing of the size N x V is kept, and no product is done twice. Products are done in
    autocast's type where that is on.
    """
    kind = hidden_ND.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden_ND.dtype
    return cast(
        torch.Tensor,
        _ChunkedCrossEntropy.apply(hidden_ND, head.weight, head.bias, targets_N, dtype),  # type: ignore[no-untyped-call]
    )


class _ChunkedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden_ND: torch.Tensor,
        weight_VD: torch.Tensor,
        bias_V: torch.Tensor | None,
        targets_N: torch.Tensor,
        dtype: torch.dtype,
    ) -> torch.Tensor:
        kind = hidden_ND.device.type
        size = max(1, _CHUNK.get(kind, _CHUNK["cpu"]) // len(weight_VD))
        grads = [
            torch.zeros_like(one) if one is not None and needed else None
            for one, needed in zip((hidden_ND, weight_VD, bias_V), ctx.needs_input_grad, strict=False)
        ]
        total = hidden_ND.new_zeros((), dtype=torch.float32)
        with torch.autocast(kind, enabled=False):
            x_ND, w_VD = hidden_ND.to(dtype), weight_VD.to(dtype)
            for begin in range(0, len(targets_N), size):
                part = slice(begin, begin + size)
                loss, error_NV = _softmax_error(x_ND[part], w_VD, bias_V, targets_N[part])
                total += loss
                if grads[2] is not None:
                    grads[2] += error_NV.sum(0).to(grads[2].dtype)
                error_NV = error_NV.to(dtype)
                if grads[0] is not None:
                    grads[0][part] = error_NV @ w_VD
                if grads[1] is not None:
                    grads[1] += error_NV.T @ x_ND[part]
        ctx.save_for_backward(*grads)
        return total

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        found = [None if one is None else one.mul_(grad.to(one.dtype)) for one in ctx.saved_tensors]
        return (*found, None, None)


def _softmax_error(
    x_ND: torch.Tensor, w_VD: torch.Tensor, bias_V: torch.Tensor | None, targets_N: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Summed loss, and its gradient by the logits: softmax less one at the target."""
    logits_NV = (x_ND @ w_VD.T).float()
    if bias_V is not None:
        logits_NV += bias_V.float()
    logits_NV -= logits_NV.amax(-1, keepdim=True)
    target_N1 = targets_N[:, None]
    picked_N1 = logits_NV.gather(-1, target_N1)
    logits_NV.exp_()
    sums_N1 = logits_NV.sum(-1, keepdim=True)
    loss = (sums_N1.log() - picked_N1).sum()
    logits_NV /= sums_N1
    logits_NV.scatter_add_(-1, target_N1, torch.full_like(picked_N1, -1.0))
    return loss, logits_NV
