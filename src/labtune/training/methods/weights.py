"""Trained weights as a file, and back into a model in place."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from labtune.errors import ModelError

FILE = "trained.safetensors"


def save_weights(folder: Path, weights: dict[str, torch.Tensor]) -> None:
    """Write `weights` to `folder`, which is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: value.cpu().contiguous() for name, value in weights.items()}, folder / FILE)


def load_weights_into(weights: dict[str, torch.Tensor], folder: Path) -> None:
    """Copy the tensors of `save_weights` into `weights`, which must have the same names and shapes.

    Raises:
        ModelError: the file is damaged or holds others.
    """
    file = folder / FILE
    try:
        stored = load_file(file)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{file} cannot be read: {error}", hint=f"delete {folder}") from error
    shapes = {name: value.shape for name, value in weights.items()}
    if {name: value.shape for name, value in stored.items()} != shapes:
        raise ModelError(f"{file} holds the weights of another model", hint=f"delete {folder}")
    with torch.no_grad():
        for name, value in stored.items():
            weights[name].copy_(value)
