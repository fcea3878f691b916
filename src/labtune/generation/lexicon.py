"""Reads the word lists and question frames that lie beside the code."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from labtune.artifact import content_hash


@cache
def load_lexicon(name: str) -> Any:
    """The parsed YAML file `lexicons/<name>.yaml`, read once per process."""
    text = files("labtune.generation.lexicons").joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


@cache
def word_set(name: str, key: str) -> frozenset[str]:
    """The space-separated words under `key` of a lexicon file."""
    return frozenset(str(load_lexicon(name)[key]).split())


@cache
def lexicon_hash() -> str:
    """Hash of all lexicon files: an edited word list makes every leaf's work new."""
    folder = files("labtune.generation.lexicons")
    names = sorted(item.name for item in folder.iterdir() if item.name.endswith(".yaml"))
    return content_hash([(name, folder.joinpath(name).read_text(encoding="utf-8")) for name in names])
