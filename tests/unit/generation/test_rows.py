from collections import defaultdict
from pathlib import Path

import pytest
from curated_text import EXAMPLES, MANUAL, POLICY_ZH, SHARED, context_of, document_of, rows_of

from labtune.documents.load import load_document
from labtune.generation.blocks.check import Check, grounded
from labtune.generation.blocks.phrasing import LEAST, question_key
from labtune.generation.coverage import leaf_coverage
from labtune.generation.pipeline import load_pipeline
from labtune.generation.rows import Answer, Row

DOCUMENTS = [
    *sorted(SHARED.glob("*.md")),
    EXAMPLES / "customer-service/taxonomy/knowledge/home_appliances/pelluno_v3/manual.md",
    EXAMPLES / "clinic-zh/taxonomy/knowledge/health/chengxi_clinic/guide.md",
]


@pytest.fixture(scope="module", params=DOCUMENTS, ids=lambda path: path.stem)
def generated(request: pytest.FixtureRequest) -> tuple[list[Row], dict[str, object]]:
    """The kept rows of a real document and its coverage."""
    path: Path = request.param
    context = context_of(load_document(path, uri=path.name))
    rows = list(load_pipeline("builtin").stream(context))
    return rows, leaf_coverage(context)


def test_every_answer_is_made_of_quotes(generated: tuple[list[Row], dict[str, object]]) -> None:
    for row in generated[0]:
        assert row.answer is not None and row.answer.spans
        text = row.passage.document.text
        if row.length == "short":
            start, end = row.answer.spans[0]
            assert row.answer.text == text[start:end]
        else:
            position = 0
            for start, end in row.answer.spans:
                found = row.answer.text.casefold().find(text[start:end].casefold(), position)
                assert found >= position, row.answer
                position = found + end - start


def test_every_fact_has_a_dozen_distinct_phrasings(generated: tuple[list[Row], dict[str, object]]) -> None:
    phrasings: dict[str, set[str]] = defaultdict(set)
    for row in generated[0]:
        phrasings[row.fact_id].add(question_key(row.question))
    few = {fact: len(questions) for fact, questions in phrasings.items() if len(questions) < LEAST}
    assert not few


def test_almost_everything_is_stated_by_a_sample(generated: tuple[list[Row], dict[str, object]]) -> None:
    share = generated[1]["share"]
    assert isinstance(share, float) and share >= 0.95


def test_sentences_dominate_over_keywords(generated: tuple[list[Row], dict[str, object]]) -> None:
    rows = generated[0]
    assert sum(row.form == "keyword" for row in rows) < 0.5 * len(rows)


def test_no_mark_or_slot_is_left_in_a_question(generated: tuple[list[Row], dict[str, object]]) -> None:
    for row in generated[0]:
        assert row.question.isprintable() and "{" not in row.question


def test_one_question_has_one_answer(generated: tuple[list[Row], dict[str, object]]) -> None:
    answers: dict[str, str] = {}
    for row in generated[0]:
        assert row.answer is not None
        assert answers.setdefault(question_key(row.question), row.answer.text) == row.answer.text


@pytest.fixture(scope="module")
def manual_rows(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    return rows_of(document_of(tmp_path_factory.mktemp("manual"), MANUAL))


def _answers(rows: list[Row], start: str) -> set[str]:
    return {row.answer.text for row in rows if row.answer and row.passage.text.startswith(start)}


def test_a_list_answers_with_its_lead_in(manual_rows: list[Row]) -> None:
    assert "The box contains: one base, two filters." in _answers(manual_rows, "two filters")


def test_cells_that_are_sentences_answer_with_their_row(manual_rows: list[Row]) -> None:
    row = "Flashing green: The water is boiling. Wait until the light goes out."
    assert row in _answers(manual_rows, "Meaning of Flashing green")


def test_the_form_of_a_question_never_changes_the_answer(
    generated: tuple[list[Row], dict[str, object]],
) -> None:
    answers: dict[tuple[str, bool], set[str]] = defaultdict(set)
    for row in generated[0]:
        if row.length == "long" and row.fact is not None and row.answer is not None:
            answers[row.fact_id, row.fact.joined].add(row.answer.text)
    assert all(len(texts) == 1 for texts in answers.values())


def test_a_negated_rule_is_answered_with_the_rule(manual_rows: list[Row]) -> None:
    rows = [row for row in manual_rows if row.form == "permission" and "dishwasher" in row.passage.text]
    assert rows and all(row.length == "long" for row in rows)
    assert {row.answer.text for row in rows if row.answer} == {
        "The kettle must not be put in the dishwasher."
    }


def test_short_answers_are_asked_with_a_request_for_brevity(manual_rows: list[Row]) -> None:
    short = [row for row in manual_rows if row.length == "short"]
    marks = ("Answer briefly: ", "In a few words: ", " Answer in a few words.", " (short answer)")
    assert short and all(
        row.question.startswith(marks[:2]) or row.question.endswith(marks[2:]) for row in short
    )
    assert "1.2 kg" in {row.answer.text for row in short if row.answer}
    bare = [row for row in manual_rows if row.length == "long"]
    assert not any(row.question.endswith(marks[2:]) for row in bare)


def test_neighbours_are_joined(manual_rows: list[Row]) -> None:
    joined = (
        "The Kestrel Kettle is an electric kettle that boils water. It was designed by Mira Voss in 2019."
    )
    assert joined in _answers(manual_rows, "The Kestrel Kettle is")


def test_chinese_short_answers_are_minimal(tmp_path: Path) -> None:
    rows = rows_of(document_of(tmp_path, POLICY_ZH))
    short = {(row.question, row.answer.text) for row in rows if row.length == "short" and row.answer}
    assert any(answer == "30天" and "（简短回答）" in question for question, answer in short)
    assert {answer for _, answer in short} >= {"沈若兰", "早上9点", "8本"}


def test_rows_do_not_depend_on_anything_but_content_and_seed(tmp_path: Path) -> None:
    document = document_of(tmp_path, MANUAL)
    first = [(row.question, row.answer) for row in rows_of(document)]
    assert first == [(row.question, row.answer) for row in rows_of(document)]
    assert first != [(row.question, row.answer) for row in rows_of(document, seed=2)]


@pytest.mark.parametrize(
    ("question", "answer", "spans", "fault"),
    [
        ("What is it?", "A kettle boils.", ((0, 15),), None),
        ("What is it?", "Yes, a kettle boils.", ((0, 15),), None),
        ("What is it?", "A kettle sings.", ((0, 15),), "not_grounded"),
        ("What is the the thing?", "A kettle boils.", ((0, 15),), "malformed"),
        ("这是什么？", "A kettle boils.", ((0, 15),), "language"),
        ("x" * 300, "A kettle boils.", ((0, 15),), "too_long"),
        ("What is it?", "", (), "no_answer"),
    ],
)
def test_the_check_names_what_is_wrong(
    tmp_path: Path, question: str, answer: str, spans: tuple[tuple[int, int], ...], fault: str | None
) -> None:
    context = context_of(document_of(tmp_path, "A kettle boils."))
    row = next(iter(load_pipeline("builtin").stream(context)))
    passage = row.passage
    check = Check(Check.Config(), context)
    assert check.fault(Row(passage, question=question, answer=Answer(answer, spans))) == fault


def test_an_answer_with_words_of_its_own_is_not_grounded() -> None:
    text = "The lid is red. The base is black."
    assert grounded(Answer("The lid is red. The base is black.", ((0, 15), (16, 34))), text)
    assert not grounded(Answer("The lid is red and shiny.", ((0, 14),)), text)
    assert not grounded(Answer("The base is black. The lid is red.", ((0, 15), (16, 34))), text)
