"""The generation stage: from curated leaves to samples, leaf by leaf, each from the cache where it can be."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from labtune.artifact import Curated, content_hash
from labtune.config.lab import GenerateConfig
from labtune.engine.local import LocalExecutor
from labtune.generation.coverage import leaf_coverage
from labtune.generation.lexicon import lexicon_hash
from labtune.generation.outcome import check_floors, only_exam, outcome, write_results
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
from labtune.protocols import OpenExecutor
from labtune.types import Chunk, Document, Leaf, Message, RunContext, Sample, Span, StageOutcome

GENERATOR_VERSION = "4"
"""Goes up when rules change what a leaf gives; word lists and pipelines enter the key by themselves."""
RULE_SETTINGS = ("pipeline", "phrasings", "skill_variants")
"""Settings that the built-in teacher's samples depend on."""


def generate(
    curated: Curated,
    *,
    config: GenerateConfig,
    run: RunContext,
    teacher: str,
    open_executor: OpenExecutor = LocalExecutor.open,
) -> StageOutcome:
    """Write samples.jsonl, rejected.jsonl, funnel.json and coverage.json to `run.out_dir`.

    Leaves are shards: what the cache lacks is made by the executor's workers, which is opened for that only.

    Raises:
        GenerationError: leaves ended below `config.min_samples`; all are done by then, and the error names
            each with step and likely cause.
        ConfigError: the pipeline is unknown or malformed.
        EngineError: workers were lost too often.
    """
    pipeline = load_pipeline("builtin" if config.pipeline == "auto" else config.pipeline)
    leaves = sorted(curated.leaves(), key=lambda leaf: leaf.path)
    documents = {document.id: document for document in curated.documents()}
    chunks: dict[str, list[Chunk]] = {}
    for chunk in curated.chunks():
        chunks.setdefault(chunk.leaf, []).append(chunk)
    jobs = []
    for leaf in leaves:
        own = tuple(chunks.get(leaf.path, ()))
        used = {chunk.document_id: documents[chunk.document_id] for chunk in own}
        jobs.append(LeafJob(leaf, own, used, config, run.seed, teacher, pipeline))
    results: dict[str, LeafResult] = {}
    for job, result in _results(jobs, run, open_executor):
        results[job.leaf.path] = result
        _report_leaf(run, job.leaf, result, config)
    write_results(run.out_dir, results)
    check_floors(leaves, results, config)
    return outcome(results, config)


def _results(
    jobs: Sequence[LeafJob], run: RunContext, open_executor: OpenExecutor
) -> Iterator[tuple[LeafJob, LeafResult]]:
    """Each leaf's result, in order; from the cache, or made and put there."""
    files = [run.cache_dir / "generate" / f"{job.key()}.jsonl" for job in jobs]
    cached = [read_result(file) for file in files]
    missing = [job for job, result in zip(jobs, cached, strict=True) if result is None]
    kept = 0
    with open_executor() if missing else LocalExecutor.open() as executor:
        made = executor.map(make_leaf, missing)
        for done, (job, known, file) in enumerate(zip(jobs, cached, files, strict=True)):
            _progress(run, job.leaf.path, done, len(jobs), kept)
            result = known or next(made)
            if known is None:
                write_result(file, result)
            kept += len(result.samples)
            yield job, result
    _progress(run, "", len(jobs), len(jobs), kept)


def make_leaf(job: LeafJob) -> LeafResult:
    """What a worker does: one leaf, from nothing but its job."""
    return job.make()


@dataclass(frozen=True, slots=True)
class LeafJob:
    """One leaf's work with all that it needs; can be sent to a worker."""

    leaf: Leaf
    chunks: tuple[Chunk, ...]
    documents: Mapping[str, Document]
    config: GenerateConfig
    seed: int
    teacher: str
    pipeline: Pipeline

    def key(self) -> str:
        """Everything that the leaf's rows depend on."""
        settings = self.config.model_dump(include=set(RULE_SETTINGS))
        blocks = [(spec.name, spec.type, spec.config.model_dump()) for spec in self.pipeline.blocks]
        return content_hash(
            self.leaf,
            self.chunks,
            settings,
            blocks,
            self.teacher,
            self.seed,
            GENERATOR_VERSION,
            lexicon_hash(),
        )

    def make(self) -> LeafResult:
        """The leaf's samples, rejections, funnel and coverage."""
        if self.leaf.kind == "knowledge":
            return self._knowledge()
        samples = list(
            skill_samples(
                self.leaf,
                variants=self.config.skill_variants,
                seed=self.seed,
                teacher=self.teacher,
                pipeline=self.pipeline.name,
            )
        )
        funnel = {"asked": len(samples), "produced": len(samples), "kept": len(samples)}
        return LeafResult(tuple(map(sample_line, samples)), (), funnel, {})

    def _knowledge(self) -> LeafResult:
        context = BlockContext(self.leaf, self.documents, self.chunks, self.config, self.seed)
        guard = held_out_guard(self.leaf)
        samples: list[Sample] = []
        for row in self.pipeline.stream(context):
            if guard(row.question):
                context.reject("seeds", "held_out_question", {"question": row.question, "form": row.form})
                continue
            samples.append(self._sample(row))
        taken = {sample.messages[0].content for sample in samples}
        for sample in knowledge_seed_samples(
            self.leaf, self.config, self.seed, self.teacher, self.pipeline.name
        ):
            if sample.messages[0].content not in taken:
                taken.add(sample.messages[0].content)
                samples.append(sample)
        counts = dict(sorted(context.counts.items()))
        funnel: dict[str, Any] = {**counts, "kept": len(samples), "forms": _forms(samples)}
        rejected = tuple(map(rejection_line, context.rejections))
        return LeafResult(tuple(map(sample_line, samples)), rejected, funnel, leaf_coverage(context))

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


def _show(run: RunContext, leaf: Leaf, sample: Mapping[str, Any]) -> None:
    question, answer = sample["messages"][0]["content"], sample["messages"][-1]["content"]
    run.emit("sample", {"leaf": leaf.path, "form": sample["form"], "question": question, "answer": answer})


def _report_leaf(run: RunContext, leaf: Leaf, result: LeafResult, config: GenerateConfig) -> None:
    run.emit("leaf", {"leaf": leaf.path, "cached": result.cached, "kept": len(result.samples)})
    if result.samples and not result.cached:
        _show(run, leaf, json.loads(result.samples[len(result.samples) // 2]))
    if leaf.kind != "knowledge":
        text = (
            "the built-in teacher rewords the seeds of a skill; inventing new examples needs a teacher model"
        )
        if only_exam(leaf):
            text = "all its seeds are held out for the exam: nothing is trained from it"
        run.emit("notice", {"leaf": leaf.path, "text": text})
    share = result.coverage.get("share")
    if isinstance(share, float) and share < config.coverage_floor:
        floor = f"{config.coverage_floor:.1%}"
        text = f"samples state {share:.1%} of the sentences and table cells, less than {floor}"
        run.emit("notice", {"leaf": leaf.path, "text": text})
