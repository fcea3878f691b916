"""The end of a generation: the stage's files, its summary, and the leaves that gave too little."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from labtune.artifact import write_json, write_text
from labtune.config.lab import GenerateConfig
from labtune.errors import GenerationError
from labtune.generation.result import LeafResult
from labtune.types import Json, Leaf, StageOutcome

_SHOWN = 5


def write_results(folder: Path, results: Mapping[str, LeafResult]) -> None:
    """Write samples.jsonl, rejected.jsonl, funnel.json and coverage.json, by leaf."""
    for name in ("samples", "rejected"):
        lines = [line for path in sorted(results) for line in getattr(results[path], name)]
        write_text(folder / f"{name}.jsonl", "".join(f"{line}\n" for line in lines))
    write_json(folder / "funnel.json", {path: results[path].funnel for path in sorted(results)})
    write_json(
        folder / "coverage.json",
        {path: results[path].coverage for path in sorted(results) if results[path].coverage},
    )


def outcome(results: Mapping[str, LeafResult], config: GenerateConfig) -> StageOutcome:
    """Counts and one line for people."""
    kept = sum(len(result.samples) for result in results.values())
    low = [
        path for path in sorted(results) if results[path].coverage.get("share", 1.0) < config.coverage_floor
    ]
    counts: dict[str, Json] = {
        "leaves": len(results),
        "samples": kept,
        "rejected": sum(len(result.rejected) for result in results.values()),
        "leaves_from_cache": sum(result.cached for result in results.values()),
        "leaves_below_coverage": list(low),
    }
    summary = f"{kept:,} samples of {len(results)} leaves"
    if low:
        summary += f"; coverage below {config.coverage_floor:.0%}: {', '.join(low)}"
    return StageOutcome(counts, summary)


def check_floors(leaves: Sequence[Leaf], results: Mapping[str, LeafResult], config: GenerateConfig) -> None:
    """Name every leaf that ended below the floor, or because too much failed; all leaves are done by then.

    Raises:
        GenerationError: there is one; names leaf, step, likely cause and remedy of each.
    """
    low = [leaf for leaf in leaves if leaf.path in results and _too_few(leaf, results[leaf.path], config)]
    if not low:
        return
    told = [_told(leaf, results[leaf.path], config) for leaf in low[:_SHOWN]]
    if len(low) > _SHOWN:
        told.append(f"... and {len(low) - _SHOWN} more, see funnel.json")
    done = len(results) - len(low)
    remedy = str(results[low[0].path].funnel.get("remedy") or "")
    hint = "look at rejected.jsonl and funnel.json of the leaf, or lower generate.min_samples"
    raise GenerationError(
        f"{'; '.join(told)} ({done} other {'leaf is' if done == 1 else 'leaves are'} done and kept)",
        hint=f"{remedy}; or {hint}" if remedy else hint,
    )


def _too_few(leaf: Leaf, result: LeafResult, config: GenerateConfig) -> bool:
    if only_exam(leaf):
        return False
    return _made(result) < config.min_samples or result.funnel.get("end") == "failed"


def _made(result: LeafResult) -> int:
    """Samples that the teacher made: a model's leaf is not saved by its human seeds."""
    return int(result.funnel.get("generated", len(result.samples)))


def _told(leaf: Leaf, result: LeafResult, config: GenerateConfig) -> str:
    step, cause = _likely_cause(leaf, result)
    where = "most was lost as" if "generated" in result.funnel else "step"
    made = _made(result)
    if made < config.min_samples:
        count = f"ended with {made} samples, fewer than {config.min_samples}"
    else:
        count = f"ended early with {made} samples, too much failed"
    return f"{leaf.path} {count}: {where} {step!r}, {cause}"


def only_exam(leaf: Leaf) -> bool:
    """True for a skill whose seeds all belong to the exam: that is what the lab asked for, not a failure."""
    return leaf.kind != "knowledge" and bool(leaf.seeds) and all(seed.held_out for seed in leaf.seeds)


def _likely_cause(leaf: Leaf, result: LeafResult) -> tuple[str, str]:
    funnel = result.funnel
    if funnel.get("cause"):
        return str(funnel["lost_at"]), str(funnel["cause"])
    if leaf.kind != "knowledge":
        return "seeds", "the leaf has no seeds that are not held out"
    rejected: dict[str, int] = {
        name.removeprefix("rejected:"): int(count)
        for name, count in funnel.items()
        if name.startswith("rejected:")
    }
    if not funnel.get("passages"):
        return "passages", "its documents hold no sentences"
    if rejected:
        worst = max(sorted(rejected), key=lambda name: rejected[name])
        return "check", f"{rejected[worst]} rows were dropped as {worst}"
    return "phrasing", "its documents are too short for so many samples"
