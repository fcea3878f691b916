"""`mix.json`: where every row of every phase comes from, how many, by which draw, with hashes."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from labtune.artifact import canonical_json
from labtune.mixing.noise import is_noisy
from labtune.mixing.phases import Raised, Recipe
from labtune.mixing.removal import Removed
from labtune.mixing.rows import Fields, Origin, Placed
from labtune.types import Json

SCHEMA = 2
ORIGINS: tuple[Origin, ...] = ("sample", "phase_replay", "general_replay")


@dataclass(slots=True)
class Account:
    """What mixing finds out on its way.

    Attributes:
        recipe, seed: of this mix.
        inputs: hashes of what was read.
        sources: name -> what was there, asked for, drawn; written as it is.
        made: part -> rows made of passages, too long, shortened.
        removed: rows that enter no phase.
        raised: leaves brought to a floor.
    """

    recipe: Recipe
    seed: int
    inputs: Mapping[str, str]
    general_set: dict[str, Json]
    sources: dict[str, dict[str, Json]] = field(default_factory=dict)
    made: dict[str, dict[str, Json]] = field(default_factory=dict)
    removed: list[Removed] = field(default_factory=list)
    raised: list[Raised] = field(default_factory=list)


def describe(rows: Sequence[Placed]) -> dict[str, Json]:
    """Rows and tokens of a phase by origin."""
    origins = ORIGINS + (("source",) if any(row.origin == "source" for row in rows) else ())
    n_rows: Counter[str] = Counter(row.origin for row in rows)
    n_tokens: Counter[str] = Counter()
    for row in rows:
        n_tokens[row.origin] += row.n_tokens
    total = sum(n_tokens.values())
    return {
        "rows": {origin: n_rows[origin] for origin in origins},
        "tokens": {origin: n_tokens[origin] for origin in origins},
        "shares": {origin: _share(n_tokens[origin], total) for origin in origins},
        "repeated": {
            origin: sum(row.repeat > 0 for row in rows if row.origin == origin) for origin in origins[1:]
        },
        "total_rows": len(rows),
        "total_tokens": total,
    }


def report(phases: Mapping[str, Sequence[Placed]], account: Account, fields: Fields) -> dict[str, Json]:
    """The content of `mix.json`."""
    pools: dict[str, Json] = {}
    for pool in ("sample", "general_replay", *account.sources):
        reasons = Counter(r.reason for r in account.removed if r.pool == pool)
        pools[pool] = dict(sorted(reasons.items()))
    return {
        "schema": SCHEMA,
        "recipe": account.recipe,
        "seed": account.seed,
        "inputs": dict(account.inputs),
        "phases": {
            name: {**describe(rows), "parts": _parts(name, rows, fields)} for name, rows in phases.items()
        },
        "removed": pools,
        "general_set": account.general_set,
        "sources": {name: dict(value) for name, value in account.sources.items()},
        "made": {name: dict(value) for name, value in account.made.items()},
        "raised": [{**asdict(one)} for one in account.raised],
    }


def _parts(phase: str, rows: Sequence[Placed], fields: Fields) -> list[Json]:
    """Each kind of row of a phase: how much of it, the draw that chose it, the hash of its rows."""
    groups: dict[tuple[str, str], list[Placed]] = {}
    for row in rows:
        groups.setdefault((row.origin, row.candidate.part), []).append(row)
    total = sum(row.n_tokens for row in rows)
    parts: list[Json] = []
    for (origin, part), group in sorted(groups.items()):
        n_tokens = sum(row.n_tokens for row in group)
        noisy: dict[str, Json] = {"noisy": sum(map(is_noisy, group))} if fields.noise else {}
        parts.append(
            {
                **noisy,
                "origin": origin,
                "part": part,
                "rows": len(group),
                "repeated": sum(row.repeat > 0 for row in group),
                "unmasked": sum(row.candidate.unmask for row in group),
                "tokens": n_tokens,
                "share": _share(n_tokens, total),
                "draw": f"{phase}/{origin}" if origin.endswith("replay") else "",
                "hash": _hash(group, fields),
            }
        )
    return parts


def _hash(rows: Sequence[Placed], fields: Fields) -> str:
    digest = hashlib.sha256()
    for row in sorted(rows, key=lambda row: row.id):
        digest.update(canonical_json(row.as_json(fields)).encode())
    return digest.hexdigest()


def _share(part: int, total: int) -> float:
    return round(part / total, 4) if total else 0.0
