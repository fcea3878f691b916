"""`exam.yaml` beside a `qna.yaml`: questions that training never sees, with what a right answer must say."""

from __future__ import annotations

from dataclasses import dataclass, field

from labtune.taxonomy.decode import decode
from labtune.taxonomy.fields import (
    TextRule,
    check_keys,
    list_field,
    mapping_value,
    text_field,
    text_list,
    text_value,
)
from labtune.taxonomy.problems import Edit, Problems
from labtune.taxonomy.seeds import same_question_key
from labtune.taxonomy.validate import ANSWER, CONTEXT, QUESTION, read_root, read_version
from labtune.taxonomy.yaml_nodes import MappingNode, ScalarNode
from labtune.types import Source

EXAM_KEYS = ("version", "questions")
QUESTION_KEYS = ("question", "answer", "must", "context")
EXAM_VERSION = 1
_MUST = TextRule("must word")


@dataclass(frozen=True, slots=True)
class ExamItem:
    """One question of an `exam.yaml`."""

    question: str
    answer: str
    must: tuple[str, ...]
    context: str | None
    source: Source


@dataclass(slots=True)
class ExamValidation:
    """The result for one buffer; `items` is empty when there are errors."""

    items: list[ExamItem]
    problems: Problems
    text: str | None = None
    root: MappingNode | None = None
    nodes: list[ScalarNode] = field(default_factory=list)


def validate_exam(data: bytes | str, file: str) -> ExamValidation:
    """Check one `exam.yaml`. Any bytes are allowed; nothing is raised."""
    problems = Problems(file)
    result = ExamValidation([], problems)
    result.text = decode(data, problems)
    if result.text is None:
        return result
    root = result.root = read_root(result.text, problems, "version, questions")
    if root is None:
        return result
    check_keys(root, EXAM_KEYS, problems)
    _check_version(root, problems)
    seen: dict[tuple[str, str | None], int] = {}
    items: list[ExamItem] = []
    for node in list_field(root, "questions", 1, "questions", problems) or []:
        mapping = mapping_value(node, "a question", QUESTION_KEYS, problems)
        item = _read_item(mapping, file, problems) if mapping else None
        if item is None:
            continue
        key = (same_question_key(item.question), item.context)
        if key in seen:
            found = f"the same question as on line {seen[key]}"
            problems.add("K107", item.source, found, "each question once", "delete one of the two")
            continue
        seen[key] = item.source.line
        items.append(item)
    result.items = [] if problems.failed else items
    return result


def _check_version(root: MappingNode, problems: Problems) -> None:
    node = root.get("version")
    if node is None:
        at = min((key.start for key, _ in root.entries.values()), default=0)
        words = ("no 'version'", "version: 1", "add the line 'version: 1'")
        if root.flow:
            problems.add("K102", root, *words)
        else:
            problems.add_fixable("K102", root, words, Edit(at, at, "version: 1\n", "added version: 1"))
        return
    number = read_version(node, "version 1", problems)
    if number is not None and number != EXAM_VERSION:
        problems.add("K108", node, f"version {number}", "version 1 of the exam format", "write 'version: 1'")


def _read_item(node: MappingNode, file: str, problems: Problems) -> ExamItem | None:
    check_keys(node, QUESTION_KEYS, problems)
    question = text_field(node, "question", QUESTION, problems)
    answer = text_field(node, "answer", ANSWER, problems)
    must = text_list(node, "must", _MUST, 1, problems) if "must" in node.entries else []
    context_node = node.get("context")
    context = text_value(context_node, CONTEXT, problems) if context_node is not None else None
    if question is None or answer is None:
        return None
    place = node.entries["question"][1]
    source = Source(file, place.line, place.column)
    return ExamItem(question, answer, tuple(must), context, source)
