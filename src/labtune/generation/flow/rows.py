"""The row that walks a flow: what it says, where it came from, and the id that follows from that alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

from labtune.types import Json, Verdict

_DRAWS = 2**31 - 1


@dataclass(frozen=True, slots=True)
class TrailStep:
    """One step that a row took.

    `index` is its place among the step's children. `prompt` is the prompt's version, `model` who answered,
    `draw` the index of the sampling; they are empty where no model was asked. `calls` are the keys of the
    replies (see `FlowContext.reply_key`), in the order they came.
    """

    step: str
    index: int = 0
    prompt: str = ""
    model: str = ""
    temperature: float = 0.0
    draw: int = 0
    calls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FlowRow:
    """A row between two steps.

    `fields` holds everything known by name, `made` the names that steps added (the others came with the
    source row). `draw` tells apart requests with equal messages. A `final` row leaves the flow at once.
    """

    id: str
    leaf: str
    fields: Mapping[str, Json]
    trail: tuple[TrailStep, ...] = ()
    made: tuple[str, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    draw: int = 0
    final: bool = False

    @property
    def place(self) -> tuple[int, ...]:
        """Orders the descendants of one source row as the walk would, one after another."""
        return tuple(step.index for step in self.trail)

    def extended(self, step: TrailStep, fields: Mapping[str, Json]) -> FlowRow:
        """The same row with more fields."""
        return replace(
            self,
            fields={**self.fields, **fields},
            trail=(*self.trail, step),
            made=_joined(self.made, fields),
        )

    def child(self, step: TrailStep, fields: Mapping[str, Json], *, draw: int | None = None) -> FlowRow:
        """A new row; its id follows from this row's, the step's name and the index."""
        return replace(
            self,
            id=row_id(self.id, step.step, str(step.index)),
            fields={**self.fields, **fields},
            trail=(*self.trail, step),
            made=_joined(self.made, fields),
            draw=self.draw if draw is None else draw,
        )

    def judged(self, verdict: Verdict) -> FlowRow:
        """The same row with one more verdict."""
        return replace(self, verdicts=(*self.verdicts, verdict))

    def without(self, names: frozenset[str]) -> FlowRow:
        """The same row less some fields."""
        if not names:
            return self
        fields = {name: value for name, value in self.fields.items() if name not in names}
        return replace(self, fields=fields, made=tuple(name for name in self.made if name not in names))

    def leaving(self) -> FlowRow:
        """The same row, which leaves the flow now."""
        return replace(self, final=True)

    def shown(self) -> dict[str, Json]:
        """What people need to see of it: its id, what steps made of it and what judges said."""
        row: dict[str, Json] = {"id": self.id}
        row.update((name, self.fields[name]) for name in self.made if name in self.fields)
        if self.verdicts:
            row["verdicts"] = [
                {"step": verdict.step, "verdict": verdict.verdict, "reason": verdict.reason}
                for verdict in self.verdicts
            ]
        return row


def source_row(leaf: str, key: Sequence[str], fields: Mapping[str, Json], *, draw: int = 0) -> FlowRow:
    """A row that enters a flow.

    Args:
        leaf: path of the leaf.
        key: what tells this row apart in its leaf (chunk, seeds, round ...); the id follows from it.
        fields: what the prompts may use.
        draw: a number of one's own for each round, so that a model is asked anew.
    """
    return FlowRow(row_id(leaf, *key), leaf, fields, draw=draw)


def row_id(*parts: str) -> str:
    """24 hex digits over texts."""
    return sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:24]


def next_draw(draw: int, *parts: str) -> int:
    """A sampling index of its own for a row that is told apart by `parts` alone."""
    text = "\0".join((str(draw), *parts)).encode("utf-8", "surrogatepass")
    return int.from_bytes(sha256(text).digest()[:8], "big") % _DRAWS + 1


def _joined(made: tuple[str, ...], fields: Mapping[str, Json]) -> tuple[str, ...]:
    fresh = tuple(name for name in fields if name not in made)
    return made + fresh if fresh else made
