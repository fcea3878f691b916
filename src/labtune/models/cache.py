"""A key-value cache with room to grow.

The library's dynamic cache copies everything it holds for each new token; on a CPU that copy costs more than
the arithmetic of a small model. This one copies only when its room is full.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

ROOM = 32
"""Tokens of spare room that each reallocation adds."""


class RoomyLayer(DynamicLayer):  # type: ignore[misc]
    """One layer's keys and values, (batch, heads, tokens, width), as views of larger buffers."""

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Start empty, with the type and device of the first states."""
        super().lazy_initialization(key_states, value_states)
        self._key_room, self._value_room = key_states[:, :, :0], value_states[:, :, :0]
        self.keys, self.values = self._key_room, self._value_room

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_args: Any, **_kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append new states and return all of them."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        held = self.keys.shape[2]
        total = held + key_states.shape[2]
        if total > self._key_room.shape[2]:
            self._key_room = _enlarged(self._key_room, held, total + ROOM)
            self._value_room = _enlarged(self._value_room, held, total + ROOM)
        self._key_room[:, :, held:total] = key_states
        self._value_room[:, :, held:total] = value_states
        self.keys, self.values = self._key_room[:, :, :total], self._value_room[:, :, :total]
        return self.keys, self.values

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep only these rows of the batch."""
        held = self.keys.shape[2]
        self._key_room, self._value_room = self._key_room[indices], self._value_room[indices]
        self.keys, self.values = self._key_room[:, :, :held], self._value_room[:, :, :held]


def new_cache(model: Any) -> DynamicCache:
    """An empty cache for `model`; layers with a sliding window keep the library's own kind."""
    cache = DynamicCache(config=model.config)
    cache.layers = [RoomyLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


def _enlarged(room: torch.Tensor, held: int, tokens: int) -> torch.Tensor:
    batch, heads, _, width = room.shape
    larger = room.new_empty((batch, heads, tokens, width))
    larger[:, :, :held] = room[:, :, :held]
    return larger
