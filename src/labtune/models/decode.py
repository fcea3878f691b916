"""Decoding and scoring over token rows. Legend: B batch, T tokens, V vocabulary, N scored positions.

`generate` of transformers keeps finished rows in the batch until the last one ends; here they leave it, which
makes an exam of short answers several times faster on a CPU.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import torch

from labtune.models.cache import new_cache
from labtune.models.head import project_only
from labtune.protocols import Sampling


@torch.inference_mode()
def decode(
    model: Any,
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    stop: Collection[int],
    context: int,
) -> list[list[int]]:
    """The new tokens of each prompt, the stop token included where one came."""
    rows: list[list[int]] = [[] for _ in prompts]
    state = _State(model, prompts)
    generators = [_generator(sampling, prompt) for prompt in prompts]
    while True:
        tokens_B = _choose(state.logits_BV, sampling, [generators[row] for row in state.rows]).tolist()
        keep = []
        for place, (row, token) in enumerate(zip(state.rows, tokens_B, strict=True)):
            rows[row].append(token)
            room = len(rows[row]) < sampling.max_tokens and len(prompts[row]) + len(rows[row]) < context
            if token not in stop and room:
                keep.append(place)
        if not keep:
            return rows
        state.advance(keep, tokens_B)


@torch.inference_mode()
def decode_stream(
    model: Any, prompt: Sequence[int], sampling: Sampling, stop: Collection[int], context: int
) -> Iterator[int]:
    """The new tokens of one prompt as they come, without the stop token."""
    state = _State(model, [prompt])
    generator = _generator(sampling, prompt)
    for count in range(1, min(sampling.max_tokens, context - len(prompt)) + 1):
        token = int(_choose(state.logits_BV, sampling, [generator])[0])
        if token in stop:
            return
        yield token
        if count < sampling.max_tokens:
            state.advance([0], [token])


@torch.inference_mode()
def answer_logprobs(model: Any, rows: Sequence[Sequence[int]], masks: Sequence[Sequence[int]]) -> list[float]:
    """Mean log-probability (nats) of each row's masked tokens; logits are built only where they count."""
    device = model.device
    width = max(len(row) for row in rows)
    ids_BT = torch.zeros((len(rows), width), dtype=torch.long)
    scored_BT = torch.zeros((len(rows), width), dtype=torch.bool)
    for place, (row, mask) in enumerate(zip(rows, masks, strict=True)):
        ids_BT[place, : len(row)] = torch.tensor(row)
        scored_BT[place, : len(row)] = torch.tensor(mask, dtype=torch.bool)
    lengths_B = torch.tensor([len(row) for row in rows])
    attention_BT = (torch.arange(width)[None] < lengths_B[:, None]).long()
    # Position t predicts token t + 1.
    predicts_BT = scored_BT.roll(-1, dims=1)
    predicts_BT[:, -1] = False
    with project_only(model, predicts_BT.to(device)):
        logits_NV = model(
            input_ids=ids_BT.to(device), attention_mask=attention_BT.to(device), use_cache=False
        ).logits
    targets_N = ids_BT.roll(-1, dims=1)[predicts_BT].to(device)
    scores_N = logits_NV.float().log_softmax(-1).gather(-1, targets_N[:, None])[:, 0].cpu()
    counts = predicts_BT.sum(1).tolist()
    return [float(part.double().mean()) for part in scores_N.split(counts)]


class _State:
    """The rows still running: their cache, their attention mask and the logits of their last position."""

    def __init__(self, model: Any, prompts: Sequence[Sequence[int]]) -> None:
        width = max(len(prompt) for prompt in prompts)
        ids_BT = torch.zeros((len(prompts), width), dtype=torch.long)
        attention_BT = torch.zeros((len(prompts), width), dtype=torch.long)
        for row, prompt in enumerate(prompts):
            ids_BT[row, width - len(prompt) :] = torch.tensor(prompt)
            attention_BT[row, width - len(prompt) :] = 1
        self.model = model
        self.rows = list(range(len(prompts)))
        self.attention_BT = attention_BT.to(model.device)
        self.positions_B = self.attention_BT.sum(1)
        self.cache = new_cache(model)
        positions_BT = (self.attention_BT.cumsum(1) - 1).clamp(min=0)
        self.logits_BV = self._forward(ids_BT.to(model.device), positions_BT)

    def advance(self, keep: list[int], tokens: Sequence[int]) -> None:
        """Drop the rows that ended, feed each other row its new token."""
        device = self.attention_BT.device
        if len(keep) < len(self.rows):
            keep_B = torch.tensor(keep, device=device)
            self.cache.batch_select_indices(keep_B)
            self.attention_BT, self.positions_B = self.attention_BT[keep_B], self.positions_B[keep_B]
            self.rows = [self.rows[place] for place in keep]
        ids_BT = torch.tensor([[tokens[place]] for place in keep], device=device)
        self.attention_BT = torch.cat([self.attention_BT, torch.ones_like(ids_BT)], dim=1)
        self.logits_BV = self._forward(ids_BT, self.positions_B[:, None])
        self.positions_B = self.positions_B + 1

    def _forward(self, ids_BT: torch.Tensor, positions_BT: torch.Tensor) -> torch.Tensor:
        out = self.model(
            input_ids=ids_BT,
            attention_mask=self.attention_BT,
            position_ids=positions_BT,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: torch.Tensor = out.logits[:, -1].float()
        return logits


def _generator(sampling: Sampling, prompt: Sequence[int]) -> torch.Generator | None:
    if sampling.temperature <= 0:
        return None
    digest = hashlib.sha256(f"{sampling.seed}:{list(prompt)}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


def _choose(
    logits_BV: torch.Tensor, sampling: Sampling, generators: Sequence[torch.Generator | None]
) -> torch.Tensor:
    if sampling.temperature <= 0:
        return logits_BV.argmax(-1)
    ordered_BV, index_BV = (logits_BV / sampling.temperature).softmax(-1).cpu().sort(-1, descending=True)
    # The likeliest token always stays; others while the mass before them is below top_p.
    ordered_BV[(ordered_BV.cumsum(-1) - ordered_BV) >= sampling.top_p] = 0
    drawn = [
        int(index_BV[row, torch.multinomial(ordered_BV[row], 1, generator=generator)])
        for row, generator in enumerate(generators)
    ]
    return torch.tensor(drawn)
