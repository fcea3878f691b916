"""Content words, numbers and must-terms: the fixed rules, case by case."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labtune.evaluation.content import compact, content, fold, has_term, numbers, tokens


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("6–8 weeks", {"6", "8"}),
        ("6-8", {"6", "8"}),
        ("between 6 and 8", {"6", "8"}),
        ("1,200 rpm", {"1200"}),
        ("12,345,678.50", {"12345678.5"}),
        ("2.50", {"2.5"}),
        ("3.0", {"3"}),
        ("opens 08:00, closes 17:30", {"8", "17:30"}),
        ("−18 °C", {"-18"}),
        ("from 5 -8", {"5", "-8"}),
        ("Pelluno V3", set()),
        ("USB 3.2", {"3.2"}),
        ("3kg", {"3"}),
        ("95%", {"95"}),
        ("the 1990s", {"1990"}),
        ("上午8:00到12:00", {"8", "12"}),
        ("挂号费２５元", {"25"}),
        ("第3诊室", {"3"}),
        ("六个月", set()),
        ("six months", set()),
        ("007 and 7", {"7"}),
        ("version 1.2.3.", {"1.2.3"}),
        (".5 litres", {"5"}),
    ],
)
def test_numbers(text: str, expected: set[str]) -> None:
    assert numbers(text) == expected


@pytest.mark.parametrize(
    ("group", "stem"),
    [
        (("store", "stores", "stored", "storing"), "stor"),
        (("stop", "stops", "stopped", "stopping"), "stop"),
        (("seed", "seeds"), "seed"),
        (("battery", "batteries", "battery's"), "batteri"),
        (("brush", "brushes"), "brush"),
        (("fill", "filled", "filling"), "fill"),
        (("glass", "glasses"), "glass"),
        (("spring",), "spring"),
        (("gas",), "gas"),
        (("über",), "über"),
        (("v3",), "v3"),
    ],
)
def test_inflections_of_a_word_fold_together(group: tuple[str, ...], stem: str) -> None:
    assert {fold(word) for word in group} == {stem}


def test_content_words_leave_out_stop_words_but_keep_negations() -> None:
    found = content("It doesn't eat the seeds of a 3kg melon.")
    assert found.words == {"not", "eat", "seed", "kg", "melon"}
    assert found.numbers == {"3"}
    assert found.units == frozenset()


def test_chinese_runs_become_pairs_between_function_words() -> None:
    assert content("门诊的时间").units == {"门诊", "时间"}
    assert content("在三楼").units == {"三楼"}
    assert content("25元").units == {"元"}
    assert content("可以预约").units == {"预约"}


def test_mixed_text_has_words_and_units() -> None:
    found = content("请连接Wi-Fi网络")
    assert found.words == {"wi", "fi"}
    assert found.units == {"连接", "网络"}


@pytest.mark.parametrize(
    ("output", "term", "expected"),
    [
        ("The robot weighs 3.4 kg.", "3.4", True),
        ("The robot weighs 3.40 kg.", "3.4", True),
        ("The robot weighs 13.4 kg.", "3.4", False),
        ("It holds 420ml.", "420", True),
        ("It costs 1,200 euros.", "1200", True),
        ("It takes 8.5 hours.", "8", False),
        ("at 8:00", "8", True),
        ("at 8:30", "8", False),
        ("6 to 8 weeks", "6–8", True),
        ("6 weeks", "6–8", False),
        ("Hold the HOME button", "Home", True),
        ("Hold the homepage button", "Home", False),
        ("charging docks", "dock", False),
        ("a 5kg bag", "5 kg", True),
        ("a 15 kg bag", "5 kg", False),
        ("slate  grey", "slate grey", True),
        ("slategrey", "slate grey", False),
        ("门诊早上7点半开始。", "7点半", True),
        ("门诊早上 7 点半开始。", "7点半", True),
        ("下午17点半结束", "7点半", False),
        ("挂号费１２元", "12元", True),
        ("挂号费112元", "12元", False),
        ("儿科在二楼。", "二楼", True),
        ("连接WiFi密码", "wifi", True),
        ("only 2.4 GHz", "2.4GHz", True),
        ("it’s off", "it's", True),
        ("C++ code", "c++", True),
        ("20%", "%", True),
        ("", "dock", False),
    ],
)
def test_must_terms(output: str, term: str, expected: bool) -> None:
    assert has_term(output, term) is expected


def test_tokens_keep_order_and_repetitions() -> None:
    assert tokens("The bird, the BIRD 2.50 三楼") == ["bird", "bird", "2.5", "三", "楼"]


def test_compact_ignores_layout() -> None:
    assert compact("Wi-Fi: 2.4 GHz!") == compact("wi fi 24ghz")


@given(st.text(max_size=60), st.text(min_size=1, max_size=12))
def test_any_text_is_judged_without_failing(text: str, term: str) -> None:
    has_term(text, term)
    found = content(text)
    assert found.size == len(found.words) + len(found.units)
    assert content(text) == content(f" {text}\n")
    assert tokens(text) == tokens(text)


@given(st.integers(min_value=0, max_value=10**9), st.text(alphabet="abc 楼的", max_size=10))
def test_a_number_is_found_in_whatever_text_it_stands(number: int, text: str) -> None:
    assert has_term(f"{text} {number:,} {text}", str(number))
