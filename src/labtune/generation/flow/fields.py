"""What rows hold: the fields of source rows for each type of leaf, and those that outcomes need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from labtune.types import Leaf

Section = Literal["knowledge", "freeform_skill", "grounded_skill"]
SECTIONS: tuple[Section, ...] = ("knowledge", "freeform_skill", "grounded_skill")

LEAF_FIELDS: Mapping[str, str] = {
    "leaf_path": "folder of the leaf in the taxonomy",
    "language": "language that the sample shall have, such as en or zh",
    "task_description": "what the leaf teaches, in its author's words; may be empty",
    "domain": "field of knowledge; may be empty",
    "outline": "what the documents are about, in the author's words; may be empty",
}
"""Fields that are the same for all rows of a leaf."""

_ROW_FIELDS = {
    "examples": "list of the seeds to show, each with question, answer and context (may be empty)",
    "number": "how many items a prompt shall ask for",
}
_DOCUMENT_FIELDS = {
    "passage": "the piece of the document that the row is about",
    "document": "the piece with what stands around it; as much as fits",
    "heading": "path of headings above the piece",
    "title": "title of the document",
}
SOURCE_FIELDS: Mapping[Section, Mapping[str, str]] = {
    "knowledge": {**LEAF_FIELDS, **_ROW_FIELDS, **_DOCUMENT_FIELDS},
    "freeform_skill": {**LEAF_FIELDS, **_ROW_FIELDS},
    "grounded_skill": {**LEAF_FIELDS, **_ROW_FIELDS},
}
"""What every source row of a leaf holds, by the leaf's type, with a sentence for each."""

ITEM_FIELDS: Mapping[str, frozenset[str]] = {"examples": frozenset({"question", "answer", "context"})}
"""What the items of a list hold."""

OUTCOME_FIELDS: Mapping[Section, tuple[str, ...]] = {
    "knowledge": ("question", "answer"),
    "freeform_skill": ("question", "answer"),
    "grounded_skill": ("context", "question", "answer"),
}
"""What a row must hold when it leaves the pipeline (rows that a map block emits are free)."""


def section_of(leaf: Leaf) -> Section:
    """The section of a pipeline that a leaf's rows walk."""
    if leaf.kind == "knowledge":
        return "knowledge"
    return "grounded_skill" if leaf.grounded else "freeform_skill"
