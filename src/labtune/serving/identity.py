"""What a model on disk is: a hash of its bytes, remembered while the file stays what it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from labtune.artifact import content_hash, file_hash, write_json

CACHE_FILE = "hashes.json"
_OF_A_MODEL = (".safetensors", ".json", ".jinja", ".gguf", ".model")
SHOWN = 16
"""Hex digits of a hash that a name carries."""


def model_hash(path: Path, cache_dir: Path | None = None) -> str:
    """Hash of a model file, or of a model folder's weights, configuration, tokenizer and template.

    Args:
        path: file or folder.
        cache_dir: where hashes are remembered by size and time of change; None = read it all.
    """
    if path.is_file():
        return _hash_of(path, cache_dir)
    files = sorted(item for item in path.iterdir() if item.suffix in _OF_A_MODEL)
    return content_hash([[item.name, _hash_of(item, cache_dir)] for item in files])


def _hash_of(path: Path, cache_dir: Path | None) -> str:
    if cache_dir is None:
        return file_hash(path)
    facts = path.stat()
    stamp = [facts.st_size, facts.st_mtime_ns, facts.st_ino]
    known = _read(cache_dir / CACHE_FILE)
    name = str(path.resolve())
    entry = known.get(name)
    if isinstance(entry, dict) and entry.get("stamp") == stamp and isinstance(entry.get("sha256"), str):
        found: str = entry["sha256"]
        return found
    found = file_hash(path)
    write_json(
        cache_dir / CACHE_FILE, {**_read(cache_dir / CACHE_FILE), name: {"stamp": stamp, "sha256": found}}
    )
    return found


def _read(path: Path) -> dict[str, Any]:
    # A cache: gone or damaged, it is made anew.
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
