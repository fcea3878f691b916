"""The part of JSON Schema that pipelines use, and how a model's value is made to fit it.

Understood: type (one or several), properties, required, additionalProperties, items, enum, const, minItems,
maxItems, minLength, maxLength, minimum, maximum; title and description are for the model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from labtune.errors import ConfigError
from labtune.types import Json

Schema = Mapping[str, Json]

_TYPES = frozenset({"object", "array", "string", "integer", "number", "boolean", "null"})
_BOUNDS = frozenset({"minItems", "maxItems", "minLength", "maxLength", "minimum", "maximum"})
_WORDS = frozenset({"title", "description"})
_FORMS = frozenset({"type", "properties", "required", "additionalProperties", "items", "enum", "const"})
_FIGURE = re.compile(r"\s*(-?\d{1,15}(?:\.\d{1,15})?)\s*(?:/\s*\d{1,6}\s*)?\.?\s*")
_YES = frozenset({"true", "yes", "y", "1", "是", "对", "正确"})
_NO = frozenset({"false", "no", "n", "0", "否", "不", "错误"})


class Misfit(Exception):
    """A value does not fit its schema; the message says where and why."""


def check_schema(schema: Schema, where: str = "schema") -> None:
    """Refuse a schema that says more than is understood here.

    Raises:
        ConfigError: an unknown keyword or type; the message names its place.
    """
    for keyword in schema:
        if keyword not in _FORMS | _BOUNDS | _WORDS:
            raise ConfigError(f"{where}: JSON schema keyword {keyword!r} is not supported")
    for kind in _types(schema):
        if kind not in _TYPES:
            raise ConfigError(f"{where}: {kind!r} is not a JSON type")
    properties = schema.get("properties", {})
    if isinstance(properties, Mapping):
        for name, below in properties.items():
            if not isinstance(below, Mapping):
                raise ConfigError(f"{where}.{name}: expected a schema")
            check_schema(below, f"{where}.{name}")
    items = schema.get("items")
    if isinstance(items, Mapping):
        check_schema(items, f"{where}[]")


def fit(value: Any, schema: Schema, *, cut: bool = False, place: str = "") -> Any:
    """The value as the schema wants it: numbers out of strings, names in any case, single items as lists.

    Args:
        value: what was read.
        schema: what is wanted.
        cut: the text ended early; an array then loses an incomplete last item instead of failing.
        place: path of the value, for messages.

    Raises:
        Misfit: it cannot be made to fit.
    """
    kinds = _types(schema)
    if kinds:
        value = _as_kind(value, kinds, schema, place)
    if isinstance(value, dict):
        value = _fit_object(value, schema, cut, place)
    elif isinstance(value, list):
        value = _fit_array(value, schema, cut, place)
    else:
        value = _fit_leaf(value, schema, place)
    if "const" in schema and value != schema["const"]:
        raise Misfit(f"{place or 'the value'} is not {schema['const']!r}")
    return value


def _types(schema: Schema) -> Sequence[str]:
    kinds = schema.get("type", [])
    return [kinds] if isinstance(kinds, str) else [str(kind) for kind in kinds]  # type: ignore[union-attr]


def _kind_of(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def _as_kind(value: Any, kinds: Sequence[str], schema: Schema, place: str) -> Any:
    kind = _kind_of(value)
    if kind in kinds or (kind == "integer" and "number" in kinds):
        return value
    for wanted in kinds:
        converted = _convert(value, wanted, schema)
        if converted is not None:
            return converted
    raise Misfit(f"{place or 'the value'} is {_an(kind)} instead of {_an(' or '.join(kinds))}")


def _an(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def _convert(value: Any, wanted: str, schema: Schema) -> Any:
    """The value as `wanted`, or None when nothing obvious leads there."""
    if wanted in {"integer", "number"}:
        return _figure(value, whole=wanted == "integer")
    if wanted == "boolean" and isinstance(value, (str, int)):
        word = str(value).strip().strip(".!。").lower()
        return True if word in _YES else False if word in _NO else None
    if wanted == "string" and isinstance(value, (int, float)):
        return str(value).lower() if isinstance(value, bool) else str(value)
    if wanted == "array" and not isinstance(value, (list, type(None))):
        items = schema.get("items")
        kinds = _types(items) if isinstance(items, Mapping) else []
        return [value] if _kind_of(value) in kinds else None
    if wanted == "object" and isinstance(value, list):
        arrays = [name for name, below in _properties(schema).items() if "array" in _types(below)]
        if len(arrays) == 1 and set(_required(schema)) <= set(arrays):
            return {arrays[0]: value}
        return value[0] if len(value) == 1 and isinstance(value[0], dict) else None
    return None


def _figure(value: Any, *, whole: bool) -> int | float | None:
    if isinstance(value, str) and (match := _FIGURE.fullmatch(value)):
        value = float(match.group(1))
    if isinstance(value, float) and value.is_integer() and whole:
        return int(value)
    return value if isinstance(value, float) and not whole else None


def _properties(schema: Schema) -> dict[str, Schema]:
    found = schema.get("properties", {})
    return found if isinstance(found, dict) else {}  # type: ignore[return-value]


def _required(schema: Schema) -> list[str]:
    found = schema.get("required", [])
    return [str(name) for name in found] if isinstance(found, list) else []


def _fit_object(value: dict[str, Any], schema: Schema, cut: bool, place: str) -> dict[str, Any]:
    properties = _properties(schema)
    plain = {_plain(name): name for name in reversed(value)}
    result: dict[str, Any] = {}
    used = set()
    for name, below in properties.items():
        source = name if name in value else plain.get(_plain(name))
        if source is None:
            continue
        used.add(source)
        if value[source] is None and name not in _required(schema):
            continue
        path = f"{place}.{name}" if place else name
        result[name] = fit(value[source], below, cut=cut and source == next(reversed(value)), place=path)
    missing = [name for name in _required(schema) if name not in result and name not in value]
    if missing:
        raise Misfit(f"{place or 'the object'} lacks {', '.join(missing)}")
    if schema.get("additionalProperties", True) is not False:
        result.update({name: item for name, item in value.items() if name not in used})
    return result


def _plain(name: str) -> str:
    return name.casefold().replace("_", "").replace(" ", "").replace("-", "")


def _fit_array(value: list[Any], schema: Schema, cut: bool, place: str) -> list[Any]:
    items = schema.get("items")
    result = []
    for index, item in enumerate(value):
        last = index == len(value) - 1
        try:
            inner = cut and last
            path = f"{place}[{index}]"
            result.append(fit(item, items, cut=inner, place=path) if isinstance(items, Mapping) else item)
        except Misfit:
            if not (cut and last):
                raise
    _within(len(result), schema, ("minItems", "maxItems"), f"{place or 'the array'} has {len(result)} items")
    return result


def _fit_leaf(value: Any, schema: Schema, place: str) -> Any:
    choices = schema.get("enum")
    if isinstance(choices, list) and value not in choices:
        folded = {choice.casefold(): choice for choice in choices if isinstance(choice, str)}
        word = value.strip().strip(".!。\"'").casefold() if isinstance(value, str) else None
        if word not in folded:
            raise Misfit(f"{place or 'the value'} is {str(value)[:60]!r}, not one of {choices}")
        value = folded[word]
    if isinstance(value, str):
        about = f"{place or 'the text'} has {len(value)} characters"
        _within(len(value), schema, ("minLength", "maxLength"), about)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        _within(value, schema, ("minimum", "maximum"), f"{place or 'the figure'} is {value}")
    return value


def _within(size: float, schema: Schema, keywords: tuple[str, str], about: str) -> None:
    least, most = schema.get(keywords[0]), schema.get(keywords[1])
    if isinstance(least, (int, float)) and size < least:
        raise Misfit(f"{about}; at least {least} wanted")
    if isinstance(most, (int, float)) and size > most:
        raise Misfit(f"{about}; at most {most} wanted")
