"""The shapes of a model on the hub, without its weights: the configuration, and the head of each file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labtune.errors import MissingDependencyError, ModelError
from labtune.models.hub import HubModel, translated
from labtune.models.weights import Shapes, read_object


@dataclass(frozen=True, slots=True)
class Shown:
    """What the hub tells of a model.

    Attributes:
        config: its config.json.
        shapes: of each tensor.
        bytes: size of the weights.
    """

    config: dict[str, Any]
    shapes: Shapes
    bytes: int


def shapes_on_hub(model: HubModel) -> Shown:
    """Read the shapes of a model on the hub: a few hundred kilobytes instead of its weights.

    Raises:
        ModelError: the hub cannot be reached or refuses, or the model has no safetensors weights.
        MissingDependencyError: huggingface_hub is not installed.
    """
    try:
        from huggingface_hub import HfApi
        from huggingface_hub.errors import NotASafetensorsRepoError, SafetensorsParsingError
        from huggingface_hub.utils.tqdm import disable_progress_bars
    except ImportError as error:
        raise MissingDependencyError.for_extra("huggingface_hub", "train") from error
    disable_progress_bars()
    api = HfApi(endpoint=model.mirror)
    try:
        with translated(model):
            config = read_object(
                Path(api.hf_hub_download(model.name, "config.json", revision=model.revision))
            )
            files = api.get_safetensors_metadata(model.name, revision=model.revision).files_metadata.values()
    except NotASafetensorsRepoError as error:
        raise ModelError(
            f"{model} has no safetensors weights", hint="choose a model that ships safetensors"
        ) from error
    except SafetensorsParsingError as error:
        raise ModelError(f"the weights of {model} on the hub are damaged: {error}") from error
    shapes = {name: tuple(one.shape) for file in files for name, one in file.tensors.items()}
    size = sum(max((one.data_offsets[1] for one in file.tensors.values()), default=0) for file in files)
    return Shown(config, shapes, size)
