"""Reads YAML that strangers wrote into nodes that know their place, within hard limits.

PyYAML's C parser gives events; the nodes are composed here, because the limits (depth, content after alias
expansion) must hold while a file is read, not after. Nothing is constructed: no Python objects, no tags.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, NoReturn

import yaml

from labtune.taxonomy.decode import point_at
from labtune.taxonomy.problems import Place, Point, Problems

MAX_DEPTH = 24
MAX_COST = 8 * 1024 * 1024
"""Characters of all nodes after alias expansion, each node counting 64 more."""
NODE_COST = 64

_STANDARD = "tag:yaml.org,2002:"
_SCALAR_TAGS = frozenset({"str", "int", "float", "bool", "null", "timestamp", "merge", "value"})
_LOADER: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(slots=True)
class ScalarNode:
    """A text, number, boolean or nothing. `tag` is what YAML takes it for: str, int, float, bool, null ...

    `style` is "" for plain, or one of ' " | >. `start:end` are offsets into the text, `line` and `column`
    count from 1.
    """

    value: str
    tag: str
    style: str
    start: int
    end: int
    line: int
    column: int


@dataclass(slots=True)
class SequenceNode:
    """A list."""

    items: list[Node]
    start: int
    end: int
    line: int
    column: int
    flow: bool = False


@dataclass(slots=True)
class MappingNode:
    """Keys and values in the order of the file; merged keys follow the mapping's own."""

    entries: dict[str, tuple[ScalarNode, Node]]
    start: int
    end: int
    line: int
    column: int
    flow: bool = False

    def get(self, key: str) -> Node | None:
        """The value of a key, or None."""
        entry = self.entries.get(key)
        return entry[1] if entry else None


Node = ScalarNode | SequenceNode | MappingNode


class _Refused(Exception):
    """Ends the composing; the finding is already recorded."""


def read_nodes(text: str, problems: Problems) -> Node | None:
    """Parse one YAML document; None after recording the one finding that says why it cannot be used."""
    loader = _LOADER(text)
    try:
        odd_breaks = not text.isascii() and any(sign in text for sign in "\x85\u2028\u2029")
        return _Composer(loader, problems, text, odd_breaks).document()
    except _Refused:
        return None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        point = Point(mark.line + 1, mark.column + 1) if mark else Point()
        found, expected, mend = _explain(error, text, point)
        problems.add("Y105", point, found, expected, mend)
        return None
    except yaml.YAMLError as error:
        problems.add("Y105", Point(), str(error), "YAML", "correct the syntax")
        return None
    finally:
        loader.dispose()


def _explain(error: yaml.MarkedYAMLError, text: str, point: Point) -> tuple[str, str, str]:
    problem = " ".join(part for part in (error.context, error.problem) if part)
    lines = text.split("\n", point.line)
    line = lines[point.line - 1] if len(lines) >= point.line else ""
    if "\t" in line[: len(line) - len(line.lstrip())] or "'\\t'" in problem or "tab" in problem:
        return (
            f"a tab at the start of a line ({problem})",
            "spaces for indentation",
            "replace tabs by spaces, or run with --fix",
        )
    if "mapping values are not allowed" in problem:
        return problem, "one 'key: value' on a line", "put the value in quotes when it contains ': '"
    if "alias" in problem:
        return problem, "an anchor (&name) before its alias (*name)", "define the anchor, or quote the text"
    if "could not find expected ':'" in problem:
        return problem, "'key: value'", "add a colon and a space after the key on the line above"
    if "unexpected end of stream" in problem or "quoted scalar" in problem:
        return problem, "a closing quote", "close the quote, or escape quotes inside the text"
    if "cannot start any token" in problem:
        return problem, "a plain text that starts with a letter or digit", "put the value in quotes"
    return problem, "valid YAML", "correct the indentation or quote the value"


@dataclass(slots=True)
class _Composer:
    # Any: the stubs leave PyYAML's event interface untyped.
    loader: Any
    problems: Problems
    text: str
    odd_breaks: bool
    cost: int = 0
    anchors: dict[str, tuple[Node | None, int]] = field(default_factory=dict)

    def document(self) -> Node | None:
        """The only document of the stream; None when the stream is empty."""
        loader = self.loader
        loader.get_event()
        if loader.check_event(yaml.StreamEndEvent):
            return None
        loader.get_event()
        node = self.node(0)
        loader.get_event()
        if not loader.check_event(yaml.StreamEndEvent):
            self.refuse(
                "Y109",
                self.place(loader.get_event().start_mark),
                "a second YAML document",
                "one document in a file",
                "delete the '---' line, or quote it when it is text",
            )
        return node

    def refuse(self, code: str, place: Place, found: str, expected: str, mend: str) -> NoReturn:
        """Record the one finding of this file and stop."""
        self.problems.add(code, place, found, expected, mend)
        raise _Refused

    def place(self, mark: Any) -> Point:
        """Where a mark is, as editors count: YAML also takes U+0085, U+2028 and U+2029 for line ends."""
        if self.odd_breaks:
            return point_at(self.text, mark.index)
        return Point(mark.line + 1, mark.column + 1)

    def spend(self, cost: int, place: Place) -> None:
        """Count content; stop when there is more than anybody writes by hand."""
        self.cost += cost
        if self.cost > MAX_COST:
            self.refuse(
                "Y107",
                place,
                "content that grows beyond all bounds when aliases are expanded",
                f"at most {MAX_COST:,} characters after expansion",
                "write the examples out instead of nesting anchors and aliases",
            )

    def node(self, depth: int) -> Node:
        """Compose the node that starts at the next event."""
        event = self.loader.get_event()
        point = self.place(event.start_mark)
        if isinstance(event, yaml.AliasEvent):
            return self.alias(str(event.anchor), point)
        if depth >= MAX_DEPTH:
            self.refuse(
                "Y106",
                point,
                f"more than {MAX_DEPTH} levels of nesting",
                "at most 5 levels in a qna.yaml",
                "check the indentation and brackets",
            )
        if event.anchor is not None:
            self.anchors[event.anchor] = (None, 0)
        before = self.cost
        node: Node
        if isinstance(event, yaml.ScalarEvent):
            self.spend(NODE_COST + len(event.value), point)
            node = self.scalar(event, point)
        elif isinstance(event, yaml.SequenceStartEvent):
            self.spend(NODE_COST, point)
            self.collection_tag(event.tag, "seq", point)
            node = self.sequence(event, point, depth)
        else:
            self.spend(NODE_COST, point)
            self.collection_tag(event.tag, "map", point)
            node = self.mapping(event, point, depth)
        if event.anchor is not None:
            self.anchors[event.anchor] = (node, self.cost - before)
        return node

    def alias(self, name: str, point: Point) -> Node:
        """The node an alias stands for."""
        if name not in self.anchors:
            self.refuse(
                "Y105",
                point,
                f"alias *{name} without an anchor",
                f"&{name} before it",
                "define the anchor, or put the value in quotes",
            )
        node, cost = self.anchors[name]
        if node is None:
            self.refuse("Y111", point, f"alias *{name} inside its own anchor", "a finite text", "remove it")
        self.spend(cost, point)
        return node

    def scalar(self, event: Any, point: Point) -> ScalarNode:
        """A scalar and what YAML takes it for."""
        tag = event.tag
        if tag is None or tag == "!":
            tag = self.loader.resolve(yaml.ScalarNode, event.value, event.implicit)
        kind = tag.removeprefix(_STANDARD)
        if kind not in _SCALAR_TAGS:
            self.bad_tag(tag, point)
        style = event.style or ""
        start, end = event.start_mark.index, event.end_mark.index
        if event.tag is None and event.anchor is None:
            start_text = start
        else:
            # An anchor or tag stands before the scalar: its text starts after it.
            start_text = _skip_properties(self.text, start, end)
        return ScalarNode(event.value, kind, style, start_text, end, point.line, point.column)

    def collection_tag(self, tag: str | None, expected: str, point: Point) -> None:
        """Refuse tags on lists and mappings that are not the standard one."""
        if tag not in (None, "!", _STANDARD + expected):
            self.bad_tag(str(tag), point)

    def bad_tag(self, tag: str, point: Point) -> NoReturn:
        """A tag that asks for anything but plain data."""
        short = tag.replace(_STANDARD, "!!")
        what = "Python tags run code and are never loaded" if "python" in tag else "no tags"
        self.refuse("Y108", point, f"the tag {short}", what, "delete the tag")

    def sequence(self, event: Any, point: Point, depth: int) -> SequenceNode:
        """The items up to the end of the list."""
        items: list[Node] = []
        while not self.loader.check_event(yaml.SequenceEndEvent):
            items.append(self.node(depth + 1))
        end = self.loader.get_event().end_mark.index
        return SequenceNode(
            items, event.start_mark.index, end, point.line, point.column, bool(event.flow_style)
        )

    def mapping(self, event: Any, point: Point, depth: int) -> MappingNode:
        """The entries up to the end of the mapping; merge keys are expanded."""
        entries: dict[str, tuple[ScalarNode, Node]] = {}
        merged: list[tuple[ScalarNode, Node]] = []
        while not self.loader.check_event(yaml.MappingEndEvent):
            key = self.node(depth + 1)
            value = self.node(depth + 1)
            if not isinstance(key, ScalarNode):
                self.refuse("Y113", key, "a list or mapping as a key", "a word", "check the indentation")
            if key.tag == "merge":
                merged.append((key, value))
            elif key.value in entries:
                first = entries[key.value][0].line
                self.problems.add(
                    "Y110",
                    key,
                    f"the key {key.value!r} a second time (first on line {first})",
                    "each key once",
                    "delete one of the two, or join their values",
                )
            else:
                entries[key.value] = (key, value)
        for key, value in merged:
            for source in value.items if isinstance(value, SequenceNode) else [value]:
                if not isinstance(source, MappingNode):
                    self.refuse("Y114", key, "'<<' with a text", "an alias of a mapping", "write <<: *name")
                for name, entry in source.entries.items():
                    entries.setdefault(name, entry)
        end = self.loader.get_event().end_mark.index
        return MappingNode(
            entries, event.start_mark.index, end, point.line, point.column, bool(event.flow_style)
        )


_PROPERTIES = re.compile(r"(?:[&!][^\s]*\s+)+")


def _skip_properties(text: str, start: int, end: int) -> int:
    match = _PROPERTIES.match(text, start, end)
    return match.end() if match else start


def describe(node: Node) -> str:
    """What a value is, in words, for messages."""
    if isinstance(node, SequenceNode):
        return "a list"
    if isinstance(node, MappingNode):
        return "a mapping (key: value)"
    words = {
        "int": "the number",
        "float": "the number",
        "bool": "the YAML boolean",
        "timestamp": "the date",
        "str": "the text",
    }
    if node.tag == "null":
        return "nothing"
    return f"{words.get(node.tag, 'the value')} {node.value[:40]!r}"
