"""Where a pipeline lies: among those that ship (by name) or in a lab's own file (by path)."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from labtune.errors import ConfigError
from labtune.generation.yaml_file import nearest, read_bounded


@dataclass(frozen=True, slots=True)
class PipelineFile:
    """A pipeline's text. `file` names it in messages, `folder` is where its own prompts may lie."""

    text: str
    file: str
    folder: Path | None = None


def find_pipeline(name: str) -> PipelineFile:
    """Read a pipeline that ships, or a file whose path ends in .yaml.

    Raises:
        ConfigError: no such pipeline (nearest named), or the file cannot be read.
    """
    if name.endswith((".yaml", ".yml")):
        path = Path(name)
        return PipelineFile(read_bounded(path, "pipeline"), path.as_posix(), path.parent)
    known = pipeline_names()
    if name not in known:
        raise ConfigError(f"there is no pipeline called {name!r}", hint=nearest(name, known))
    text = files("labtune.generation.pipelines").joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    return PipelineFile(text, f"{name}.yaml")


def pipeline_names() -> list[str]:
    """The pipelines that ship."""
    folder = files("labtune.generation.pipelines")
    return sorted(item.name[:-5] for item in folder.iterdir() if item.name.endswith(".yaml"))
