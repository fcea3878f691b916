"""Makes curated taxonomies out of texts, for the tests of generation."""

from __future__ import annotations

from pathlib import Path

from labtune.artifact import Curated, write_jsonl
from labtune.config.lab import GenerateConfig
from labtune.documents.chunk import chunk_document
from labtune.documents.load import load_document
from labtune.generation.pipeline import load_pipeline
from labtune.generation.rows import BlockContext, Row
from labtune.types import Chunk, Document, Leaf, SeedExample, Source

SHARED = Path(__file__).parents[4] / "shared" / "data" / "documents"
EXAMPLES = Path(__file__).parents[3] / "src" / "labtune" / "examples"

MANUAL = """# Kestrel Kettle: Manual

The Kestrel Kettle is an electric kettle that boils water.
It was designed by Mira Voss in 2019.
The kettle weighs 1.2 kg.
The jug holds 1.7 litres.
The cord is 75 cm long.
The kettle must not be put in the dishwasher.
The lid can be removed for cleaning.
Descale the kettle every two months.
Press the Brew button for 3 seconds to switch on the keep-warm mode.
The kettle switches off when the jug is empty.
The warranty on the kettle lasts 5 years.
The spare parts are stored in Bergen.

## In the box

The box contains:

- one base
- two filters

## Lights

| Light | Meaning | What to do |
|---|---|---|
| Flashing green | The water is boiling | Wait until the light goes out |
| Solid orange | The filter is dirty | Rinse the filter with clear water |
"""

POLICY_ZH = """# 云溪图书馆借阅规定

云溪图书馆成立于1987年，现有图书42万册。
馆长是沈若兰。
图书馆在人民路15号。
图书馆早上9点开门。
读者一次可以借8本书。
图书的借期是30天。
逾期不还的图书每天罚款0.2元。
阅览室里不能吃东西。
办理借书证要带身份证。
遗失图书由读者自己承担费用。
因为周一整理书架，所以周一图书馆不开放。
如果借书证丢失，请到一楼服务台挂失。
自习室在三楼。
它每天早上8点开放。
"""


def leaf_of(
    path: str, language: str = "en", seeds: tuple[SeedExample, ...] = (), kind: str = "knowledge"
) -> Leaf:
    """A leaf without documents of its own."""
    return Leaf(path, kind, language, seeds, Source(f"{path}/qna.yaml", 1))  # type: ignore[arg-type]


def document_of(folder: Path, text: str, name: str = "text.md") -> Document:
    """A document from Markdown text."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return load_document(folder / name, uri=name)


def curated_of(folder: Path, leaves: dict[Leaf, Document | None]) -> Curated:
    """A curated taxonomy in `folder`."""
    chunks: list[Chunk] = []
    documents: dict[str, Document] = {}
    for leaf, document in leaves.items():
        if document is not None:
            documents[document.id] = document
            chunks.extend(chunk_document(document, leaf=leaf.path, max_tokens=240))
    write_jsonl(folder / "leaves.jsonl", list(leaves))
    write_jsonl(folder / "documents.jsonl", list(documents.values()))
    write_jsonl(folder / "chunks.jsonl", chunks)
    write_jsonl(folder / "exam.jsonl", [])
    return Curated(folder)


def context_of(document: Document, config: GenerateConfig | None = None, seed: int = 1) -> BlockContext:
    """The shared state of one leaf with one document."""
    leaf = leaf_of("knowledge/text", document.language)
    chunks = tuple(chunk_document(document, leaf=leaf.path, max_tokens=240))
    return BlockContext(leaf, {document.id: document}, chunks, config or GenerateConfig(), seed)


def rows_of(document: Document, config: GenerateConfig | None = None, seed: int = 1) -> list[Row]:
    """All rows that the built-in pipeline keeps."""
    return list(load_pipeline("builtin").stream(context_of(document, config, seed)))


def fact_rows(document: Document) -> list[Row]:
    """The rows after the block that finds facts."""
    from labtune.generation.blocks.facts import Facts
    from labtune.generation.blocks.passages import Passages

    context = context_of(document)
    return list(Facts(Facts.Config(), context)(Passages(Passages.Config(), context)(())))
