"""From the setting `train.method` to the method, and whether it can be used here."""

from __future__ import annotations

from importlib.util import find_spec

from labtune.errors import ConfigError, MissingDependencyError
from labtune.training.methods.full import Full
from labtune.training.methods.method import Method, Tuning


def make_method(tuning: Tuning) -> Method:
    """The method that `tuning.config.method` names.

    Raises:
        ConfigError: it cannot be used on this device.
        MissingDependencyError: it needs a library that is not installed.
    """
    name = tuning.config.method
    if name == "full":
        return Full(tuning)
    if name == "qlora":
        check_qlora(tuning.device.type, installed=find_spec("bitsandbytes") is not None)
    try:
        from labtune.training.methods.adapters import Adapters
        from labtune.training.methods.osft import Osft
    except ModuleNotFoundError as error:
        raise MissingDependencyError.for_extra("peft", "train") from error
    return Osft(tuning) if name == "osft" else Adapters(tuning)


def check_qlora(device: str, *, installed: bool) -> None:
    """Raise unless 4-bit weights can be trained on: that takes a CUDA GPU and bitsandbytes.

    Raises:
        ConfigError: the device is another.
        MissingDependencyError: bitsandbytes is not installed.
    """
    if device != "cuda":
        raise ConfigError(
            f"train.method: qlora needs a CUDA GPU, and this training runs on {device}",
            hint="train.method: lora",
        )
    if not installed:
        raise MissingDependencyError.for_extra("bitsandbytes", "qlora")
