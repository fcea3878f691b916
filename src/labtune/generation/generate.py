"""The generation stage: from curated leaves to samples, leaf by leaf, each from the cache where it can be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labtune.artifact import Curated, content_hash, write_json, write_text
from labtune.config.lab import GenerateConfig
from labtune.errors import GenerationError
from labtune.generation.coverage import leaf_coverage
from labtune.generation.lexicon import lexicon_hash
from labtune.generation.pipeline import Pipeline, load_pipeline
from labtune.generation.result import (
    LeafResult,
    identify,
    read_result,
    rejection_line,
    sample_line,
    write_result,
)
from labtune.generation.rows import BlockContext, Row
from labtune.generation.seeds import held_out_guard, knowledge_seed_samples
from labtune.generation.skills import skill_samples
from labtune.types import Chunk, Document, Json, Leaf, Message, RunContext, Sample, Span, StageOutcome

GENERATOR_VERSION = "4"
"""Goes up when rules change what a leaf gives; word lists and pipelines enter the key by themselves."""
_SHOW_EVERY = 400


def generate(curated: Curated, *, config: GenerateConfig, run: RunContext, teacher: str) -> StageOutcome:
    """Write samples.jsonl, rejected.jsonl, funnel.json and coverage.json to `run.out_dir`.

    Raises:
        GenerationError: a leaf ended below `config.min_samples`; names leaf, step and likely cause.
        ConfigError: the pipeline is unknown or malformed.
    """
    pipeline = load_pipeline("builtin" if config.pipeline == "auto" else config.pipeline)
    leaves = sorted(curated.leaves(), key=lambda leaf: leaf.path)
    documents = {document.id: document for document in curated.documents()}
    chunks: dict[str, list[Chunk]] = {}
    for chunk in curated.chunks():
        chunks.setdefault(chunk.leaf, []).append(chunk)
    results: dict[str, LeafResult] = {}
    kept = 0
    for done, leaf in enumerate(leaves):
        _progress(run, leaf.path, done, len(leaves), kept)
        job = _Job(leaf, tuple(chunks.get(leaf.path, ())), documents, config, run, teacher, pipeline)
        results[leaf.path] = job.result()
        kept += len(results[leaf.path].samples)
        _report_leaf(run, leaf, results[leaf.path], config)
        _check_floor(leaf, results[leaf.path], config)
    _progress(run, "", len(leaves), len(leaves), kept)
    _write(run.out_dir, results)
    return _outcome(results, config)


@dataclass(frozen=True, slots=True)
class _Job:
    """One leaf's work with its cache."""

    leaf: Leaf
    chunks: tuple[Chunk, ...]
    documents: Mapping[str, Document]
    config: GenerateConfig
    run: RunContext
    teacher: str
    pipeline: Pipeline

    def key(self) -> str:
        """Everything that the leaf's rows depend on."""
        settings = self.config.model_dump(exclude={"min_samples", "coverage_floor"})
        blocks = [(spec.name, spec.type, spec.config.model_dump()) for spec in self.pipeline.blocks]
        return content_hash(
            self.leaf,
            self.chunks,
            settings,
            blocks,
            self.teacher,
            self.run.seed,
            GENERATOR_VERSION,
            lexicon_hash(),
        )

    def result(self) -> LeafResult:
        """From the cache, or made and put there."""
        path = self.run.cache_dir / "generate" / f"{self.key()}.jsonl"
        cached = read_result(path)
        if cached is not None:
            return cached
        result = self._make()
        write_result(path, result)
        return result

    def _make(self) -> LeafResult:
        if self.leaf.kind == "knowledge":
            return self._knowledge()
        samples = list(
            skill_samples(
                self.leaf,
                variants=self.config.skill_variants,
                seed=self.run.seed,
                teacher=self.teacher,
                pipeline=self.pipeline.name,
            )
        )
        funnel = {"asked": len(samples), "produced": len(samples), "kept": len(samples)}
        return LeafResult(tuple(map(sample_line, samples)), (), funnel, {})

    def _knowledge(self) -> LeafResult:
        used = {chunk.document_id: self.documents[chunk.document_id] for chunk in self.chunks}
        context = BlockContext(self.leaf, used, self.chunks, self.config, self.run.seed)
        guard = held_out_guard(self.leaf)
        samples: list[Sample] = []
        for row in self.pipeline.stream(context):
            if guard(row.question):
                context.reject("seeds", "held_out_question", {"question": row.question, "form": row.form})
                continue
            samples.append(self._sample(row))
            if len(samples) % _SHOW_EVERY == 1:
                self._show(samples[-1])
        taken = {sample.messages[0].content for sample in samples}
        for sample in knowledge_seed_samples(
            self.leaf, self.config, self.run.seed, self.teacher, self.pipeline.name
        ):
            if sample.messages[0].content not in taken:
                taken.add(sample.messages[0].content)
                samples.append(sample)
        counts = dict(sorted(context.counts.items()))
        funnel: dict[str, Any] = {**counts, "kept": len(samples), "forms": _forms(samples)}
        rejected = tuple(map(rejection_line, context.rejections))
        return LeafResult(tuple(map(sample_line, samples)), rejected, funnel, leaf_coverage(context))

    def _show(self, sample: Sample) -> None:
        question, answer = sample.messages[0].content, sample.messages[-1].content
        self.run.emit(
            "sample", {"leaf": self.leaf.path, "form": sample.form, "question": question, "answer": answer}
        )

    def _sample(self, row: Row) -> Sample:
        assert row.answer is not None
        passage, chunk = row.passage, row.passage.chunk
        spans = tuple(
            Span(passage.document.id, passage.document.uri, start, end, chunk.page)
            for start, end in row.answer.spans
        )
        return Sample(
            id=identify(self.leaf.path, row.fact_id, row.length, row.question),
            leaf=self.leaf.path,
            kind=self.leaf.kind,
            language=passage.document.language or self.leaf.language,
            messages=(Message("user", row.question), Message("assistant", row.answer.text)),
            form=row.form,
            length=row.length,
            pipeline=self.pipeline.name,
            teacher=self.teacher,
            fact=row.fact_id,
            grounding=spans,
            chunk_id=chunk.id,
            contributor=self.leaf.created_by,
            license=self.leaf.attribution.license,
        )


def _forms(samples: Sequence[Sample]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for sample in samples:
        counts[sample.form] = counts.get(sample.form, 0) + 1
    return dict(sorted(counts.items()))


def _progress(run: RunContext, leaf: str, done: int, total: int, kept: int) -> None:
    run.emit("progress", {"leaf": leaf, "done": done, "total": total, "kept": kept})


def _report_leaf(run: RunContext, leaf: Leaf, result: LeafResult, config: GenerateConfig) -> None:
    run.emit("leaf", {"leaf": leaf.path, "cached": result.cached, "kept": len(result.samples)})
    if leaf.kind != "knowledge":
        text = (
            "the built-in teacher rewords the seeds of a skill; inventing new examples needs a teacher model"
        )
        if _only_exam(leaf):
            text = "all its seeds are held out for the exam: nothing is trained from it"
        run.emit("notice", {"leaf": leaf.path, "text": text})
    share = result.coverage.get("share")
    if isinstance(share, float) and share < config.coverage_floor:
        floor = f"{config.coverage_floor:.1%}"
        text = f"samples state {share:.1%} of the sentences and table cells, less than {floor}"
        run.emit("notice", {"leaf": leaf.path, "text": text})


def _only_exam(leaf: Leaf) -> bool:
    """True for a skill whose seeds all belong to the exam: that is what the lab asked for, not a failure."""
    return leaf.kind != "knowledge" and bool(leaf.seeds) and all(seed.held_out for seed in leaf.seeds)


def _check_floor(leaf: Leaf, result: LeafResult, config: GenerateConfig) -> None:
    if len(result.samples) >= config.min_samples or _only_exam(leaf):
        return
    step, cause = _likely_cause(leaf, result)
    raise GenerationError(
        f"{leaf.path} ended with {len(result.samples)} samples, fewer than {config.min_samples}: "
        f"step {step!r}, {cause}",
        hint="look at rejected.jsonl and funnel.json of the leaf, or lower generate.min_samples",
    )


def _likely_cause(leaf: Leaf, result: LeafResult) -> tuple[str, str]:
    if leaf.kind != "knowledge":
        return "seeds", "the leaf has no seeds that are not held out"
    rejected: dict[str, int] = {
        name.removeprefix("rejected:"): int(count)
        for name, count in result.funnel.items()
        if name.startswith("rejected:")
    }
    if not result.funnel.get("passages"):
        return "passages", "its documents hold no sentences"
    if rejected:
        worst = max(sorted(rejected), key=lambda name: rejected[name])
        return "check", f"{rejected[worst]} rows were dropped as {worst}"
    return "phrasing", "its documents are too short for so many samples"


def _write(folder: Path, results: Mapping[str, LeafResult]) -> None:
    for name in ("samples", "rejected"):
        lines = [line for path in sorted(results) for line in getattr(results[path], name)]
        write_text(folder / f"{name}.jsonl", "".join(f"{line}\n" for line in lines))
    write_json(folder / "funnel.json", {path: results[path].funnel for path in sorted(results)})
    write_json(
        folder / "coverage.json",
        {path: results[path].coverage for path in sorted(results) if results[path].coverage},
    )


def _outcome(results: Mapping[str, LeafResult], config: GenerateConfig) -> StageOutcome:
    kept = sum(len(result.samples) for result in results.values())
    rejected = sum(len(result.rejected) for result in results.values())
    cached = sum(result.cached for result in results.values())
    low = [
        path for path in sorted(results) if results[path].coverage.get("share", 1.0) < config.coverage_floor
    ]
    counts: dict[str, Json] = {
        "leaves": len(results),
        "samples": kept,
        "rejected": rejected,
        "leaves_from_cache": cached,
        "leaves_below_coverage": list(low),
    }
    summary = f"{kept:,} samples of {len(results)} leaves"
    if low:
        summary += f"; coverage below {config.coverage_floor:.0%}: {', '.join(low)}"
    return StageOutcome(counts, summary)
