"""What a model folder claims to hold, checked before any library reads it: no tensor is loaded.

A safetensors file begins with eight bytes (length of the header, little-endian) and the header, a JSON object
of name -> dtype, shape and place. Source: the format's description in huggingface/safetensors.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labtune.errors import ModelError

INDEX = "model.safetensors.index.json"
LARGEST_HEADER = 100_000_000
"""Bytes; the safetensors library refuses longer ones, too."""

_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_AGAIN = "fetch or copy the model again"
_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.(\d+)\.")
_TABLE = re.compile(r"(?:^|\.)(?:embed_tokens|wte|embed_in|tok_embeddings)\.weight$")

Shapes = dict[str, tuple[int, ...]]


def check_weights(folder: Path) -> None:
    """Prove that the weights are all there, whole, and of the sizes that config.json names.

    Raises:
        ModelError: what is wrong, in which file, and how to mend it.
    """
    config = read_object(folder / "config.json")
    method = config.get("quantization_config")
    if isinstance(method, Mapping) and method.get("quant_method") not in (None, "mxfp4"):
        raise ModelError(
            f"the weights in {folder} are quantised ({method.get('quant_method')}), so they cannot be tuned",
            hint="choose the model in bf16 or fp16; train.method: qlora quantises it by itself",
        )
    shapes: Shapes = {}
    for file in weight_files(folder):
        shapes.update(read_shapes(file))
    _check_sizes(folder, config, shapes)


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that make up a model.

    Raises:
        ModelError: there are none, or some of those that the index names are missing.
    """
    index = folder / INDEX
    if not index.exists():
        found = sorted(folder.glob("*.safetensors"))
        if not found:
            raise _without_weights(folder)
        if all(path.name.startswith("adapter_model") for path in found):
            raise ModelError(
                f"{folder} is an adapter, not a model: it holds only {found[0].name}",
                hint="give the model that the adapter was made for, or merge the adapter into it first",
            )
        return found
    places = read_object(index).get("weight_map")
    if not isinstance(places, Mapping) or not places:
        raise ModelError(f"{index} is damaged: it does not say where the weights lie", hint=_AGAIN)
    names = sorted({str(name) for name in places.values()})
    missing = [name for name in names if Path(name).name != name or not (folder / name).is_file()]
    if missing:
        raise ModelError(
            f"{index} names {len(names)} files of weights, and {len(missing)} are missing: {missing[0]}",
            hint=_AGAIN,
        )
    return [folder / name for name in names]


@dataclass(frozen=True, slots=True)
class Entry:
    """What a header says of one tensor; it lies at bytes `start` to `end` of the file."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


def read_entries(file: Path) -> dict[str, Entry]:
    """What a safetensors file says of its tensors, by their names.

    Raises:
        ModelError: the file is cut off, too long, or not in this format.
    """
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or length > min(size - 8, LARGEST_HEADER):
            raise _damaged(file, "its header does not fit into it")
        try:
            header = json.loads(stream.read(length))
            entries = {
                name: _entry(told, 8 + length) for name, told in header.items() if name != "__metadata__"
            }
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
            raise _damaged(file, "its header is not one of safetensors") from error
    end = max((entry.end for entry in entries.values()), default=8 + length)
    if end != size:
        raise _damaged(file, f"its header speaks of {end:,} bytes, and it has {size:,}")
    return entries


def _entry(told: Any, data: int) -> Entry:
    start, end = (data + int(offset) for offset in told["data_offsets"])
    if not data <= start <= end:
        raise ValueError("a tensor outside of the data")
    return Entry(str(told["dtype"]), tuple(int(side) for side in told["shape"]), start, end)


def read_shapes(file: Path) -> Shapes:
    """Shape of each tensor of a safetensors file. Raises as `read_entries` does."""
    return {name: entry.shape for name, entry in read_entries(file).items()}


def read_object(file: Path) -> dict[str, Any]:
    """A JSON file that holds an object.

    Raises:
        ModelError: it does not, or cannot be read.
    """
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{file} cannot be read: {error}", hint=_AGAIN) from error
    if not isinstance(value, dict):
        raise ModelError(f"{file} is damaged: it holds no JSON object", hint=_AGAIN)
    return value


def _check_sizes(folder: Path, config: Mapping[str, Any], shapes: Shapes) -> None:
    text = config.get("text_config")
    sizes = text if isinstance(text, Mapping) else config
    layers = sizes.get("num_hidden_layers")
    found = {int(match[1]) for name in shapes if (match := _LAYER.search(name))}
    # Layers that predict further tokens lie behind the others and are not counted as hidden ones.
    extra = sizes.get("num_nextn_predict_layers")
    allowed = {len(found), len(found) - extra} if isinstance(extra, int) else {len(found)}
    if isinstance(layers, int) and found and layers not in allowed:
        raise _lie(folder, "num_hidden_layers", layers, len(found))
    tables = [shape for name, shape in shapes.items() if _TABLE.search(name) and len(shape) == 2]
    for key, place in (("vocab_size", 0), ("hidden_size", 1)):
        wanted = sizes.get(key)
        if isinstance(wanted, int) and tables and all(shape[place] != wanted for shape in tables):
            raise _lie(folder, key, wanted, tables[0][place])


def _without_weights(folder: Path) -> ModelError:
    pickled = _first(folder, _PICKLES)
    if pickled:
        return ModelError(
            f"{folder} has only pickled weights ({pickled}), which can run code when they are loaded",
            hint="convert them to safetensors, or choose a model that ships safetensors",
        )
    if quantised := _first(folder, ("*.gguf",)):
        return ModelError(
            f"{folder} holds a GGUF file ({quantised}), which can be served and chatted with but not tuned",
            hint="choose the same model in safetensors",
        )
    return ModelError(f"{folder} has no weights (*.safetensors)", hint=_AGAIN)


def _first(folder: Path, patterns: Iterable[str]) -> str | None:
    return next((path.name for pattern in patterns for path in sorted(folder.glob(pattern))), None)


def _damaged(file: Path, reason: str) -> ModelError:
    return ModelError(f"the weights in {file} are damaged or cut off: {reason}", hint=_AGAIN)


def _lie(folder: Path, key: str, said: int, found: int) -> ModelError:
    return ModelError(
        f"the weights in {folder} do not fit its config.json: its {key} is {said:,}, theirs is {found:,}",
        hint="take config.json and weights from the same model",
    )
