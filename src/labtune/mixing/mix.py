"""The mix stage: samples -> the training rows of each phase.

Recipe `lab` (arXiv 2403.01081): knowledge with short answers, knowledge with long answers, then skills;
each phase replays its predecessors' own rows and a general set by share of its tokens. Recipe `single`
stacks everything into one phase with general replay (arXiv 2412.13337 found it as good).

Writes `<phase>.jsonl`, `phases.json`, `removed.jsonl` and `mix.json`. Files depend on content and seed
only, not on the order of the samples.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from labtune.artifact import Curated, SampleSet, write_json, write_jsonl
from labtune.config.lab import MixConfig
from labtune.errors import ConfigError, StageError
from labtune.mixing.general import GeneralRow
from labtune.mixing.removal import LeakFilter, Removed, split_duplicates
from labtune.mixing.replay import CountTokens, TokenCounts, draw, shuffle_key
from labtune.mixing.rows import Candidate, Origin, Placed, from_general, from_sample
from labtune.types import Json, RunContext, StageOutcome

Recipe = Literal["lab", "single"]
MIX_SCHEMA = 1
PHASES: Mapping[Recipe, tuple[str, ...]] = {
    "lab": ("knowledge-short", "knowledge-long", "skills"),
    "single": ("single",),
}
ORIGINS: tuple[Origin, ...] = ("sample", "phase_replay", "general_replay")


@dataclass(frozen=True, slots=True)
class MixInputs:
    """What mixing needs besides samples, curated exam and settings.

    Attributes:
        recipe: how samples are divided into phases.
        count_tokens: tokens of rendered chats with the student's tokenizer, in the order given.
        general: the general replay set.
        general_exam: questions of the general exam, which no row may ask.
    """

    recipe: Recipe
    count_tokens: CountTokens
    general: Sequence[GeneralRow] = ()
    general_exam: Sequence[str] = ()


def mix(
    samples: SampleSet, curated: Curated, *, config: MixConfig, run: RunContext, inputs: MixInputs
) -> StageOutcome:
    """Put together the training set of each phase.

    Raises:
        ConfigError: the replay shares leave no room for the phase's own rows.
        StageError: no row is left to train on.
    """
    if config.replay and config.general_share + config.phase_share >= 1:
        raise ConfigError(
            f"mix.general_share + mix.phase_share is {config.general_share + config.phase_share:g}: "
            "nothing is left for a phase's own rows",
            hint="make their sum smaller than 1",
        )
    seeds = [seed for leaf in curated.leaves() for seed in leaf.seeds]
    leaks = LeakFilter(curated.exam(), inputs.general_exam, config.leak_overlap, seeds)
    own, removed = _clean([from_sample(s) for s in samples.samples()], leaks, config, "sample")
    if not own:
        reasons = ", ".join(
            f"{n} {reason}" for reason, n in sorted(Counter(r.reason for r in removed).items())
        )
        raise StageError(
            f"mixing: no training row is left ({reasons or 'the sample set is empty'})",
            hint="labtune generate, or look into removed.jsonl",
        )
    general: list[Candidate] = []
    if config.replay:
        general, removed_general = _clean(
            [from_general(row) for row in inputs.general], leaks, config, "general_replay"
        )
        removed += removed_general
    phases = _build_phases(own, general, config, run, inputs)
    for name, rows in phases.items():
        write_jsonl(run.out_dir / f"{name}.jsonl", (row.as_json() for row in rows))
        run.emit("mix.phase", {"phase": name, **_describe(rows)})
    removed.sort(key=lambda r: (r.pool, r.candidate.id))
    write_jsonl(run.out_dir / "removed.jsonl", (r.as_json() for r in removed))
    write_json(run.out_dir / "phases.json", list(phases))
    report = _report(phases, removed, inputs, run.seed)
    write_json(run.out_dir / "mix.json", report)
    return _outcome(phases, removed)


def _clean(
    rows: Sequence[Candidate], leaks: LeakFilter, config: MixConfig, pool: str
) -> tuple[list[Candidate], list[Removed]]:
    removed: list[Removed] = []
    passed: dict[str, Candidate] = {}
    for row in sorted(rows, key=lambda row: row.id):
        if not row.trainable:
            removed.append(Removed(row, pool, "incomplete", "", 0.0, ""))
        elif row.id in passed:
            removed.append(Removed(row, pool, "same_id", row.id, 1.0, passed[row.id].questions[-1]))
        elif (leak := leaks.check(row, pool)) is not None:
            removed.append(leak)
        else:
            passed[row.id] = row
    kept, duplicates = split_duplicates(list(passed.values()), config.near_duplicate, pool)
    return sorted(kept, key=lambda row: row.id), removed + duplicates


def _phase_of(row: Candidate, recipe: Recipe) -> str:
    if recipe == "single":
        return "single"
    if not row.knowledge:
        return "skills"
    return "knowledge-short" if row.metadata["length"] == "short" else "knowledge-long"


def _build_phases(
    own: Sequence[Candidate],
    general: Sequence[Candidate],
    config: MixConfig,
    run: RunContext,
    inputs: MixInputs,
) -> dict[str, list[Placed]]:
    counts = TokenCounts(inputs.count_tokens)
    own_of: dict[str, list[Candidate]] = {name: [] for name in PHASES[inputs.recipe]}
    for row in own:
        own_of[_phase_of(row, inputs.recipe)].append(row)
    phases: dict[str, list[Placed]] = {}
    earlier: list[Candidate] = []
    for name, rows in own_of.items():
        if not rows:
            continue
        placed = [Placed(row, "sample", n, name) for row, n in zip(rows, counts.of(rows), strict=True)]
        if config.replay:
            phase_budget, general_budget = _budgets(
                own=sum(row.n_tokens for row in placed),
                earlier=sum(counts.of(earlier)),
                phase_share=config.phase_share,
                general_share=config.general_share if general else 0.0,
            )
            draws: tuple[tuple[Origin, list[Candidate], float], ...] = (
                ("phase_replay", earlier, phase_budget),
                ("general_replay", list(general), general_budget),
            )
            for origin, pool, budget in draws:
                drawn = draw(pool, budget, counts, seed=run.seed, name=f"{name}/{origin}")
                placed += [
                    Placed(
                        row, origin, n, _phase_of(row, inputs.recipe) if origin == "phase_replay" else "", k
                    )
                    for row, n, k in drawn
                ]
        phases[name] = sorted(placed, key=lambda row: shuffle_key(run.seed, name, row.origin, row.id))
        earlier += rows
    return phases


def _budgets(*, own: int, earlier: int, phase_share: float, general_share: float) -> tuple[float, float]:
    """Tokens of phase replay and of general replay beside `own` tokens.

    Earlier rows are replayed once at most: repeating a small earlier phase to reach a share would spend the
    budget on what the student has seen most.
    """
    phase = min(float(earlier), phase_share * own / (1 - phase_share - general_share))
    return phase, general_share * (own + phase) / (1 - general_share)


def _describe(rows: Sequence[Placed]) -> dict[str, Json]:
    n_rows: Counter[str] = Counter(row.origin for row in rows)
    n_tokens: Counter[str] = Counter()
    for row in rows:
        n_tokens[row.origin] += row.n_tokens
    total = sum(n_tokens.values())
    return {
        "rows": {origin: n_rows[origin] for origin in ORIGINS},
        "tokens": {origin: n_tokens[origin] for origin in ORIGINS},
        "shares": {origin: round(n_tokens[origin] / total, 4) if total else 0.0 for origin in ORIGINS},
        "repeated": {
            origin: sum(row.repeat > 0 for row in rows if row.origin == origin) for origin in ORIGINS[1:]
        },
        "total_rows": len(rows),
        "total_tokens": total,
    }


def _report(
    phases: Mapping[str, Sequence[Placed]], removed: Sequence[Removed], inputs: MixInputs, seed: int
) -> dict[str, Json]:
    pools: dict[str, Json] = {}
    for pool in ("sample", "general_replay"):
        counts = Counter(r.reason for r in removed if r.pool == pool)
        pools[pool] = dict(sorted(counts.items()))
    return {
        "schema": MIX_SCHEMA,
        "recipe": inputs.recipe,
        "seed": seed,
        "phases": {name: _describe(rows) for name, rows in phases.items()},
        "removed": pools,
        "general_set": {"rows": len(inputs.general), "exam_questions": len(inputs.general_exam)},
    }


def _outcome(phases: Mapping[str, Sequence[Placed]], removed: Sequence[Removed]) -> StageOutcome:
    n_leaks = sum(r.reason in ("exam_question", "exam_answer", "held_out_seed") for r in removed)
    n_duplicates = sum(r.reason == "near_duplicate" for r in removed)
    n_rows = sum(len(rows) for rows in phases.values())
    n_tokens = sum(row.n_tokens for rows in phases.values() for row in rows)
    counts: dict[str, Json] = {
        "phases": list(phases),
        "rows": n_rows,
        "tokens": n_tokens,
        "duplicates": n_duplicates,
        "leaks": n_leaks,
        "incomplete": len(removed) - n_leaks - n_duplicates,
    }
    parts = ", ".join(f"{name} {len(rows)}" for name, rows in phases.items())
    return StageOutcome(
        counts,
        f"{n_rows} rows ({n_tokens} tokens) in {len(phases)} phases: {parts}; "
        f"removed {n_duplicates} near duplicates and {n_leaks} exam leaks",
    )
