"""Reads typed fields out of YAML nodes; whatever is wrong becomes a finding with its mend."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from labtune.taxonomy.problems import Edit, Problems, quote
from labtune.taxonomy.yaml_nodes import MappingNode, Node, ScalarNode, SequenceNode, describe

_WHOLE_PLACEHOLDER = re.compile(r"<(?=[^<>]*\s)[^<>=/]+>")
_ANY_PLACEHOLDER = re.compile(r"<[^<>\n]+>")
_QUOTABLE = frozenset({"int", "float", "bool", "timestamp"})


@dataclass(frozen=True, slots=True)
class TextRule:
    """What a text field must be.

    `name` is how messages call it. `short` marks names and addresses, where any `<...>` is a placeholder;
    in longer texts only a value that is nothing but `<some words>` is one.
    """

    name: str
    short: bool = False
    may_be_empty: bool = False


def text_field(node: MappingNode, key: str, rule: TextRule, problems: Problems) -> str | None:
    """A required text; None after recording why there is none."""
    value = node.get(key)
    if value is None:
        problems.add(
            "K102",
            node,
            f"no {key!r}",
            f"{rule.name}",
            f"add a line '{key}: ...'",
        )
        return None
    return text_value(value, rule, problems)


def text_value(value: Node, rule: TextRule, problems: Problems) -> str | None:
    """The stripped text of a node; None after recording why it is none."""
    if not isinstance(value, ScalarNode):
        problems.add(
            "K103", value, describe(value), f"{rule.name} as text", "write one text; use | for several lines"
        )
        return None
    if value.tag in _QUOTABLE:
        quoted = json.dumps(value.value, ensure_ascii=False)
        problems.add_fixable(
            "K103",
            value,
            (f"{describe(value)} without quotes", f"{rule.name} as text", f"quote it: {quoted}"),
            Edit(value.start, value.end, quoted, f"quoted {value.value}"),
        )
        return None
    text = value.value.strip() if value.tag != "null" else ""
    if not text and not rule.may_be_empty:
        found = "nothing" if value.tag == "null" or not value.value else "only white space"
        problems.add("K104", value, found, rule.name, "fill it in, or delete the whole entry")
        return None
    pattern = _ANY_PLACEHOLDER.search if rule.short else _WHOLE_PLACEHOLDER.fullmatch
    placeholder = pattern(text)
    if placeholder:
        problems.add(
            "K105",
            value,
            f"the template's placeholder {quote(placeholder.group())}",
            rule.name,
            "replace it, angle brackets included",
        )
        return None
    return text


def list_field(node: MappingNode, key: str, least: int, noun: str, problems: Problems) -> list[Node] | None:
    """The items of a required list; None after recording why there is none. Too few is recorded as well."""
    value = node.get(key)
    if value is None:
        problems.add("K102", node, f"no {key!r}", f"a list of {noun}", f"add '{key}:' and its entries")
        return None
    if not isinstance(value, SequenceNode):
        problems.add(
            "K103",
            node.entries[key][0] if isinstance(value, ScalarNode) and value.tag == "null" else value,
            describe(value),
            f"a list of {noun} under {key!r}",
            "start each entry with '- '",
        )
        return None
    if len(value.items) < least:
        problems.add(
            "K106",
            node.entries[key][0],
            f"{len(value.items)} of at least {least} {noun}",
            f"{least} or more",
            f"add {least - len(value.items)} more",
        )
    return value.items


def text_list(node: MappingNode, key: str, rule: TextRule, least: int, problems: Problems) -> list[str]:
    """The texts of a required list; wrong and repeated entries are recorded and left out."""
    texts: list[str] = []
    for item in list_field(node, key, least, f"{rule.name}s", problems) or []:
        text = text_value(item, rule, problems)
        if text is None:
            continue
        if text in texts:
            problems.add(
                "K107", item, f"{quote(text)} again", f"each {rule.name} once", "delete the repetition"
            )
        else:
            texts.append(text)
    return texts


def mapping_value(value: Node, what: str, keys: Sequence[str], problems: Problems) -> MappingNode | None:
    """The node as a mapping; None after recording that it is none."""
    if isinstance(value, MappingNode):
        return value
    problems.add("K103", value, describe(value), f"{what} with {_join(keys)}", "write 'key: value' lines")
    return None


def check_keys(node: MappingNode, known: Sequence[str], problems: Problems) -> None:
    """Record every key that is not known; a misspelling of a missing key can be mended mechanically."""
    for name, (key, value) in list(node.entries.items()):
        if name in known:
            continue
        near = nearest(name, known)
        free = near is not None and near not in node.entries
        if near and free and _is_misspelling(name, near):
            problems.add_fixable(
                "K101",
                key,
                (f"the key {name!r}", f"one of {_join(known)}", f"rename it to {near!r}"),
                Edit(key.start, key.end, near, f"renamed key {name} to {near}"),
            )
            # Read on under the right name, so that the key is not reported as missing as well.
            node.entries[near] = (key, value)
        else:
            mend = f"did you mean {near!r}?" if near and free else f"delete {name!r}"
            problems.add("K101", key, f"the key {name!r}", f"one of {_join(known)}", mend)


def nearest(name: str, known: Sequence[str]) -> str | None:
    """The known key that a misspelt one probably means."""
    bare = {_bare(key): key for key in known}
    near = difflib.get_close_matches(_bare(name)[:64], list(bare), n=1, cutoff=0.6)
    return bare[near[0]] if near else None


def _bare(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _is_misspelling(name: str, near: str) -> bool:
    return difflib.SequenceMatcher(None, _bare(name), _bare(near)).ratio() >= 0.85


def _join(words: Sequence[str]) -> str:
    return ", ".join(words)


def canonical(node: Node) -> object:
    """A hashable value that is equal for equal content, for finding repeated entries."""
    if isinstance(node, ScalarNode):
        return (node.tag, node.value)
    if isinstance(node, SequenceNode):
        return tuple(canonical(item) for item in node.items)
    return frozenset((key, canonical(value)) for key, (_, value) in node.entries.items())
