"""Settings in layers: defaults < profile < file < environment < `--set`; each knows where it came from."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic import BaseModel, ValidationError

from labtune.config.defaults import PROFILE_SOURCES, Facts, defaults_for, schema_source
from labtune.config.endpoint import secrets_in
from labtune.config.lab import LabConfig
from labtune.errors import ConfigError

ENVIRONMENT_PREFIX = "LABTUNE_"
_CONTROL_VARIABLES = frozenset({"LABTUNE_CACHE"})
_MODELS = frozenset({"teacher", "judge"})
"""Settings that are models of several kinds."""
_FIRST_KEYS = {"engine": "kind", "student": "model"}
"""Sections that may be given as one word, and the key that it sets."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One explained knob: dotted key, value in force, the layer that set it, its sentence and its source.

    `source` is the paper or measurement that the value comes from; empty for what somebody set.
    """

    key: str
    value: object
    origin: str
    default: object
    description: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """The settings in force, and for each dotted key the layer that set it (absent = default)."""

    lab: LabConfig
    origins: Mapping[str, str]
    sources: Mapping[str, str] = field(default_factory=dict)

    def informed(self, facts: Facts) -> LoadedConfig:
        """The same with the defaults that depend on student and data; what anybody set stays as it is."""
        chosen = {key: found for key, found in defaults_for(facts).items() if key not in self.origins}
        lab: BaseModel = self.lab
        for key, found in chosen.items():
            lab = _replaced(lab, key.split("."), found.value)
        origins = {**self.origins, **dict.fromkeys(chosen, f"default for {facts}")}
        sources = {**self.sources, **{key: found.source for key, found in chosen.items()}}
        return LoadedConfig(cast(LabConfig, lab), origins, sources)

    def explain(self, key: str) -> Setting:
        """Say where the value of `key` comes from.

        Raises:
            ConfigError: no such key; the nearest is suggested.
        """
        for setting in self.settings():
            if setting.key == key:
                return setting
        raise unknown_key(key, [setting.key for setting in self.settings()])

    def settings(self) -> Iterator[Setting]:
        """Every knob, in the order of the schema."""
        for setting in _walk(self.lab, "", self.origins):
            yield replace(setting, source=self._source(setting))

    def _source(self, setting: Setting) -> str:
        if setting.key in self.sources:
            return self.sources[setting.key]
        if setting.origin in PROFILE_SOURCES:
            return PROFILE_SOURCES[setting.origin]
        return schema_source(setting.key) if setting.origin == "default" else ""


def _replaced(section: BaseModel, path: Sequence[str], value: object) -> BaseModel:
    """A copy of `section` with one value below it changed."""
    name, *rest = path
    changed = _replaced(getattr(section, name), rest, value) if rest else value
    return section.model_copy(update={name: changed})


def _walk(section: BaseModel, prefix: str, origins: Mapping[str, str]) -> Iterator[Setting]:
    for name, knob in type(section).model_fields.items():
        key, value = f"{prefix}{name}", getattr(section, name)
        if isinstance(value, BaseModel):
            yield from _walk(value, f"{key}.", origins)
        else:
            yield Setting(
                key,
                value,
                origins.get(key, "default"),
                knob.get_default(call_default_factory=True),
                knob.description or "",
            )


def unknown_key(key: str, known: Sequence[str]) -> ConfigError:
    """The error for a key that does not exist, with the nearest that does."""
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    if not near:
        near = [name for name in known if name.rsplit(".", 1)[-1] == key.rsplit(".", 1)[-1]][:1]
    return ConfigError(
        f"there is no setting {key!r}",
        hint=f"did you mean {near[0]!r}?" if near else "labtune config explain   lists all settings",
    )


def load(
    file: Path | None,
    *,
    overrides: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> LoadedConfig:
    """Read all layers and check the result once.

    Args:
        file: the lab file; None = defaults only.
        overrides: `a.b=value` strings, values in YAML.
        environment: variables to look at (default: the process's); `LABTUNE_TRAIN__SEED=3` sets train.seed.

    Raises:
        ConfigError: unknown key (nearest named), malformed file or value; names the layer and the key.
    """
    layers: list[tuple[str, dict[str, object]]] = []
    if file is not None:
        layers.append((file.name, _read_file(file)))
    layers.append(("environment", _read_environment(os.environ if environment is None else environment)))
    layers.append(("--set", _read_overrides(overrides)))
    values: dict[str, object] = {}
    origins: dict[str, str] = {}
    for origin, layer in layers:
        for key, value in _written_out(layer, values):
            values[key], origins[key] = value, origin
    profile = profile_of(str(values.get("student.model", LabConfig().student.model)))
    for key, value in _flatten(profile[1]).items():
        if key not in values:
            values[key], origins[key] = value, f"profile {profile[0]}"
    return LoadedConfig(_validate(values, origins), origins)


def _written_out(layer: Mapping[str, object], lower: dict[str, object]) -> Iterator[tuple[str, object]]:
    """The settings of a layer; `engine: ray` means `engine.kind: ray`, and drops what lower layers say."""
    for key, value in layer.items():
        if key not in _FIRST_KEYS:
            yield key, value
            continue
        for name in [name for name in lower if name.startswith(f"{key}.")]:
            del lower[name]
        if isinstance(value, Mapping):
            yield from ((f"{key}.{name}", item) for name, item in value.items())
        else:
            yield f"{key}.{_FIRST_KEYS[key]}", value


def profile_of(student: str) -> tuple[str, dict[str, Any]]:
    """The built-in profile for a student: measured defaults for its size."""
    name = "nano" if student == "builtin:nano" else "standard"
    text = files("labtune.config").joinpath("profiles", f"{name}.yaml").read_text(encoding="utf-8")
    return name, yaml.safe_load(text) or {}


def _validate(values: Mapping[str, object], origins: Mapping[str, str]) -> LabConfig:
    _refuse_secrets(values, origins)
    known = [setting.key for setting in _walk(LabConfig(), "", {})]
    sections = {key.rsplit(".", 1)[0] for key in known if "." in key}
    for key in values:
        if key not in known and not any(key == name or key.startswith(f"{name}.") for name in _open_keys()):
            if key in sections:
                raise ConfigError(f"{origins[key]}: {key!r} is a section and takes keys below it")
            error = unknown_key(key, known)
            raise ConfigError(f"{origins[key]}: {error.message}", hint=error.hint)
    nested: dict[str, Any] = {}
    for key, value in values.items():
        *parents, last = key.split(".")
        node = nested
        for parent in parents:
            below = node.get(parent)
            # A mapping is copied, since layers are kept; `builtin` gives way to `--set teacher.model=...`.
            node[parent] = dict(below) if isinstance(below, Mapping) else {}
            node = node[parent]
        node[last] = value
    try:
        return LabConfig.model_validate(nested)
    except ValidationError as error:
        first = error.errors()[0]
        place = list(first["loc"])
        if place[0] in _MODELS:
            # Of a model's settings the last remark is about what was written, the first about what was not;
            # the second part of its place only names the kind of model.
            first = error.errors()[-1]
            place = [first["loc"][0], *first["loc"][2:]]
        key = ".".join(map(str, place))
        section = key.partition(".")[0]
        origin = origins.get(key) or origins.get(section, "settings")
        found = "" if first["type"] == "missing" else f" (found {first['input']!r})"
        raise ConfigError(
            f"{origin}: {key}: {first['msg'].removeprefix('Value error, ')}{found}",
            hint=f"labtune config explain {key if section not in _open_keys() else section}",
        ) from error


def _refuse_secrets(values: Mapping[str, object], origins: Mapping[str, str]) -> None:
    for key in values:
        for place in secrets_in({key: values[key]}) if key.partition(".")[0] in _MODELS else ():
            raise ConfigError(
                f"{origins[key]}: {place} holds an API key; keys are read from the environment only",
                hint=f"export it as a variable and write {key.partition('.')[0]}.api_key_env: NAME_OF_IT",
            )


def _open_keys() -> list[str]:
    """Keys whose value is a mapping that the section itself checks."""
    return [
        name
        for name, field in LabConfig.model_fields.items()
        if not isinstance(field.get_default(call_default_factory=True), BaseModel)
    ]


def _flatten(value: Mapping[str, Any], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, item in value.items():
        key = f"{prefix}{name}"
        field = LabConfig.model_fields.get(key)
        is_section = field is not None and isinstance(field.get_default(call_default_factory=True), BaseModel)
        if isinstance(item, Mapping) and (is_section or prefix):
            flat.update(_flatten(item, f"{key}."))
        else:
            flat[key] = item
    return flat


def _read_file(file: Path) -> dict[str, object]:
    try:
        value = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"there is no {file.name} in {file.parent}", hint="labtune init") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else str(file)
        problem = getattr(error, "problem", None) or "it cannot be read"
        raise ConfigError(f"{where} is not YAML: {problem}") from error
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise ConfigError(f"{file}: expected settings as 'key: value' lines")
    return _flatten(value)


def _read_environment(environment: Mapping[str, str]) -> dict[str, object]:
    return {
        name.removeprefix(ENVIRONMENT_PREFIX).lower().replace("__", "."): _parse(text, name)
        for name, text in sorted(environment.items())
        if name.startswith(ENVIRONMENT_PREFIX) and name not in _CONTROL_VARIABLES
    }


def _read_overrides(overrides: Sequence[str]) -> dict[str, object]:
    layer: dict[str, object] = {}
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"--set {text!r} has no '='", hint="--set train.learning_rate=1e-3")
        layer[key.strip()] = _parse(value, f"--set {key.strip()}")
    return layer


def _parse(text: str, where: str) -> object:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{where}: {text!r} is not a YAML value") from error
    if isinstance(value, str):
        # YAML 1.1 wants a dot in 1e-3; people do not.
        try:
            return float(value)
        except ValueError:
            return value
    return value
