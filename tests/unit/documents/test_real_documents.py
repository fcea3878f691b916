"""The documents of the shared folder, when the checkout stands beside it."""

import re
from pathlib import Path

import pytest

from labtune.documents.chunk import chunk_document, document_sentences
from labtune.documents.load import load_document

FOLDER = Path(__file__).parents[4] / "shared" / "data" / "documents"
FILES = sorted(FOLDER.glob("*.*")) if FOLDER.is_dir() else []
LEAKS = re.compile(
    r"\]\(|wikilink|</?small>|\[\[|\*\*|\[\d+\]|\(\s*\)|&[a-z]+;|[\x00-\x08\u00ad\ufb00-\ufb06]| ,|\{\{"
)

pytestmark = pytest.mark.skipif(not FILES, reason="no shared documents beside this checkout")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_markup_leaks(path: Path) -> None:
    document = load_document(path, uri=path.name)
    assert LEAKS.findall(document.text) == []
    assert document.language == "en"
    assert document.title
    sentences = [document.text[start:end] for start, end in document_sentences(document)]
    whole = [text for text in sentences if re.search(r"[.!?][\"'”’)]*$", text)]
    assert len(whole) >= (0.65 if path.suffix == ".pdf" else 0.9) * len(sentences)


def load(name: str) -> tuple[list[str], list[tuple[str, ...]]]:
    path = FOLDER / name
    if not path.exists():
        pytest.skip(f"{name} is not in the shared documents")
    document = load_document(path, uri=name)
    chunks = chunk_document(document, leaf="l", max_tokens=200)
    return [document.text[a:b] for a, b in document_sentences(document)], [c.heading for c in chunks]


def test_chickadee() -> None:
    sentences, headings = load("chickadee.md")
    assert "It is a member of the Paridae family, also known as tits." in sentences
    assert "It is larger and darker than P. a. atricapillus." in sentences
    assert (
        "Poecile atricapillus turneri (Ridgway, 1884): Found in southern Alaska and northwest Canada and has "
        "the palest colouring of all subspecies." in sentences
    )
    assert ("Black-capped chickadee", "Description", "Vocalization") in headings


def test_pdf_reads_as_prose() -> None:
    sentences, _ = load("phoenix.pdf")
    assert "It is an orange giant of apparent magnitude 2.4." in sentences
    assert "Rho and BD Phoenicis are Delta Scuti variables" not in " ".join(sentences[:20])
    assert not [text for text in sentences if "en.wikipedia.org" in text or "Retrieved" in text]
