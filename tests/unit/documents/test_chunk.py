import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labtune.documents.assemble import assemble
from labtune.documents.blocks import Converted
from labtune.documents.chunk import chunk_document, document_sentences
from labtune.documents.markup import read_markdown
from labtune.documents.report import ingestion_report
from labtune.documents.tokens import count_tokens
from labtune.types import Document

MANUAL = """# Breezy

The Breezy is a fan. It has one light.

## Lights

The light tells this:

- blue is ready
- red is an error

| Light | Meaning |
|---|---|
| blue | ready. Do nothing. |
| red | error |

### Repair

Call Dr. Brown.

## References

1. A book.

## Safety

Keep it dry.
"""


def document(source: str) -> Document:
    return assemble(read_markdown(source), document_id="d", uri="docs/fan_manual.md")


def test_document_has_text_headings_and_statements() -> None:
    manual = document(MANUAL)
    assert manual.title == "Breezy"
    assert manual.text == (
        "The Breezy is a fan. It has one light.\n\n"
        "The light tells this:\nblue is ready\nred is an error\n\n"
        "Meaning of blue: ready. Do nothing.\nMeaning of red: error.\n\n"
        "Call Dr. Brown.\n\nKeep it dry."
    )
    assert [(manual.text[h.start :].split()[0], h.level, h.title) for h in manual.headings] == [
        ("The", 1, "Breezy"),
        ("The", 2, "Lights"),
        ("Call", 3, "Repair"),
        ("Keep", 2, "Safety"),
    ]
    assert [manual.text[s.start : s.end] for s in manual.statements] == [
        "Meaning of blue: ready. Do nothing.",
        "Meaning of red: error.",
    ]
    assert manual.losses == ("The section “References” was left out, because it lists sources or links.",)


def test_chunks_follow_headings() -> None:
    manual = document(MANUAL)
    chunks = chunk_document(manual, leaf="knowledge/fan", max_tokens=100)
    assert [chunk.heading for chunk in chunks] == [
        ("Breezy",),
        ("Breezy", "Lights"),
        ("Breezy", "Lights", "Repair"),
        ("Breezy", "Safety"),
    ]
    lights = chunks[1]
    assert [manual.text[a:b] for a, b in lights.sentences] == [
        "The light tells this:",
        "blue is ready",
        "red is an error",
        "Meaning of blue: ready. Do nothing.",
        "Meaning of red: error.",
    ]
    assert [s.value for s in lights.statements] == ["ready. Do nothing.", "error"]
    assert {chunk.leaf for chunk in chunks} == {"knowledge/fan"}
    assert lights.page is None


def test_chunk_ids_are_stable_and_tell_leaves_apart() -> None:
    manual = document(MANUAL)
    first = [chunk.id for chunk in chunk_document(manual, leaf="a", max_tokens=20)]
    assert first == [chunk.id for chunk in chunk_document(manual, leaf="a", max_tokens=20)]
    assert not set(first) & {chunk.id for chunk in chunk_document(manual, leaf="b", max_tokens=20)}
    assert len(set(first)) == len(first)


def test_a_sentence_longer_than_the_budget_is_its_own_chunk() -> None:
    long = "Word " * 50 + "end."
    chunks = chunk_document(document(f"Short one. {long} Short two."), leaf="l", max_tokens=10)
    assert [chunk.text for chunk in chunks] == ["Short one.", long, "Short two."]


def test_long_sections_are_cut_evenly() -> None:
    text = " ".join(f"This is the sentence with number {n}." for n in range(1, 17))
    chunks = chunk_document(document(text), leaf="l", max_tokens=75)
    assert [len(chunk.sentences) for chunk in chunks] == [5, 6, 5]


def test_title_falls_back_to_the_file_name() -> None:
    assert document("Only words.").title == "fan manual"
    assert document("---\ntitle: Given\n---\nOnly words.").title == "Given"


def test_report_counts() -> None:
    row = ingestion_report([document(MANUAL)])[0]
    assert {key: row[key] for key in ("uri", "pages", "sentences", "tables", "statements", "language")} == {
        "uri": "docs/fan_manual.md",
        "pages": None,
        "sentences": 9,
        "tables": 1,
        "statements": 2,
        "language": "en",
    }
    assert row["losses"] == ["The section “References” was left out, because it lists sources or links."]


def test_empty_document_has_no_chunks() -> None:
    empty = assemble(Converted("text/plain"), document_id="d", uri="x.txt")
    assert chunk_document(empty, leaf="l", max_tokens=5) == []


PIECES = st.one_of(
    st.sampled_from(
        [
            "# A\n",
            "## B\n",
            "### C\n",
            "- item\n",
            "\n\n",
            "| a | b |\n|---|---|\n| c. D | e |\n",
            "One. Two! ",
            "句子。第二句！",
        ]
    ),
    st.text(max_size=30),
)


@pytest.mark.parametrize("budget", [1, 12, 200])
@settings(deadline=None)
@given(st.lists(PIECES, max_size=12))
def test_chunk_invariants(budget: int, pieces: list[str]) -> None:
    source = document("".join(pieces))
    assert "\x00" not in source.text
    chunks = chunk_document(source, leaf="l", max_tokens=budget)
    sentences = [span for chunk in chunks for span in chunk.sentences]
    assert sentences == document_sentences(source)
    gaps, position = [], 0
    for start, end in sentences:
        gaps.append(source.text[position:start])
        assert position <= start < end <= len(source.text)
        position = end
    assert "".join([*gaps, source.text[position:]]).strip() == ""
    for chunk in chunks:
        assert chunk.text == source.text[chunk.start : chunk.end]
        assert chunk.n_tokens == count_tokens(chunk.text)
        assert chunk.n_tokens <= budget or len(chunk.sentences) == 1
    assert [s for chunk in chunks for s in chunk.statements] == list(source.statements)
    for statement in source.statements:
        assert (statement.start, statement.end) in sentences
    for heading in source.headings:
        assert 0 <= heading.start <= len(source.text)
