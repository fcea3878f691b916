"""`labtune config`: what the settings are and where they come from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labtune.cli.document import print_document
from labtune.cli.group import LightGroup
from labtune.cli.options import HERE, JsonOption, LabOption, SetOption

if TYPE_CHECKING:
    from labtune.config.layers import LoadedConfig, Setting

app = typer.Typer(cls=LightGroup, add_completion=False, rich_markup_mode=None, no_args_is_help=True)


@app.callback()
def _config() -> None:
    """Explain settings and where they come from."""


@app.command(short_help="Show a setting: value, origin, default, meaning.")
def explain(
    key: Annotated[
        str | None, typer.Argument(metavar="KEY", help="Setting or section, such as train.learning_rate.")
    ] = None,
    lab: LabOption = HERE,
    sets: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a setting: its value, which layer set it, its default, what it does. Without KEY: all."""
    settings = _select(_load(lab, sets or ()), key)
    if as_json:
        print_document("config explain", {"settings": [_fields(setting) for setting in settings]})
    elif key is not None and len(settings) == 1:
        typer.echo(_page(settings[0]))
    else:
        typer.echo(_list(settings))


def _load(folder: Path, overrides: Sequence[str]) -> LoadedConfig:
    """The lab's settings; outside of any lab, the defaults."""
    from labtune.config.layers import load
    from labtune.workflow.lab import Lab, find_lab
    from labtune.workflow.outlook import informed

    if folder == HERE and find_lab(folder) is None:
        return load(None, overrides=overrides)
    return informed(Lab.open(folder, overrides=overrides))


def _select(config: LoadedConfig, key: str | None) -> list[Setting]:
    below = [item for item in config.settings() if key is None or item.key.startswith(f"{key}.")]
    return below or [config.explain(key or "")]


def _fields(setting: Setting) -> dict[str, object]:
    return {
        "key": setting.key,
        "value": _plain(setting.value),
        "origin": setting.origin,
        "default": _plain(setting.default),
        "description": setting.description,
        "source": setting.source,
    }


def _plain(value: object) -> object:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    dump = getattr(value, "model_dump", None)
    return dump() if dump is not None else value


def _page(setting: Setting) -> str:
    lines = [
        f"{setting.key} = {_show(setting.value)}",
        f"  from     {setting.origin}",
        f"  default  {_show(setting.default)}",
    ]
    if setting.source:
        lines.append(f"  source   {setting.source}")
    return "\n".join([*lines, f"  {setting.description}"])


def _list(settings: Sequence[Setting]) -> str:
    rows = [(setting.key, _show(setting.value), setting.origin) for setting in settings]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    lines = [f"{key:{widths[0]}}  {value:{widths[1]}}  {origin}" for key, value, origin in rows]
    return "\n".join([*lines, "", "labtune config explain KEY   says what a setting does"])


def _show(value: object) -> str:
    plain = _plain(value)
    if isinstance(plain, bool):
        return "true" if plain else "false"
    return "null" if plain is None else str(plain)
