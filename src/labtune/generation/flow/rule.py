"""A condition on a row's fields, as pipelines write it: for `when` and for filters."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field, model_validator

from labtune.config.section import Section
from labtune.types import Json

Plain = bool | int | float | str


class Rule(Section):
    """One field and exactly one test of it."""

    field: str = Field(description="Field that is tested.")
    equals: Plain | None = Field(None, description="It is this.")
    not_equals: Plain | None = Field(None, description="It is something else.")
    one_of: list[Plain] | None = Field(None, description="It is one of these.")
    at_least: float | None = Field(None, description="It is a number, this or more.")
    at_most: float | None = Field(None, description="It is a number, this or less.")
    min_characters: int | None = Field(None, ge=0, description="It is a text of this length or longer.")
    max_characters: int | None = Field(None, ge=0, description="It is a text of this length or shorter.")
    contains: str | None = Field(None, description="It is a text that holds this.")
    lacks: str | None = Field(None, description="It is a text that does not hold this.")
    differs_from: str | None = Field(None, description="It is not what this other field is.")

    @model_validator(mode="after")
    def _one_test(self) -> Rule:
        if len(self.model_fields_set - {"field"}) != 1 or self.test is None:
            known = ", ".join(name for name in type(self).model_fields if name != "field")
            raise ValueError(f"exactly one test is needed, of {known}")
        return self

    @property
    def test(self) -> str | None:
        """The name of the test."""
        return next((name for name in type(self).model_fields if name != "field" and self._has(name)), None)

    def _has(self, name: str) -> bool:
        return getattr(self, name) is not None

    @property
    def names(self) -> tuple[str, ...]:
        """The fields that it looks at."""
        return (self.field,) if self.differs_from is None else (self.field, self.differs_from)

    def holds(self, fields: Mapping[str, Json]) -> bool:
        """Whether a row passes."""
        value = fields.get(self.field)
        if self.equals is not None:
            return _same(value, self.equals)
        if self.not_equals is not None:
            return not _same(value, self.not_equals)
        if self.one_of is not None:
            return any(_same(value, one) for one in self.one_of)
        if self.differs_from is not None:
            return value != fields.get(self.differs_from)
        return self._bounded(value)

    def _bounded(self, value: Json) -> bool:
        if self.at_least is not None or self.at_most is not None:
            if not isinstance(value, (int, float)):
                return False
            return value >= self.at_least if self.at_least is not None else value <= (self.at_most or 0)
        if not isinstance(value, str):
            return False
        if self.min_characters is not None:
            return len(value) >= self.min_characters
        if self.max_characters is not None:
            return len(value) <= self.max_characters
        return (self.contains in value) if self.contains is not None else (self.lacks or "") not in value


def _same(value: Json, wanted: Plain) -> bool:
    return value == wanted and isinstance(value, bool) == isinstance(wanted, bool)
