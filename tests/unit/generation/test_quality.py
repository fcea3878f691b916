"""Checks of a teacher model's words: each catches what it is for and lets sound text pass."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from curated_text import EXAMPLES, MANUAL, POLICY_ZH, context_of, document_of, leaf_of
from hypothesis import given
from hypothesis import strategies as st

from labtune.generation.quality.duplicates import SeenPairs
from labtune.generation.quality.grounding import grounding_fault, known_numbers
from labtune.generation.quality.guard import ExamGuard, open_seeds
from labtune.generation.quality.language import wrong_language
from labtune.generation.quality.statement import PassageSentences
from labtune.taxonomy.curate import curate
from labtune.types import ExamQuestion, SeedExample, Source


@pytest.mark.parametrize(
    ("text", "language", "found"),
    [
        ("挂号费是12元。", "zh", None),
        ("使用HTTP/2和TLS 1.3协议进行通信", "zh", None),
        ("What is the registration fee?", "zh", "Latin script"),
        ("挂号费是12元。", "en", "Han script"),
        ("これはロボットです", "zh", "kana script"),
        ("看板はここにありますか", "ja", None),
        ("Робот весит три килограмма", "en", "Cyrillic script"),
        ("Робот весит три килограмма", "ru", None),
        ("Der Roboter wiegt nicht mehr als drei Kilo und ist mit dem Akku schwer", "en", "de"),
        ("The robot weighs three kilos and it is as heavy as the dock", "de", "en"),
        ("Le robot est plus lourd que les autres dans la maison", "fr", None),
        ("3.4", "zh", None),
        ("The robot weighs 3.4 kg.", "en", None),
        ("机器人", "en-GB", "Han script"),
    ],
)
def test_language_is_told_by_script_and_small_words(text: str, language: str, found: str | None) -> None:
    assert wrong_language(text, language) == found


def test_a_quote_of_the_document_is_never_in_the_wrong_language() -> None:
    assert wrong_language("NASA", "zh", "该项目由NASA资助。") is None
    assert wrong_language("NASA", "zh", "该项目由航天局资助。") == "Latin script"


@pytest.mark.parametrize(
    ("question", "answer", "reason", "detail"),
    [
        ("How heavy is it?", "It weighs 1.2 kg.", None, ""),
        ("How heavy is it?", "It weighs 2.1 kg.", "number_not_in_document", "2.1"),
        ("Who designed it?", "Mira Voss designed the kettle in 2019.", None, ""),
        ("Who designed it?", "It was designed by Olaf Lund in 2019.", "name_not_in_document", "Olaf, Lund"),
        ("How often?", "Every 2 months.", None, ""),
        ("What next?", "1. Press the Brew button.\n2. Hold it for 3 seconds.", None, ""),
        ("What next?", "- Rinse the filter.\n- Thereafter wait: Descaling comes last.", None, ""),
        ("Is it an electric kettle?", "Yes.", None, ""),
        ("Who won the world cup?", "Yes.", "nothing_quoted", ""),
        ("Why?", "I am sorry, but I cannot help with that request.", "nothing_quoted", None),
        ("What is love?", "A feeling between people that poets describe.", "nothing_quoted", None),
    ],
)
def test_an_answer_must_come_from_its_passage(
    question: str, answer: str, reason: str | None, detail: str | None
) -> None:
    fault = grounding_fault(question, answer, MANUAL)
    assert (fault.reason if fault else None) == reason
    if fault and detail is not None:
        assert fault.detail == detail


def test_chinese_answers_are_checked_by_numbers_in_either_form_and_character_pairs() -> None:
    passage = "门诊时间是周一至周五上午八点到下午五点。挂号费为十二元。何志远是内科的主任医生。"
    assert grounding_fault("挂号费？", "挂号费是12元。", passage, language="zh") is None
    assert grounding_fault("何时？", "上午8点至下午5点。", passage, language="zh") is None
    fault = grounding_fault("挂号费？", "挂号费是15元。", passage, language="zh")
    assert fault is not None
    assert (fault.reason, fault.detail) == ("number_not_in_document", "15")
    assert grounding_fault("地址？", "北京市朝阳区建国路。", passage, language="zh") is not None


def test_numbers_are_one_number_in_any_spelling() -> None:
    found = known_numbers("1,000 metres, four floors, 3.0 kg, 二〇二四年, 一百二十人, at 08:30")
    assert {"1000", "4", "3", "2024", "120", "8", "30"} <= found


def test_the_examples_own_answers_pass_and_foreign_answers_do_not(tmp_path: Path) -> None:
    from labtune.artifact import Curated
    from labtune.config.lab import DocumentsConfig, ExamConfig
    from labtune.types import RunContext

    pairs: list[tuple[str, str, str, str]] = []
    for name in ("customer-service", "clinic-zh"):
        run = RunContext(tmp_path / name, tmp_path / "cache")
        curate(EXAMPLES / name / "taxonomy", exam=ExamConfig(), documents=DocumentsConfig(), run=run)
        for leaf in Curated(tmp_path / name).leaves():
            if leaf.kind == "knowledge":
                pairs += [(s.context or "", s.question, s.answer, leaf.language) for s in leaf.seeds]
    assert len(pairs) > 20
    assert [pair for pair in pairs if _fault(*pair)] == []
    foreign = [(left[0], *right[1:]) for left, right in zip(pairs, reversed(pairs), strict=True)]
    caught = [pair for pair in foreign if pair[0] and _fault(*pair)]
    assert len(caught) > 0.8 * len(foreign)


def _fault(context: str, question: str, answer: str, language: str) -> bool:
    return grounding_fault(question, answer, context, language=language) is not None


def test_a_sample_cites_the_sentences_that_it_states(tmp_path: Path) -> None:
    for text, question, answer, quoted in [
        (MANUAL, "How heavy is the kettle?", "It weighs 1.2 kg.", ["The kettle weighs 1.2 kg."]),
        (
            MANUAL,
            "Who designed it, and when is it descaled?",
            "Mira Voss designed it in 2019; descale the kettle every two months.",
            ["It was designed by Mira Voss in 2019.", "Descale the kettle every two months."],
        ),
        (POLICY_ZH, "谁是馆长？", "馆长是沈若兰。", ["馆长是沈若兰。"]),
        (MANUAL, "Who won?", "Nobody knows.", []),
    ]:
        context = context_of(document_of(tmp_path, text))
        (document,) = context.documents.values()
        found = [
            document.text[span.start : span.end]
            for chunk in context.chunks[:1]
            for span in PassageSentences(chunk, document).stated(question, answer)
        ]
        assert found == quoted


SEEDS = (
    SeedExample("s1", "How heavy is the grey kettle without water?", "1.2 kg", None, Source("q", 1), True),
    SeedExample("s2", "Who designed the kettle?", "Mira Voss", None, Source("q", 2)),
)


def test_the_exam_is_recognised_in_other_words_but_not_with_other_numbers() -> None:
    leaf = leaf_of("knowledge/kettle", seeds=SEEDS)
    exam = [
        ExamQuestion(
            "e1", leaf.path, "What happens after 3 beeps of the base?", "", "test", Source("e", 1), "exam"
        ),
        ExamQuestion("e2", "knowledge/other", "Who designed the kettle?", "", "test", Source("e", 2), "exam"),
    ]
    guard = ExamGuard(leaf, exam)
    assert guard.asks("how heavy is the grey kettle, without water") == "s1"
    assert guard.asks("Please: what happens after 3 beeps of the base?") == "e1"
    assert guard.asks("What happens after 4 beeps of the base?") is None
    assert guard.asks("Who designed the kettle?") is None
    assert [seed.id for seed in open_seeds(leaf)] == ["s2"]


def test_near_duplicates_are_found_and_numbers_tell_apart() -> None:
    seen = SeenPairs(0.8)
    first = ("What does the light mean when it flashes green?", "The water is boiling.")
    assert seen.partner(*first) is None
    seen.add("a", *first)
    assert seen.partner("what does the light mean when it flashes green", "It boils.") == "a"
    assert seen.partner("What does the light mean if it flashes green?", "The water is boiling.") == "a"
    assert seen.partner("What does the light mean when it is solid orange?", "The filter is dirty.") is None
    seen.add("b", "What is error 12 of the base station about?", "The base station has error 12.")
    other = ("What is error 13 of the base station about?", "The base station has error 13.")
    assert seen.partner(*other) is None


def test_near_duplicates_are_found_among_thousands_without_comparing_all() -> None:
    draw = random.Random(5)
    words = [
        f"{a}{b}"
        for a in ("ba", "ke", "li", "mo", "nu", "ra", "se")
        for b in ("den", "fil", "gor", "hut", "jas", "wum", "pox", "tyr", "zeb", "cad")
    ]
    pairs = [(" ".join(draw.choices(words, k=9)), " ".join(draw.choices(words, k=16))) for _ in range(1000)]
    seen = SeenPairs(0.8)
    for number, pair in enumerate(pairs):
        assert seen.partner(*pair) is None
        seen.add(str(number), *pair)
    found = [
        seen.partner(question, answer.replace(answer.split()[-1], "indeed")) == str(number)
        for number, (question, answer) in enumerate(pairs[:200])
    ]
    assert sum(found) >= 0.97 * len(found)


@given(st.text(max_size=80), st.text(max_size=80), st.text(max_size=80), st.sampled_from(["en", "zh", "de"]))
def test_no_text_breaks_the_checks(question: str, answer: str, passage: str, language: str) -> None:
    wrong_language(answer, language, passage)
    grounding_fault(question, answer, passage, language=language)
    seen = SeenPairs(0.8)
    seen.add("a", question, answer)
    assert seen.partner(question, answer) == "a"
