"""Where models compute: one choice of the device, and whether it has what is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from labtune.errors import ConfigError, ModelError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Accelerators:
    """What this machine has.

    Attributes:
        cuda: a CUDA GPU that torch can use.
        mps: an Apple GPU that torch can use.
        bf16: kinds of device that multiply in bf16.
    """

    cuda: bool
    mps: bool
    bf16: frozenset[str]


def accelerators() -> Accelerators:
    """What torch finds here."""
    import torch

    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    bf16 = {"cpu"}
    if cuda and torch.cuda.is_bf16_supported():
        bf16.add("cuda")
    if mps and torch.backends.mps.is_macos_or_newer(14, 0):
        bf16.add("mps")
    return Accelerators(cuda, mps, frozenset(bf16))


def choose(device: str, here: Accelerators) -> str:
    """`auto` = CUDA, then Apple MPS, then the CPU; any other name is taken as it is.

    Raises:
        ModelError: the machine has no such device.
    """
    if device == "auto":
        return "cuda" if here.cuda else "mps" if here.mps else "cpu"
    kind = device.partition(":")[0]
    if (kind == "cuda" and not here.cuda) or (kind == "mps" and not here.mps):
        raise ModelError(
            f"device {device} is asked for, and torch finds none on this machine", hint="device: auto"
        )
    return device


def choose_device(device: str) -> torch.device:
    """The torch device of `choose`, on this machine."""
    import torch

    return torch.device(choose(device, accelerators()))


def check_precision(precision: str, device: str, here: Accelerators) -> None:
    """Raise ConfigError when products are to be computed in bf16 where the device cannot."""
    if precision == "bf16" and device.partition(":")[0] not in here.bf16:
        raise ConfigError(
            f"train.precision: bf16 is not possible on this machine's {device} device",
            hint="train.precision: fp32",
        )
