"""Words that can be put together again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labtune.documents.words import join_words, split_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Where's the dock, please?", ["Where's", "the", "dock,", "please?"]),
        ("  spread \n over\tlines ", ["spread", "over", "lines"]),
        ("预约，可以取消吗？", ["预", "约，", "可", "以", "取", "消", "吗？"]),
        ("用iPhone 15预约", ["用", "iPhone", "15", "预", "约"]),
        ("ドックは?", ["ド", "ッ", "ク", "は?"]),
        ("", []),
    ],
)
def test_words_keep_their_marks_and_scripts_without_blanks_are_split_by_character(
    text: str, words: list[str]
) -> None:
    assert split_words(text) == words


@pytest.mark.parametrize(
    "text", ["Where's the dock, please?", "预约，可以取消吗？", "用iPhone预约", "ドックは?", "¿Qué es? ¡Ya!"]
)
def test_joined_words_are_the_text(text: str) -> None:
    assert join_words(split_words(text)) == text


@given(st.text())
def test_nothing_but_blanks_is_lost(text: str) -> None:
    joined = join_words(split_words(text))
    assert "".join(joined.split()) == "".join(text.split())
    assert join_words(split_words(joined)) == joined
