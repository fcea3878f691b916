"""Every code of the validator and linter: its default severity and what it stands for.

`Y` reading YAML, `K` keys and values, `P` places and names, `D` documents, `A` attribution, `L` lint,
`F` form. Only errors change the exit code.
"""

from __future__ import annotations

from dataclasses import dataclass

from labtune.types import Severity


@dataclass(frozen=True, slots=True)
class Code:
    """A rule: how bad its breach is, and its name."""

    severity: Severity
    title: str


CODES: dict[str, Code] = {
    "Y101": Code("error", "file cannot be read"),
    "Y102": Code("error", "file is too large"),
    "Y103": Code("error", "text is not UTF-8"),
    "Y104": Code("error", "control character"),
    "Y105": Code("error", "YAML syntax"),
    "Y106": Code("error", "nesting is too deep"),
    "Y107": Code("error", "too much content after aliases are expanded"),
    "Y108": Code("error", "tag is not allowed"),
    "Y109": Code("error", "more than one YAML document"),
    "Y110": Code("error", "duplicate key"),
    "Y111": Code("error", "alias contains itself"),
    "Y112": Code("error", "file is empty"),
    "Y113": Code("error", "key is not a word"),
    "Y114": Code("error", "merge key cannot be merged"),
    "K101": Code("error", "unknown key"),
    "K102": Code("error", "missing key"),
    "K103": Code("error", "value of the wrong kind"),
    "K104": Code("error", "empty value"),
    "K105": Code("error", "template placeholder"),
    "K106": Code("error", "too few entries"),
    "K107": Code("error", "duplicate entry"),
    "K108": Code("error", "version is not supported"),
    "K109": Code("warning", "version is not an integer"),
    "K110": Code("warning", "key is ignored"),
    "K111": Code("error", "commit is not a commit id"),
    "K112": Code("error", "pattern leaves its folder"),
    "K113": Code("error", "repository address is not allowed"),
    "P101": Code("warning", "file name"),
    "P102": Code("error", "link leaves the taxonomy"),
    "P103": Code("warning", "folder is not part of the taxonomy"),
    "P104": Code("error", "no leaf"),
    "P105": Code("error", "no qna.yaml beside exam.yaml"),
    "D101": Code("error", "no document matches"),
    "D102": Code("error", "document leaves the leaf"),
    "D103": Code("warning", "document cannot be read"),
    "A101": Code("warning", "attribution is missing"),
    "A102": Code("warning", "attribution is empty"),
    "A103": Code("warning", "licence is not named"),
    "A104": Code("note", "licence is not on the list of open licences"),
    "L101": Code("warning", "context is not in the document"),
    "L102": Code("warning", "answer is not supported by its context"),
    "L103": Code("warning", "near-duplicate seeds"),
    "L104": Code("warning", "only yes/no questions"),
    "L105": Code("warning", "very long text"),
    "L106": Code("warning", "exam question is also a seed question"),
    "L107": Code("warning", "draft is not reviewed"),
    "L108": Code("warning", "exam answer lacks a must word"),
    "F101": Code("warning", "trailing spaces"),
    "F102": Code("warning", "no newline at the end of the file"),
    "F103": Code("warning", "blank lines at the end of the file"),
    "F104": Code("warning", "very long line"),
}
