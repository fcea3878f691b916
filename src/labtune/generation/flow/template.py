"""Templates of prompts: a small, sandboxed part of Jinja, checked before anything is rendered.

Allowed are texts, `{{ field | block("tag") }}`, `{{ field | line }}`, `if`, `for` and comparisons. Values are
material that strangers wrote: they are never evaluated, and a value can neither close the tags that enclose
it nor go on in a line of its own. There are no calls and no arithmetic, so rendering ends and stays small.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, nodes
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from labtune.errors import ConfigError, DataError
from labtune.generation.flow.fields import ITEM_FIELDS
from labtune.generation.yaml_file import nearest

LINE_CHARACTERS = 1000
_MAX_NODES = 4000
_MAX_NESTING = 24
_LITERAL = (nodes.Template, nodes.Output, nodes.TemplateData, nodes.Const, nodes.List, nodes.Tuple)
_LOGIC = (nodes.If, nodes.For, nodes.CondExpr, nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not)
_VALUES = (nodes.Name, nodes.Getattr, nodes.Getitem, nodes.Filter, nodes.Test, nodes.Concat)
_ALLOWED = (*_LITERAL, *_LOGIC, *_VALUES)
_FILTERS = frozenset({"block", "line", "trim", "length", "join", "first", "last", "lower", "upper"})
_TESTS = frozenset({"string", "number", "mapping", "sequence", "boolean", "true", "false", "none"})
_SAFE_FILTERS = frozenset({"block", "line", "length"})
_LOOP = frozenset({"index", "index0", "first", "last", "length"})
_TAG = re.compile(r"[a-z][a-z_]{0,30}")
_BREAKS = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Variable:
    """A field that a template uses, and the line (from 1) of its first use."""

    name: str
    line: int


class Template:
    """One checked template. `variables` are the fields it needs."""

    __slots__ = ("_compiled", "variables")

    def __init__(self, compiled: Any, variables: tuple[Variable, ...]) -> None:
        self._compiled = compiled
        self.variables = variables

    def render(self, fields: Mapping[str, Any]) -> str:
        """The text.

        Raises:
            DataError: a field is missing or of the wrong kind.
        """
        try:
            return str(self._compiled.render(fields))
        except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, RecursionError) as error:
            raise DataError(f"the template does not fit the row: {error}") from error


def compile_template(text: str, file: str, line: int = 1, *, prompt: bool = True) -> Template:
    """Check and compile.

    Args:
        text: the template.
        file: its file, for messages.
        line: the line of the file at which it begins.
        prompt: whether every value must be put within tags or on one line.

    Raises:
        ConfigError: not a template, or one that does more than is allowed; with file:line.
    """
    try:
        tree = _ENVIRONMENT.parse(text)
        variables = _check(tree, file, line, prompt)
        compiled = _ENVIRONMENT.from_string(tree)
    except TemplateSyntaxError as error:
        raise ConfigError(f"{file}:{line + error.lineno - 1}: not a template: {error.message}") from error
    except (TemplateError, RecursionError, SyntaxError, ValueError, OverflowError, MemoryError) as error:
        raise ConfigError(f"{file}:{line}: not a template: {error}") from error
    return Template(compiled, variables)


def block(value: object, tag: str) -> str:
    """A text within `<tag>` and `</tag>`; where it holds that tag itself, the tag gets a number."""
    text = _text(value).strip()
    taken = [int(number or 1) for number in _tags(tag).findall(text)]
    name = f"{tag}_{max(taken) + 1}" if taken else tag
    return f"<{name}>\n{text}\n</{name}>"


def line_of(value: object) -> str:
    """A text on one line, bounded, without angle brackets."""
    text = _BREAKS.sub(" ", _text(value)).strip()
    text = text.replace("<", "‹").replace(">", "›")
    return text if len(text) <= LINE_CHARACTERS else text[:LINE_CHARACTERS] + " …"


@cache
def _tags(tag: str) -> re.Pattern[str]:
    return re.compile(rf"<\s*/?\s*{tag}(?:_([0-9]{{1,9}}))?", re.IGNORECASE)


def _text(value: object) -> str:
    if isinstance(value, list):
        return "\n".join(f"- {_text(item)}" for item in value)
    return str(value)


class _Environment(ImmutableSandboxedEnvironment):
    """Names lead to keys of mappings only, never to attributes or methods of Python objects."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, Mapping) and isinstance(argument, str) and argument in obj:
            return obj[argument]
        if isinstance(obj, LoopContext) and argument in _LOOP:
            return getattr(obj, argument)
        return self.undefined(obj=obj, name=argument)


def _environment() -> _Environment:
    environment = _Environment(
        undefined=StrictUndefined, autoescape=False, trim_blocks=True, lstrip_blocks=True, cache_size=0
    )
    environment.globals.clear()
    environment.filters = {name: made for name, made in environment.filters.items() if name in _FILTERS} | {
        "block": block,
        "line": line_of,
    }
    environment.tests = {
        name: made
        for name, made in environment.tests.items()
        if name in _TESTS or not name.isidentifier() or name in {"eq", "ne", "lt", "le", "gt", "ge", "in"}
    }
    return environment


_ENVIRONMENT = _environment()


def _check(tree: nodes.Template, file: str, line: int, prompt: bool) -> tuple[Variable, ...]:
    checker = _Checker(file, line)
    checker.visit(tree, frozenset(), 0, 0)
    if prompt:
        checker.check_outputs(tree)
    return tuple(Variable(name, number) for name, number in checker.used.items())


class _Checker:
    """Walks the syntax tree once; remembers the first line of each field."""

    def __init__(self, file: str, line: int) -> None:
        self._file = file
        self._line = line
        self._nodes = 0
        self._items: dict[str, frozenset[str]] = {}
        self.used: dict[str, int] = {}

    def _refuse(self, node: nodes.Node, what: str, hint: str | None = None) -> ConfigError:
        return ConfigError(f"{self._file}:{self._at(node)}: {what}", hint=hint)

    def _at(self, node: nodes.Node) -> int:
        return self._line + node.lineno - 1

    def visit(self, node: nodes.Node, bound: frozenset[str], depth: int, loops: int) -> None:
        self._nodes += 1
        if self._nodes > _MAX_NODES or depth > _MAX_NESTING:
            raise self._refuse(node, "the template is too large or nested too deeply")
        if not isinstance(node, _ALLOWED):
            name = type(node).__name__.lower()
            raise self._refuse(
                node,
                f"{name!r} is not allowed in a template",
                "allowed: texts, {{ field | block('tag') }}, {{ field | line }}, if, for, comparisons",
            )
        if isinstance(node, nodes.For):
            self._for(node, bound, depth, loops)
            return
        self._names(node, bound)
        for child in node.iter_child_nodes():
            self.visit(child, bound, depth + 1, loops)

    def _for(self, node: nodes.For, bound: frozenset[str], depth: int, loops: int) -> None:
        target = node.target
        if loops or node.recursive:
            raise self._refuse(node, "a loop within a loop")
        if not isinstance(target, nodes.Name):
            raise self._refuse(node, "a loop has one variable")
        self.visit(node.iter, bound, depth + 1, loops)
        if isinstance(node.iter, nodes.Name) and node.iter.name in ITEM_FIELDS:
            self._items[target.name] = ITEM_FIELDS[node.iter.name]
        inner = bound | {target.name, "loop"}
        for child in (*node.body, *([node.test] if node.test else [])):
            self.visit(child, inner, depth + 1, loops + 1)
        for child in node.else_:
            self.visit(child, bound, depth + 1, loops)
        self._items.pop(target.name, None)

    def _names(self, node: nodes.Node, bound: frozenset[str]) -> None:
        if isinstance(node, nodes.Name) and node.name not in bound:
            self.used.setdefault(node.name, self._at(node))
        elif isinstance(node, nodes.Filter):
            self._filter(node)
        elif isinstance(node, nodes.Test) and node.name not in _TESTS:
            raise self._refuse(node, f"there is no test {node.name!r}", nearest(node.name, sorted(_TESTS)))
        elif isinstance(node, (nodes.Getattr, nodes.Getitem)):
            self._member(node, bound)

    def _filter(self, node: nodes.Filter) -> None:
        if node.name not in _FILTERS:
            hint = nearest(node.name, sorted(_FILTERS))
            raise self._refuse(node, f"there is no filter {node.name!r}", hint)
        if node.node is None:
            raise self._refuse(node, "a filter needs a value before it")
        if node.kwargs or node.dyn_args is not None or node.dyn_kwargs is not None:
            raise self._refuse(node, f"{node.name!r} takes plain arguments only")
        texts = [
            arg.value for arg in node.args if isinstance(arg, nodes.Const) and isinstance(arg.value, str)
        ]
        if len(texts) != len(node.args) or len(texts) != (node.name in {"block", "join"}):
            raise self._refuse(node, f"{node.name!r} takes one text in quotes at most")
        if node.name == "block" and not _TAG.fullmatch(texts[0]):
            raise self._refuse(node, f"{texts[0]!r} is no tag", "lower-case letters and _, such as document")

    def _member(self, node: nodes.Getattr | nodes.Getitem, bound: frozenset[str]) -> None:
        if isinstance(node, nodes.Getitem):
            key = node.arg.value if isinstance(node.arg, nodes.Const) else None
        else:
            key = node.attr
        if not isinstance(key, str):
            raise self._refuse(node, "a place in brackets must be a text in quotes")
        owner = node.node.name if isinstance(node.node, nodes.Name) else None
        known = _LOOP if owner == "loop" and owner in bound else self._items.get(owner or "")
        if known is not None and key not in known:
            hint = nearest(key, sorted(known))
            raise self._refuse(node, f"{owner!r} has no {key!r}", hint)

    def check_outputs(self, tree: nodes.Template) -> None:
        """Refuse values that are put bare into a prompt."""
        for output in tree.find_all(nodes.Output):
            for node in output.nodes:
                for value in _leaves(node):
                    if not _is_enclosed(value):
                        raise self._refuse(
                            value,
                            "a value is put bare into the prompt, so it could pass for an instruction",
                            "write {{ field | block('tag') }} for texts, {{ field | line }} for short values",
                        )


def _leaves(node: nodes.Node) -> Iterator[nodes.Node]:
    """What may be printed: both branches of a condition, all parts of a concatenation."""
    if isinstance(node, nodes.CondExpr):
        yield from _leaves(node.expr1)
        if node.expr2 is not None:
            yield from _leaves(node.expr2)
    elif isinstance(node, nodes.Concat):
        for part in node.nodes:
            yield from _leaves(part)
    else:
        yield node


def _is_enclosed(node: nodes.Node) -> bool:
    if isinstance(node, (nodes.TemplateData, nodes.Const)):
        return True
    if isinstance(node, nodes.Filter):
        return node.name in _SAFE_FILTERS
    return isinstance(node, nodes.Getattr) and isinstance(node.node, nodes.Name) and node.node.name == "loop"
