"""What a prompt wants back: named fields of simple kinds, as a JSON schema and as values of rows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from labtune.types import Json

FieldKind = Literal["text", "list", "number", "yes_no"] | list[str]
"""`text`, a `list` of texts, a whole `number`, `yes_no`, or one of the given words."""

_UNWANTED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


def object_schema(properties: Mapping[str, Json]) -> dict[str, Json]:
    """An object with exactly these properties, in this order."""
    names: list[Json] = list(properties)
    return {
        "type": "object",
        "properties": dict(properties),
        "required": names,
        "additionalProperties": False,
    }


def reply_schema(fields: Mapping[str, FieldKind], many: str | None) -> dict[str, Json]:
    """The schema of a reply; with `many`, of a list of such objects under that name."""
    shape = object_schema({name: _kind_schema(kind) for name, kind in fields.items()})
    if many is None:
        return shape
    return object_schema({many: {"type": "array", "items": shape}})


def _kind_schema(kind: FieldKind) -> Json:
    if isinstance(kind, list):
        words: list[Json] = list(kind)
        return {"type": "string", "enum": words}
    schemas: dict[str, Json] = {
        "text": {"type": "string"},
        "list": {"type": "array", "items": {"type": "string"}},
        "number": {"type": "integer"},
        "yes_no": {"type": "boolean"},
    }
    return schemas[kind]


def read_fields(values: Mapping[str, Json], fields: Mapping[str, FieldKind]) -> dict[str, Json]:
    """The wanted fields of a reply, texts cleaned of what no text holds."""
    return {name: _cleaned(values.get(name)) for name in fields}


def empty_field(values: Mapping[str, Json]) -> str | None:
    """The first field that says nothing."""
    return next((name for name, value in values.items() if value is None or value == "" or value == []), None)


def _cleaned(value: Json) -> Json:
    if isinstance(value, str):
        return _UNWANTED.sub("", value).strip()
    if isinstance(value, list):
        return [item for item in map(_cleaned, value) if item not in (None, "")]
    return value
