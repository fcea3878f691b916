"""From a finished row of a flow to a sample, or to a rejection: the checks that need no model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from labtune.artifact import content_hash
from labtune.documents.tokens import count_tokens
from labtune.generation.draws import Draw
from labtune.generation.flow.rows import FlowRow
from labtune.generation.quality.duplicates import SeenPairs
from labtune.generation.quality.grounding import Fault, grounding_fault
from labtune.generation.quality.guard import ExamGuard
from labtune.generation.quality.language import wrong_language
from labtune.generation.quality.statement import PassageSentences
from labtune.generation.result import identify
from labtune.generation.screen import NAME
from labtune.types import (
    AnswerLength,
    Chunk,
    Document,
    ExamQuestion,
    Json,
    Leaf,
    Lineage,
    Message,
    Rejection,
    Sample,
    Span,
)

SHORT_ANSWER = 16
"""Tokens up to which an answer counts as short."""
_LONGEST_QUESTION = 4000


@dataclass(frozen=True, slots=True)
class Origin:
    """Who writes a leaf's samples, for their lineage. `temperature` replaces the pipeline's, where set."""

    pipeline: str
    pipeline_version: str
    teacher: str
    judge: str
    temperature: float | None = None


class Acceptance:
    """The whole leaf's memory: what was asked already, what the exam asks, which places are stated.

    Args:
        leaf: whose rows come.
        documents: those of its chunks.
        exam: questions that may not enter; only the leaf's own count.
        near_duplicate: see `SeenPairs`.
        origin: for the lineage.
    """

    def __init__(
        self,
        leaf: Leaf,
        documents: Mapping[str, Document],
        exam: Sequence[ExamQuestion],
        near_duplicate: float,
        origin: Origin,
    ) -> None:
        self._leaf = leaf
        self._documents = documents
        self._guard = ExamGuard(leaf, exam)
        self._seen = SeenPairs(near_duplicate)
        self._origin = origin
        self._sentences: dict[str, PassageSentences] = {}
        self.covered: dict[str, set[tuple[int, int]]] = {}

    def know(self, samples: Sequence[Sample]) -> None:
        """Take samples that others wrote (the human seeds): a teacher need not say them again."""
        for sample in samples:
            self._seen.add(sample.id, sample.messages[0].content, sample.messages[-1].content)

    def take(self, row: FlowRow, draw: Draw) -> Sample | Rejection:
        """Check a finished row; a sound one becomes a sample. Rows come in the order of their stream."""
        question, answer = _pair(row)
        fault = self.fault(row, draw)
        said = self._said(row, question, answer)
        if fault is None:
            partner = self._seen.partner(*said)
            fault = Fault("near_duplicate", f"of {partner}") if partner else None
        if fault is not None:
            return self._rejection(row, question, answer, fault)
        document, language = self._source(draw)
        spans = self._stated(question, answer, draw.chunk, document)
        sample = self._sample(row, draw, (question, answer), language, spans)
        self._seen.add(sample.id, *said)
        for span in spans:
            self.covered.setdefault(span.document_id, set()).add((span.start, span.end))
        return sample

    def _source(self, draw: Draw) -> tuple[Document | None, str]:
        """The document of a draw, and the language that its rows must have."""
        document = self._documents.get(draw.chunk.document_id) if draw.chunk else None
        return document, document.language if document else self._leaf.language

    def fault(self, row: FlowRow, draw: Draw) -> Fault | None:
        """What is wrong with a row by itself: its language, its grounding, or that the exam asks it."""
        (question, answer), chunk = _pair(row), draw.chunk
        document, language = self._source(draw)
        if not question or not answer:
            return Fault("empty", "question" if not question else "answer")
        if len(question) > _LONGEST_QUESTION and chunk is not None:
            return Fault("too_long", f"{len(question)} characters")
        shown = f"{chunk.text}\n{document.title if document else ''}" if chunk else question
        for name, text in (("question", question), ("answer", answer)):
            found = wrong_language(text, language, shown if name == "answer" else "")
            if found:
                return Fault("wrong_language", f"{name} in {found}, expected {language}")
        if chunk is not None and document is not None:
            context = "\n".join((document.title, *chunk.heading))
            fault = grounding_fault(question, answer, chunk.text, context=context, language=language)
            if fault is not None:
                return fault
        asked = self._guard.asks(question)
        return Fault("exam_question", asked) if asked is not None else None

    def _said(self, row: FlowRow, question: str, answer: str) -> tuple[str, str]:
        """What a sample is compared by. Views share passage and request; what they say tells them apart."""
        if self._leaf.kind == "knowledge" and row.fields.get("context"):
            return answer, ""
        return question, answer

    def _stated(
        self, question: str, answer: str, chunk: Chunk | None, document: Document | None
    ) -> tuple[Span, ...]:
        if chunk is None or document is None:
            return ()
        if chunk.id not in self._sentences:
            self._sentences[chunk.id] = PassageSentences(chunk, document)
        return self._sentences[chunk.id].stated(question, answer)

    def _sample(
        self, row: FlowRow, draw: Draw, pair: tuple[str, str], language: str, spans: tuple[Span, ...]
    ) -> Sample:
        question, answer = pair
        length: AnswerLength = "short" if count_tokens(answer) <= SHORT_ANSWER else "long"
        places = [(span.document_id, span.start, span.end) for span in spans]
        return Sample(
            id=identify(self._leaf.path, row.id, question, answer),
            leaf=self._leaf.path,
            kind=self._leaf.kind,
            language=language,
            messages=(Message("user", question), Message("assistant", answer)),
            # A question asked from a view is no view: only what says so has a view's name as its form.
            form=str(row.fields.get("form") or "generated"),
            length=length,
            pipeline=self._origin.pipeline,
            teacher=self._origin.teacher,
            fact=content_hash(self._leaf.path, places or row.id)[:16],
            grounding=spans,
            chunk_id=draw.chunk.id if draw.chunk else None,
            contributor=self._leaf.created_by,
            license=self._leaf.attribution.license,
            lineage=self._lineage(row, draw),
        )

    def _lineage(self, row: FlowRow, draw: Draw) -> Lineage:
        return Lineage(
            pipeline_version=self._origin.pipeline_version,
            examples=tuple(seed.source for seed in draw.examples),
            prompts={step.step: step.prompt for step in row.trail if step.prompt},
            sampling=_sampling(row, self._origin.temperature),
            judge=self._origin.judge,
            verdicts=row.verdicts,
            calls=tuple(dict.fromkeys(key for step in row.trail for key in step.calls)),
            view=str(row.fields.get("view") or ""),
            round=draw.round,
        )

    def _rejection(self, row: FlowRow, question: str, answer: str, fault: Fault) -> Rejection:
        shown: dict[str, Json] = {"id": row.id, "question": question, "answer": answer}
        if fault.detail:
            shown["detail"] = fault.detail
        return Rejection(self._leaf.path, NAME, fault.reason, shown)


def _sampling(row: FlowRow, temperature: float | None) -> dict[str, Json]:
    """Temperature and index of the draw of each step that asked a model; judges keep the pipeline's."""
    judges = {verdict.step for verdict in row.verdicts}
    return {
        step.step: {
            "temperature": step.temperature if temperature is None or step.step in judges else temperature,
            "draw": step.draw,
        }
        for step in row.trail
        if step.model
    }


def _pair(row: FlowRow) -> tuple[str, str]:
    """What the student will be asked (a context stands before its question) and what it shall answer."""
    fields = row.fields
    question, answer = str(fields.get("question") or "").strip(), str(fields.get("answer") or "").strip()
    context = str(fields.get("context") or "").strip()
    return (f"{context}\n\n{question}" if context and question else question), answer
