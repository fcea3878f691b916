"""Findings as text, JSON, GitHub annotations and SARIF. Pure functions; the caller prints."""

from __future__ import annotations

import json
import os
from pathlib import Path
from urllib.parse import quote as url_quote

from labtune import __version__
from labtune.taxonomy.check import CheckReport
from labtune.taxonomy.codes import CODES
from labtune.types import Finding, Json

JSON_SCHEMA = 1
FORMATS = ("text", "json", "github", "sarif")


def render(report: CheckReport, form: str, *, relative_to: Path | None = None) -> str:
    """A report in one of `FORMATS`; paths are relative to a folder, or absolute."""
    renderers = {"text": render_text, "json": render_json, "github": render_github, "sarif": render_sarif}
    return renderers[form](report, relative_to=relative_to)


def shown_path(report: CheckReport, file: str, relative_to: Path | None) -> str:
    """The path of a finding's file as the reader can open it."""
    path = report.root / file
    return (Path(os.path.relpath(path, relative_to)) if relative_to else path).as_posix()


def summary(report: CheckReport) -> str:
    """One line: how much was checked and what was found."""
    errors, warnings = report.count("error"), report.count("warning")
    fixable = f"; --fix mends {report.fixable}" if report.fixable else ""
    return (
        f"{_plural(report.leaves, 'leaf', 'leaves')} checked: {_plural(errors, 'error', 'errors')}, "
        f"{_plural(warnings, 'warning', 'warnings')}{fixable}"
    )


def render_text(report: CheckReport, *, relative_to: Path | None = None) -> str:
    """One line a finding: `file:line:column: severity code what; expected; mend`, and a summary."""
    lines = []
    for finding in report.findings:
        source = finding.source
        where = f"{_printable(shown_path(report, source.file, relative_to))}:{source.line}:{source.column}"
        fixable = " [--fix]" if finding.fixable else ""
        lines.append(f"{where}: {finding.severity} {finding.code} {message(finding)}{fixable}")
    lines.append(summary(report))
    return "\n".join(lines) + "\n"


def message(finding: Finding) -> str:
    """What was found, what is expected, how to mend, in one line."""
    text = f"found {finding.found}; expected {finding.expected}; mend: {finding.mend}"
    return _printable(text)


def render_json(report: CheckReport, *, relative_to: Path | None = None) -> str:
    """One JSON document; `schema` counts its versions."""
    return json.dumps(as_json(report, relative_to=relative_to), ensure_ascii=False, indent=1) + "\n"


def as_json(report: CheckReport, *, relative_to: Path | None = None) -> dict[str, Json]:
    """The report as plain values."""
    findings: list[Json] = [
        {
            "file": shown_path(report, finding.source.file, relative_to),
            "line": finding.source.line,
            "column": finding.source.column,
            "severity": finding.severity,
            "code": finding.code,
            "title": CODES[finding.code].title,
            "found": finding.found,
            "expected": finding.expected,
            "mend": finding.mend,
            "fixable": finding.fixable,
        }
        for finding in report.findings
    ]
    return {
        "schema": JSON_SCHEMA,
        "kind": "check",
        "passed": report.passed,
        "leaves": report.leaves,
        "exam_questions": report.exam_questions,
        "errors": report.count("error"),
        "warnings": report.count("warning"),
        "notes": report.count("note"),
        "fixable": report.fixable,
        "findings": findings,
    }


def render_github(report: CheckReport, *, relative_to: Path | None = None) -> str:
    """Workflow commands that annotate a pull request."""
    levels = {"error": "error", "warning": "warning", "note": "notice"}
    lines = []
    for finding in report.findings:
        file = _property(shown_path(report, finding.source.file, relative_to))
        title = _property(f"{finding.code} {CODES[finding.code].title}")
        place = f"file={file},line={finding.source.line},col={finding.source.column},title={title}"
        lines.append(f"::{levels[finding.severity]} {place}::{_data(message(finding))}\n")
    return "".join(lines)


def render_sarif(report: CheckReport, *, relative_to: Path | None = None) -> str:
    """SARIF 2.1.0, as code hosts and editors read it."""
    used = sorted({finding.code for finding in report.findings})
    rules = [
        {
            "id": code,
            "shortDescription": {"text": CODES[code].title},
            "defaultConfiguration": {"level": CODES[code].severity},
        }
        for code in used
    ]
    results = [
        {
            "ruleId": finding.code,
            "ruleIndex": used.index(finding.code),
            "level": finding.severity,
            "message": {"text": message(finding)},
            "locations": [
                {
                    "physicalLocation": {
                        "artifactLocation": {
                            "uri": url_quote(shown_path(report, finding.source.file, relative_to))
                        },
                        "region": {
                            "startLine": finding.source.line,
                            "startColumn": finding.source.column,
                        },
                    }
                }
            ],
        }
        for finding in report.findings
    ]
    driver = {"name": "labtune", "version": __version__, "rules": rules}
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    document = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [run],
    }
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)


def _plural(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
