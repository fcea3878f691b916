"""What came in and what was lost."""

from __future__ import annotations

from collections.abc import Iterable

from labtune.documents.chunk import document_sentences
from labtune.types import Document, Json


def ingestion_report(documents: Iterable[Document]) -> list[dict[str, Json]]:
    """One row per document: uri, media_type, language, pages (None without pages), counts, losses.

    `tables` counts tables that became statements (runs of neighbouring statements).
    """
    return [
        {
            "uri": document.uri,
            "media_type": document.media_type,
            "title": document.title,
            "language": document.language,
            "pages": len(document.page_starts) or None,
            "characters": len(document.text),
            "sentences": len(document_sentences(document)),
            "headings": len(document.headings),
            "tables": _count_tables(document),
            "statements": len(document.statements),
            "losses": list(document.losses),
        }
        for document in documents
    ]


def _count_tables(document: Document) -> int:
    """Statements of one table are parted by a single line break, tables by more."""
    tables = 0
    end = None
    for statement in document.statements:
        if end is None or "\n\n" in document.text[end : statement.start]:
            tables += 1
        end = statement.end
    return tables
