from pathlib import Path

import pytest
from curated_text import MANUAL, POLICY_ZH, document_of, fact_rows

from labtune.generation.english.marks import NAME, NAMES, strip
from labtune.types import Document

Pairs = dict[str, dict[str, tuple[str, str]]]


def _questions(document: Document) -> Pairs:
    """Sentence -> question -> (form, minimal answer)."""
    result: Pairs = {}
    for row in fact_rows(document):
        assert row.fact is not None
        asked = result.setdefault(row.passage.text, {})
        for ask in row.fact.asks:
            text = strip(ask.text).replace(NAME, "NAME").replace(NAMES, "NAMES")
            asked.setdefault(
                text, (ask.form, document.text[slice(*ask.short)] if ask.short else ask.polarity)
            )
    return result


@pytest.fixture(scope="module")
def english(tmp_path_factory: pytest.TempPathFactory) -> Pairs:
    return _questions(document_of(tmp_path_factory.mktemp("en"), MANUAL))


@pytest.fixture(scope="module")
def chinese(tmp_path_factory: pytest.TempPathFactory) -> Pairs:
    return _questions(document_of(tmp_path_factory.mktemp("zh"), POLICY_ZH))


@pytest.mark.parametrize(
    ("sentence", "question", "form", "minimal"),
    [
        (
            "The Kestrel Kettle is an electric kettle that boils water.",
            "What is NAME?",
            "definition",
            "an electric kettle that boils water",
        ),
        ("It was designed by Mira Voss in 2019.", "Who designed NAME in 2019?", "who", "Mira Voss"),
        (
            "It was designed by Mira Voss in 2019.",
            "In what year was NAME designed by Mira Voss?",
            "when",
            "in 2019",
        ),
        ("The kettle weighs 1.2 kg.", "How heavy is NAME?", "measure", "1.2 kg"),
        ("The jug holds 1.7 litres.", "What is the capacity of the jug?", "measure", "1.7 litres"),
        ("The jug holds 1.7 litres.", "How many litres does the jug hold?", "how_many", "1.7 litres"),
        ("The cord is 75 cm long.", "What is the length of the cord?", "measure", "75 cm"),
        (
            "The kettle must not be put in the dishwasher.",
            "Can I put NAME in the dishwasher?",
            "permission",
            "no",
        ),
        ("The lid can be removed for cleaning.", "Can I remove the lid?", "permission", "yes"),
        ("The lid can be removed for cleaning.", "How do I remove the lid?", "how_to", ""),
        (
            "Descale the kettle every two months.",
            "How often should I descale the kettle?",
            "how_often",
            "every two months",
        ),
        (
            "Press the Brew button for 3 seconds to switch on the keep-warm mode.",
            "How do I switch on the keep-warm mode?",
            "how_to",
            "",
        ),
        (
            "Press the Brew button for 3 seconds to switch on the keep-warm mode.",
            "How long should I press the Brew button?",
            "how_long",
            "for 3 seconds",
        ),
        (
            "Press the Brew button for 3 seconds to switch on the keep-warm mode.",
            "What is the Brew button for?",
            "purpose",
            "",
        ),
        ("The kettle switches off when the jug is empty.", "Why is NAME switching off?", "why", ""),
        (
            "The kettle switches off when the jug is empty.",
            "What happens when the jug is empty?",
            "condition",
            "",
        ),
        ("The kettle switches off when the jug is empty.", "NAME switches off.", "complaint", ""),
        ("The warranty on the kettle lasts 5 years.", "How long is NAME under warranty?", "topic", "5 years"),
        ("The spare parts are stored in Bergen.", "Where are the spare parts stored?", "where", "in Bergen"),
        ("The spare parts are stored in Bergen.", "Are the spare parts stored in Bergen?", "yes_no", "yes"),
        ("The spare parts are stored in Bergen.", "What is stored in Bergen?", "subject", "The spare parts"),
        ("The box contains:", "What does the box contain?", "list", ""),
    ],
)
def test_english_questions_are_formed_by_rule(
    english: Pairs, sentence: str, question: str, form: str, minimal: str
) -> None:
    assert english[sentence][question] == (form, minimal)


def test_a_table_cell_is_asked_by_row_and_from_its_value(english: Pairs) -> None:
    cell = next(asked for text, asked in english.items() if text.endswith("The water is boiling."))
    assert cell["Why is the light flashing green?"] == ("why", "The water is boiling")
    assert cell["What do I do when the water is boiling?"] == ("table_reverse", "")
    assert cell["The water is boiling."][0] == "complaint"


@pytest.mark.parametrize(
    ("sentence", "question", "form", "minimal"),
    [
        ("云溪图书馆成立于1987年，现有图书42万册。", "云溪图书馆成立于哪一年", "when", "1987年"),
        ("馆长是沈若兰。", "馆长是谁", "who", "沈若兰"),
        ("图书馆在人民路15号。", "图书馆在哪里", "where", "人民路15号"),
        ("图书馆早上9点开门。", "图书馆几点开门", "when", "早上9点"),
        ("读者一次可以借8本书。", "读者一次可以借几本书", "how_many", "8本"),
        ("读者一次可以借8本书。", "读者一次能不能借8本书", "permission", "can"),
        ("图书的借期是30天。", "图书的借期是多久", "how_long", "30天"),
        ("逾期不还的图书每天罚款0.2元。", "逾期不还的图书每天罚款多少钱", "how_much", "0.2元"),
        ("阅览室里不能吃东西。", "阅览室里可以吃东西吗", "permission", "cannot"),
        ("办理借书证要带身份证。", "办理借书证要带什么", "what", "身份证"),
        ("遗失图书由读者自己承担费用。", "遗失图书由谁自己承担费用", "who", "读者"),
        ("因为周一整理书架，所以周一图书馆不开放。", "为什么周一图书馆不开放", "why", ""),
        ("如果借书证丢失，请到一楼服务台挂失。", "借书证丢失怎么办", "condition", ""),
        ("自习室在三楼。", "自习室在几楼", "where", "三楼"),
        ("它每天早上8点开放。", "自习室几点开放", "when", "每天早上8点"),
    ],
)
def test_chinese_questions_are_formed_by_rule(
    chinese: Pairs, sentence: str, question: str, form: str, minimal: str
) -> None:
    assert chinese[sentence][question] == (form, minimal)


def test_a_leading_pronoun_is_replaced_by_a_quote_from_before(tmp_path: Path) -> None:
    rows = fact_rows(document_of(tmp_path, MANUAL))
    answer = rows[1].fact.answer  # type: ignore[union-attr]
    text = rows[1].passage.document.text
    assert answer.text == "The Kestrel Kettle was designed by Mira Voss in 2019."
    assert [text[start:end] for start, end in answer.spans] == [
        "The Kestrel Kettle",
        " was designed by Mira Voss in 2019.",
    ]


def test_a_pronoun_without_a_likely_referent_stays(tmp_path: Path) -> None:
    text = "# Report\n\nThe funding for the cloning project was small. She was born in 1996.\n"
    rows = fact_rows(document_of(tmp_path, text))
    assert rows[1].fact.answer.text == "She was born in 1996."  # type: ignore[union-attr]
