"""How laypeople ask: pieces of a fact, the frames around them, and what the questions have in common."""

import random
import re
from collections import defaultdict

import pytest
from curated_text import MANUAL, POLICY_ZH, document_of, rows_of

from labtune.generation.chinese.situations import clause_pieces, other_numbers
from labtune.generation.english.frames import FORMS, lead_in, situation, tidy_lead
from labtune.generation.english.marks import strip
from labtune.generation.english.names import Names
from labtune.generation.english.paraphrase import close_up
from labtune.generation.english.situations import other_numbers as other_english_numbers
from labtune.generation.english.situations import piece
from labtune.generation.lexicon import load_lexicon
from labtune.generation.rows import Ask, Piece, Row

SITUATIONS = MANUAL.replace(
    "## In the box",
    """A burnt smell comes from limescale on the base.
Use the kettle indoors only.
Fill the jug with fresh drinking water only.
Opening the base ends the warranty.
Bleach in the jug damages the seal.
A repair needs the receipt.
The kettle can be returned within 30 days of delivery.

## In the box""",
)


@pytest.fixture(scope="module")
def english(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    return rows_of(document_of(tmp_path_factory.mktemp("en"), SITUATIONS))


@pytest.fixture(scope="module")
def chinese(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    return rows_of(document_of(tmp_path_factory.mktemp("zh"), POLICY_ZH))


def _pieces(rows: list[Row], start: str) -> set[tuple[str, str]]:
    """(kind, first slot) of the pieces of the passage that begins with `start`."""
    return {
        (item.kind, strip(item.slots[0][1]))
        for row in rows
        if row.passage.text.startswith(start) and row.fact is not None
        for item in row.fact.pieces
    }


@pytest.mark.parametrize(
    ("sentence", "kind", "text"),
    [
        ("Descale the kettle", "act", "descale the kettle every two months"),
        ("Press the Brew", "goal", "switch on the keep-warm mode"),
        ("The kettle must not", "try", "put \x05 in the dishwasher"),
        ("The kettle switches off", "symptom", "\x05 switches off"),
        ("The kettle switches off", "case", "the jug is empty"),
        ("A burnt smell", "noise", "a burnt smell"),
        ("Use the kettle", "try", "use the kettle outdoors"),
        ("Fill the jug", "other", "fresh drinking water"),
        ("Opening the base", "try", "open the base"),
        ("Bleach in the jug", "harm", "Bleach in the jug"),
        ("A repair needs", "need", "the receipt"),
        ("The kettle can be returned", "deadline", "return \x05"),
        ("Meaning of Flashing green", "noise", "a flashing green light"),
        ("Solid orange, what to do", "act", "rinse the filter with clear water"),
    ],
)
def test_pieces_are_found_by_rule(english: list[Row], sentence: str, kind: str, text: str) -> None:
    assert (kind, text) in _pieces(english, sentence)


def test_every_kind_of_piece_has_frames_that_its_slots_fill() -> None:
    english, names = load_lexicon("en_situations"), Names(["the kettle", "my kettle"], [])
    slots = ("act", "ing", "s", "n", "m", "o", "part", "head", "prep", "it")
    for kind in FORMS:
        whole = piece(kind, **dict.fromkeys(slots, "water"))
        for seed in range(2 * len(english[kind])):
            text = situation(whole, names, random.Random(seed))
            assert text.isprintable() and "{" not in text and text.strip()


def test_a_symptom_is_told_in_many_ways() -> None:
    texts = {
        situation(Piece("noise", (("n", "a burnt smell"),)), Names(), random.Random(seed))
        for seed in range(900)
    }
    assert "Why is there a burnt smell?" in texts
    assert "Help, there is a burnt smell!" in texts
    assert "burnt smell how to fix" in texts
    assert len(texts) > 100


def test_a_thing_moves_to_a_sentence_before_the_question() -> None:
    things = [piece("thing", n="the seal", it="it")]
    moved = lead_in(Ask("What \x01damages the seal?", "subject"), things, random.Random(1))
    assert moved is not None and moved.form == "story"
    assert strip(tidy_lead(moved.text)).endswith("What damages it?")
    assert lead_in(Ask("What is the seal of the jug?", "definition"), things, random.Random(1)) is None


def test_a_pronoun_stands_inside_a_verb_of_two_words() -> None:
    assert close_up("How do I turn off it?") == "How do I turn it off?"
    assert close_up("What fell off it?") == "What fell off it?"


def test_wrong_numbers_never_come_from_names_or_clock_times() -> None:
    assert list(other_english_numbers("the jug holds 40 cups")) == [
        "the jug holds 80 cups",
        "the jug holds 44 cups",
        "the jug holds 20 cups",
        "the jug holds 120 cups",
    ]
    assert not list(other_english_numbers("the shop is open until 6 pm"))
    assert not list(other_english_numbers("a guide to Route 66"))
    assert list(other_numbers("自习室在三楼")) == ["自习室在四楼", "自习室在六楼"]


def test_a_wrong_number_is_answered_with_the_right_one(english: list[Row]) -> None:
    number = re.compile(r"\b(?:10|6|2|15) years\b")
    wrong = [row for row in english if number.search(row.question) and "warranty on" in row.passage.text]
    assert wrong and {row.answer.text for row in wrong if row.answer} == {
        "The warranty on the kettle lasts 5 years."
    }


@pytest.mark.parametrize("language", ["english", "chinese"])
def test_no_form_has_an_answer_of_its_own(language: str, request: pytest.FixtureRequest) -> None:
    """The first word of an answer must not follow from the form: each form meets many answers."""
    answers: dict[str, set[str]] = defaultdict(set)
    for row in request.getfixturevalue(language):
        if row.length == "long" and row.answer is not None:
            answers[row.form].add(row.answer.text)
    for form in ("hearsay", "permission", "pair", "story", "keyword"):
        assert len(answers[form]) >= 3, form
    assert not any(text.startswith(("Yes,", "No,", "是的")) for texts in answers.values() for text in texts)


def test_situations_have_their_share(english: list[Row]) -> None:
    rows = [row for row in english if row.length == "long"]
    told = sum(row.ask is not None and row.ask.family in ("situation", "story", "statement") for row in rows)
    assert 0.2 < told / len(rows) < 0.6


@pytest.mark.parametrize(
    ("clause", "kind", "slots"),
    [
        ("办理借书证要带身份证", "need", ("办理借书证", "带身份证")),
        ("阅览室里不能吃东西", "ban", ("阅览室里", "吃东西")),
        ("体温过高的读者要推迟来馆", "need_who", ("体温过高", "推迟来馆")),
        ("外借的图书要在30天以内归还", "limit", ("外借的图书", "30天", "归还")),
    ],
)
def test_chinese_pieces_are_found_by_rule(clause: str, kind: str, slots: tuple[str, ...]) -> None:
    found = {item.kind: tuple(text for _, text in item.slots) for item in clause_pieces(clause)}
    assert found[kind] == slots


def test_a_chinese_question_may_name_its_topic_first(chinese: list[Row]) -> None:
    stories = {row.question for row in chinese if row.form == "story"}
    assert any(question.startswith("我想问自习室的事，") for question in stories)


def test_a_question_that_two_sentences_answer_is_not_asked(english: list[Row]) -> None:
    """`What costs ...` or `How do I return it?` beside two rules would be answered at random."""
    owners: dict[str, set[str]] = defaultdict(set)
    for row in english:
        if row.ask is not None and row.ask.family == "sentence" and row.ask.text and row.answer is not None:
            owners[row.ask.text].add(row.passage.text.split(":")[0].split(" is ")[0])
    shared = {text for text, passages in owners.items() if len(passages) > 1 and "light" not in text}
    assert not shared
