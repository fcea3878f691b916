"""Phases: which rows each is made of, how small leaves are brought to a floor, what it replays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from labtune.config.lab import MixConfig
from labtune.mixing.noise import QuestionNoise
from labtune.mixing.replay import TokenCounts, draw, shuffle_key
from labtune.mixing.rows import SOURCE_LEAF, Candidate, Origin, Placed

Recipe = Literal["lab", "single", "cpt"]
PHASES: Mapping[Recipe, tuple[str, ...]] = {
    "lab": ("knowledge-short", "knowledge-long", "skills"),
    "single": ("single",),
    "cpt": ("pretraining", "instruction"),
}
SOURCES_FLOOR = 0.03
"""Least share of a leaf in a phase with rows of sources, where the lab names none. Source: InstructLab."""

LEAVES_SHARE = 0.5
"""Most that floors together may ask of a phase with rows of sources: many leaves have smaller floors."""


@dataclass(frozen=True, slots=True)
class Pools:
    """Everything that phases are made of.

    Attributes:
        own: rows of samples, documents and sources; each goes into one phase.
        repeats: how often rows of sources come besides the first time, where that was asked for.
        general: the general set, from which every phase replays.
    """

    own: Sequence[Candidate]
    repeats: Mapping[str, int]
    general: Sequence[Candidate]


@dataclass(frozen=True, slots=True)
class Raised:
    """A leaf that was brought towards the floor of a phase, by repeating its rows."""

    phase: str
    leaf: str
    tokens: int
    wanted: int
    reached: int


def phase_of(row: Candidate, recipe: Recipe) -> str:
    """The phase that a row belongs to."""
    if recipe == "single":
        return "single"
    if recipe == "cpt":
        return "pretraining" if row.text else "instruction"
    if row.goes_to or row.text:
        return row.goes_to or "knowledge-long"
    if not row.knowledge:
        return "skills"
    return "knowledge-short" if row.metadata["length"] == "short" else "knowledge-long"


@dataclass(frozen=True, slots=True)
class PhaseBuilder:
    """What building phases needs besides rows."""

    config: MixConfig
    recipe: Recipe
    counts: TokenCounts
    seed: int
    noise: QuestionNoise

    def build(self, pools: Pools) -> tuple[dict[str, list[Placed]], list[Raised]]:
        """The rows of each phase in training order, and the leaves that were brought to a floor."""
        own_of: dict[str, list[Candidate]] = {name: [] for name in PHASES[self.recipe]}
        for row in pools.own:
            own_of[phase_of(row, self.recipe)].append(row)
        phases: dict[str, list[Placed]] = {}
        raised: list[Raised] = []
        earlier: list[Candidate] = []
        for name, rows in own_of.items():
            if not rows:
                continue
            placed = [
                Placed(row, _origin(row), n, name, repeat)
                for row, n in zip(rows, self.counts.of(rows), strict=True)
                for repeat in range(1 + pools.repeats.get(row.id, 0))
            ]
            raised += self._raise_leaves(placed, name)
            placed = self.noise.over(placed, name, self.counts)
            if self.config.replay:
                placed += self._replay(placed, earlier, pools.general, name)
            phases[name] = sorted(placed, key=lambda row: shuffle_key(self.seed, name, row.origin, row.id))
            earlier += rows
        return phases, raised

    def _replay(
        self,
        placed: Sequence[Placed],
        earlier: Sequence[Candidate],
        general: Sequence[Candidate],
        name: str,
    ) -> list[Placed]:
        phase_budget, general_budget = _budgets(
            own=sum(row.n_tokens for row in placed),
            earlier=sum(self.counts.of(earlier)),
            phase_share=self.config.phase_share,
            general_share=self.config.general_share if general else 0.0,
        )
        draws: tuple[tuple[Origin, Sequence[Candidate], float], ...] = (
            ("phase_replay", earlier, phase_budget),
            ("general_replay", general, general_budget),
        )
        replayed = [
            Placed(row, origin, n, phase_of(row, self.recipe) if origin == "phase_replay" else "", k)
            for origin, pool, budget in draws
            for row, n, k in draw(pool, budget, self.counts, seed=self.seed, name=f"{name}/{origin}")
        ]
        return self.noise.over(replayed, name, self.counts)

    def _raise_leaves(self, placed: list[Placed], name: str) -> list[Raised]:
        """Repeat rows of small leaves in `placed` until each leaf has its floor, or comes too often."""
        floor = self.config.leaf_floor
        if floor is None:
            floor = SOURCES_FLOOR if any(row.origin == "source" for row in placed) else 0.0
        rows_of: dict[str, list[Candidate]] = {}
        tokens: dict[str, int] = {}
        for row in placed:
            if row.origin == "sample":
                rows_of.setdefault(row.candidate.leaf, []).append(row.candidate)
                tokens[row.candidate.leaf] = tokens.get(row.candidate.leaf, 0) + row.n_tokens
        others = sum(row.n_tokens for row in placed if row.origin == "source")
        raised: list[Raised] = []
        for leaf, wanted in sorted(floors(tokens, others, floor).items()):
            budget = min(wanted - tokens[leaf], tokens[leaf] * (self.config.max_repeats - 1))
            drawn = draw(rows_of[leaf], budget, self.counts, seed=self.seed, name=f"{name}/floor")
            placed += [Placed(row, "sample", n, name, repeat + 1) for row, n, repeat in drawn]
            reached = tokens[leaf] + sum(n for _, n, _ in drawn)
            raised.append(Raised(name, leaf, tokens[leaf], round(wanted), reached))
        return raised


def _origin(row: Candidate) -> Origin:
    return "source" if row.leaf == SOURCE_LEAF else "sample"


def _budgets(*, own: int, earlier: int, phase_share: float, general_share: float) -> tuple[float, float]:
    """Tokens of phase replay and of general replay beside `own` tokens.

    Earlier rows are replayed once at most: repeating a small earlier phase to reach a share would spend the
    budget on what the student has seen most.
    """
    phase = min(float(earlier), phase_share * own / (1 - phase_share - general_share))
    return phase, general_share * (own + phase) / (1 - general_share)


def floors(tokens: Mapping[str, int], others: int, floor: float) -> dict[str, float]:
    """Tokens to which each leaf below the floor has to grow, so that it has its share of the grown phase.

    Args:
        tokens: of each leaf.
        others: tokens of the phase that belong to no leaf and do not grow.
        floor: share of the phase; it is lowered where the leaves' floors would ask for too much together.
    """
    share = min(floor, (LEAVES_SHARE if others else 1.0) / max(1, len(tokens)))
    below: set[str] = set()
    while True:
        rest = others + sum(n for leaf, n in tokens.items() if leaf not in below)
        total = rest / (1 - share * len(below))
        small = {leaf for leaf, n in tokens.items() if n < share * total - 1e-9} | below
        if small == below:
            return dict.fromkeys(below, share * total)
        below = small
