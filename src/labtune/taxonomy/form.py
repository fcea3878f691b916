"""The form of a file: spaces, final newline, long lines. Never an error; mended where that is safe."""

from __future__ import annotations

import re
from collections.abc import Iterator

from labtune.taxonomy.decode import point_at
from labtune.taxonomy.problems import Edit, Problems
from labtune.taxonomy.yaml_nodes import MappingNode, Node, ScalarNode

LONG_LINE = 1000
"""Characters. YAML has no limit and Chinese paragraphs are one line; beyond this nobody reviews a change."""
_TRAILING = re.compile(r"[ \t]+(?=\r?$)", re.MULTILINE)
_LONG = re.compile(rf"^[^\n]{{{LONG_LINE + 1},}}$", re.MULTILINE)


def check_form(text: str, root: Node | None, problems: Problems) -> None:
    """Record breaches of form. Spaces inside block and quoted texts are content and stay."""
    if not text or root is None:
        return
    body = text.rstrip(" \t\r\n")
    _check_end(text, len(body), root, problems)
    blank_ends = any(end in body for end in (" \n", "\t\n", " \r", "\t\r"))
    trailing = [match.span() for match in _TRAILING.finditer(text, 0, len(body))] if blank_ends else []
    if trailing:
        kept = list(_content_spans(root))
        for start, end in trailing:
            if any(first <= start < last for first, last in kept):
                continue
            words = ("spaces at the end of the line", "none", "delete them")
            edit = Edit(start, end, "", "removed trailing spaces")
            problems.add_fixable("F101", point_at(text, start), words, edit)
    long = _LONG.search(text) if max(map(len, text.split("\n"))) > LONG_LINE else None
    if long:
        problems.add(
            "F104",
            point_at(text, long.start()),
            f"a line of {len(long.group()):,} characters",
            f"at most {LONG_LINE:,}",
            "break the line inside a block text (key: >)",
        )


def _check_end(text: str, body: int, root: Node, problems: Problems) -> None:
    tail = text[body:]
    newline = line_break(text)
    edit_end = Edit(body, len(text), newline, "ended the file with one newline")
    place = point_at(text, body)
    breaks = tail.count("\n")
    if breaks == 1 and tail.startswith(("\n", "\r\n")) and tail.endswith("\n"):
        return
    if breaks == 0:
        problems.add_fixable("F102", place, ("no newline at the end", "a final newline", "add it"), edit_end)
    elif any(last >= body and text[first:last].startswith(("|+", ">+")) for first, last in _spans(root)):
        return
    elif breaks == 1 and tail.endswith("\n"):
        if any(first <= body < last for first, last in _content_spans(root)):
            return
        words = ("spaces at the end of the line", "none", "delete them")
        problems.add_fixable("F101", place, words, edit_end)
    else:
        words = ("blank lines at the end", "one final newline", "delete them")
        problems.add_fixable("F103", place, words, edit_end)


def line_break(text: str) -> str:
    """How the file ends its lines."""
    return "\r\n" if "\r\n" in text else "\n"


def scalars(node: Node) -> Iterator[ScalarNode]:
    """All keys and values below a node."""
    if isinstance(node, ScalarNode):
        yield node
        return
    if isinstance(node, MappingNode):
        for key, value in node.entries.values():
            yield key
            yield from scalars(value)
        return
    for item in node.items:
        yield from scalars(item)


def _content_spans(root: Node) -> Iterator[tuple[int, int]]:
    for scalar in scalars(root):
        if scalar.style:
            yield scalar.start, scalar.end


def _spans(root: Node) -> Iterator[tuple[int, int]]:
    for scalar in scalars(root):
        if scalar.style in ("|", ">"):
            yield scalar.start, scalar.end
