"""Which sentences and table cells of a document a sample states: its citation, and what coverage counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from labtune.generation.quality.content import Vocabulary, content
from labtune.types import Chunk, Document, Span

_STATED = 0.6
_CITED = 0.34
_MOST = 6


@dataclass(frozen=True, slots=True)
class _Sentence:
    start: int
    end: int
    parts: tuple[str, ...]


class PassageSentences:
    """The sentences of one chunk, ready to be compared with many samples."""

    def __init__(self, chunk: Chunk, document: Document) -> None:
        self._chunk = chunk
        self._sentences = [
            _Sentence(start, end, tuple(content(document.text[start:end]))) for start, end in chunk.sentences
        ]

    def stated(self, question: str, answer: str) -> tuple[Span, ...]:
        """The places that a sample states, in the order of the text; the nearest one when none is clear.

        A sentence is stated when most of its content stands in question and answer together and some of it
        in the answer. Empty when the answer shares nothing with the passage.
        """
        both, own = Vocabulary(f"{question}\n{answer}"), Vocabulary(answer)
        scored = [
            (both.share(list(sentence.parts)), own.share(list(sentence.parts)), sentence)
            for sentence in self._sentences
            if sentence.parts
        ]
        found = [(whole, s) for whole, answered, s in scored if whole >= _STATED and answered > 0]
        if not found:
            near = [(whole, s) for whole, answered, s in scored if whole >= _CITED and answered > 0]
            near = near or [(answered, s) for _, answered, s in scored if answered > 0]
            found = sorted(near, key=lambda item: (-item[0], item[1].start))[:1]
        best = sorted(found, key=lambda item: (-item[0], item[1].start))[:_MOST]
        return self._spans(sorted((sentence for _, sentence in best), key=lambda s: s.start))

    def _spans(self, sentences: Sequence[_Sentence]) -> tuple[Span, ...]:
        chunk = self._chunk
        return tuple(
            Span(chunk.document_id, chunk.uri, sentence.start, sentence.end, chunk.page)
            for sentence in sentences
        )
