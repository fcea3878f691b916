import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labtune.documents.sentences import detect_language, split_sentences
from labtune.documents.tokens import count_tokens


def split(text: str, language: str = "en") -> list[str]:
    return [text[start:end] for start, end in split_sentences(text, language)]


@pytest.mark.parametrize(
    "parts",
    [
        ["Dr. Smith met Mr. J. K. Rowling at 9 a.m. on Monday.", "They left."],
        ["It is like P. a. atricapillus, e.g. in size, i.e. small.", "It is larger."],
        ["It reaches the U.S. Navy and the U.S.", "It is rare."],
        ["They weigh 10.5 g (0.35 oz.) at −18 °C.", "Then they rest."],
        ["Mass is 2.4.", "Next is Beta."],
        ['He said "I am here. You are there." to us.', "Fine."],
        ['Wilmut stated "Dolly is one of the pair of glands than Dolly Parton\'s."', "It was so."],
        ["Wait... what is this?", "Who knows!", "(See page 5.)", "Done."],
        ["See Fig. 3 and No. 5 in vol. 2.", "The answer is no.", "Really."],
        ["1. Press the button.", "2. Wait."],
        [
            "Visit https://a.b/c.d?e=f. Then",
        ],
        ["units—A, B, C, and D.", "A and B are one."],
        ["Acme Inc. Chairman Bob spoke.", "It etc. went on."],
        ['"a paved work of a sapphire stone..." (KJV).', "The words."],
        ["Use version 3.10.2, not 3.9.", "OK?", "Yes."],
        ["It grew (by 5 m. or so) fast.", "Good."],
        ["Price: 5 in.", "Height: 3 ft.", "All."],
    ],
)
def test_english(parts: list[str]) -> None:
    if parts == ["Visit https://a.b/c.d?e=f. Then"]:
        assert split(parts[0]) == ["Visit https://a.b/c.d?e=f.", "Then"]
    else:
        assert split(" ".join(parts)) == parts


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        (
            "这是第一句。这是第二句！真的吗？是；对。",
            "zh",
            ["这是第一句。", "这是第二句！", "真的吗？", "是；", "对。"],
        ),
        ("他说：“今天很好。明天再来。”大家都笑了。", "zh", ["他说：“今天很好。明天再来。”", "大家都笑了。"]),
        (
            "“今天很好。”他高兴地说。（详见附录。）下一句。",
            "zh",
            ["“今天很好。”他高兴地说。", "（详见附录。）", "下一句。"],
        ),
        (
            "温度是36.5℃。请用v2.0版（见附录。）操作。",
            "zh",
            ["温度是36.5℃。", "请用v2.0版（见附录。）操作。"],
        ),
        ("「行きます。」と言った。次です。", "ja", ["「行きます。」と言った。", "次です。"]),
        ("他来自U.S.公司。OK. 好的。", "zh", ["他来自U.S.公司。", "OK.", "好的。"]),
        ("Am 3. Oktober kam er. Dann ging er.", "de", ["Am 3. Oktober kam er.", "Dann ging er."]),
        ("¿Qué es? Es una prueba. ¡Bien!", "es", ["¿Qué es?", "Es una prueba.", "¡Bien!"]),
        ("Line one\nline two. Three\n\nfour", "en", ["Line one", "line two.", "Three", "four"]),
        ("", "en", []),
        (" \n ", "zh", []),
    ],
)
def test_other_languages(text: str, language: str, expected: list[str]) -> None:
    assert split(text, language) == expected


LANGUAGES = st.sampled_from(["en", "zh", "ja", "de", "xx"])
TEXTS = st.text(
    alphabet=st.one_of(st.sampled_from(list(" .。!？?\"'“”()（）\nA a1,」「U.S；…")), st.characters()),
    max_size=120,
)


@settings(deadline=None)
@given(TEXTS, LANGUAGES)
def test_every_visible_character_is_in_exactly_one_sentence(text: str, language: str) -> None:
    spans = split_sentences(text, language)
    position = 0
    for start, end in spans:
        assert position <= start < end
        assert text[position:start].strip() == ""
        assert text[start:end] == text[start:end].strip()
        assert "\n" not in text[start:end]
        position = end
    assert text[position:].strip() == ""


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("The bird is small and it lives in the forest.", "en"),
        ("Der Vogel ist klein und lebt nicht in dem Wald, sondern auf der Wiese.", "de"),
        ("Le petit oiseau est dans la forêt et il ne chante pas avec les autres.", "fr"),
        ("El pájaro es pequeño y no vive en el bosque con los otros.", "es"),
        ("黑顶山雀是一种小型鸟类，分布于North America。", "zh"),
        ("黒い鳥は森に住んでいます。", "ja"),
        ("The word 中文 means Chinese, and it is written with two characters.", "en"),
        ("Птица живёт в лесу.", "ru"),
        ("새는 숲에 산다.", "ko"),
        ("a", "en"),
        ("", "en"),
        ("12 34 %", "en"),
    ],
)
def test_detect_language(text: str, code: str) -> None:
    assert detect_language(text) == code


def test_count_tokens() -> None:
    assert count_tokens("") == 0
    assert count_tokens("one two three") == 4
    assert count_tokens("中文字") == 3
    assert count_tokens("x" * 36) == 4
    assert count_tokens(". , !") == 0


@settings(deadline=None)
@given(st.text(max_size=80), st.text(max_size=80))
def test_tokens_of_a_whole_are_at_most_those_of_its_parts(left: str, right: str) -> None:
    assert count_tokens(f"{left}\n{right}") <= count_tokens(left) + count_tokens(right)
