"""Collects the findings of one file, and for the mechanical ones the edit that mends them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from labtune.taxonomy.codes import CODES
from labtune.types import Finding, Severity, Source


class Place(Protocol):
    """Anything with a position; both count from 1."""

    @property
    def line(self) -> int:
        """Line."""
        ...

    @property
    def column(self) -> int:
        """Column, in characters."""
        ...


@dataclass(frozen=True, slots=True)
class Point:
    """A position in a file; both count from 1."""

    line: int = 1
    column: int = 1


@dataclass(frozen=True, slots=True, order=True)
class Edit:
    """Replace the characters `start:end` of the text (after the byte order mark) by `text`."""

    start: int
    end: int
    text: str
    summary: str


@dataclass(slots=True)
class Problems:
    """The findings of one file, in the order in which they were met."""

    file: str
    findings: list[Finding] = field(default_factory=list)
    edits: list[Edit] = field(default_factory=list)

    def add(self, code: str, place: Place, found: str, expected: str, mend: str) -> None:
        """Record a finding that a person has to mend."""
        self._record(code, place, (found, expected, mend), fixable=False)

    def add_fixable(self, code: str, place: Place, words: tuple[str, str, str], *edits: Edit) -> None:
        """Record a finding that `--fix` mends; `words` are found, expected, mend."""
        self._record(code, place, words, fixable=True)
        self.edits.extend(edits)

    def _record(self, code: str, place: Place, words: tuple[str, str, str], *, fixable: bool) -> None:
        severity: Severity = CODES[code].severity
        found, expected, mend = words
        source = Source(self.file, place.line, place.column)
        self.findings.append(Finding(source, severity, code, found, expected, mend, fixable))

    @property
    def failed(self) -> bool:
        """True when an error was found."""
        return any(finding.severity == "error" for finding in self.findings)


def quote(text: str, limit: int = 60) -> str:
    """A short one-line quotation of a text, for messages."""
    line = " ".join(text[: limit * 4].split())
    return f'"{line[: limit - 1]}…"' if len(line) > limit else f'"{line}"'
