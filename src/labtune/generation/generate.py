"""The generation stage: from curated leaves to samples, leaf by leaf, each from the cache where it can be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from labtune.artifact import Curated, content_hash
from labtune.config.lab import GenerateConfig
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
from labtune.types import Chunk, Document, Leaf, Message, RunContext, Sample, Span, StageOutcome

GENERATOR_VERSION = "4"
"""Goes up when rules change what a leaf gives; word lists and pipelines enter the key by themselves."""
RULE_SETTINGS = ("pipeline", "phrasings", "skill_variants")
"""Settings that the built-in teacher's samples depend on."""
_SHOW_EVERY = 400


def generate(curated: Curated, *, config: GenerateConfig, run: RunContext, teacher: str) -> StageOutcome:
    """Write samples.jsonl, rejected.jsonl, funnel.json and coverage.json to `run.out_dir`.

    Raises:
        GenerationError: leaves ended below `config.min_samples`; all are done by then, and the error names
            each with step and likely cause.
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
    _progress(run, "", len(leaves), len(leaves), kept)
    write_results(run.out_dir, results)
    check_floors(leaves, results, config)
    return outcome(results, config)


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
        settings = self.config.model_dump(include=set(RULE_SETTINGS))
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
        if only_exam(leaf):
            text = "all its seeds are held out for the exam: nothing is trained from it"
        run.emit("notice", {"leaf": leaf.path, "text": text})
    share = result.coverage.get("share")
    if isinstance(share, float) and share < config.coverage_floor:
        floor = f"{config.coverage_floor:.1%}"
        text = f"samples state {share:.1%} of the sentences and table cells, less than {floor}"
        run.emit("notice", {"leaf": leaf.path, "text": text})
