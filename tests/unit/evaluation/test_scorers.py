"""The rule *right* and token F1, as tables."""

from __future__ import annotations

import pytest
from exams import question

from labtune.evaluation.scorers import right, token_f1


@pytest.mark.parametrize(
    ("answer", "output", "expected"),
    [
        # 3 of 5 content words pass, 2 of 5 do not.
        ("Seeds, berries, insects, spiders, suet", "It likes seeds, berries and insects.", True),
        ("Seeds, berries, insects, spiders, suet", "It likes seeds and berries.", False),
        ("The battery has a capacity of 5200 mAh.", "The battery capacity is 5200 mAh.", True),
        ("The battery has a capacity of 5200 mAh.", "The battery capacity is 2500 mAh.", False),
        ("It weighs 3.4 kg.", "3.40kg, it weighs.", True),
        ("Incubation takes 6–8 weeks.", "The incubation takes 6 to 8 weeks.", True),
        ("Incubation takes 6–8 weeks.", "The incubation takes 8 weeks.", False),
        ("It stores food.", "Food is being stored in bark.", True),
        ("1,200", "about 1200 people", True),
        ("1,200", "about 1.2 people", False),
        ("Yes", "Yes, it is.", True),
        ("Yes", "No, it is not.", False),
        ("No, it does not.", "Yes, it does.", False),
        ("It is.", "Indeed it is so.", True),
        ("It is.", "Certainly.", False),
        ("地址是梧桐路86号。", "诊所在梧桐路86号。", True),
        ("地址是梧桐路86号。", "诊所在梧桐路68号。", False),
        ("儿科在二楼。", "内科在三楼。", False),
        ("儿科在二楼。", "二楼是儿科。", True),
        ("周日和法定节假日门诊休息。", "门诊周日休息。", False),
        ("挂号费是12元。", "普通号挂号费１２元", True),
        ("是", "是的，可以。", True),
        ("不可以。", "可以。", False),
        ("門診時間", "   ", False),
        ("anything", "", False),
    ],
)
def test_right_by_content(answer: str, output: str, expected: bool) -> None:
    assert bool(right(output, question("q", answer)).value) is expected


@pytest.mark.parametrize(
    ("must", "output", "expected", "reason"),
    [
        (("wall", "hard"), "Against a wall on a hard floor.", True, "all must words"),
        (("wall", "hard"), "Against a wall.", False, "missing 'hard'"),
        (("wall", "hard"), "On a hardwood floor by the wall.", False, "missing 'hard'"),
        (("周日", "节假日"), "周日和节假日休息", True, "all must words"),
        (("周日", "节假日"), "周六休息", False, "missing '周日', '节假日'"),
    ],
)
def test_must_words_decide_alone(must: tuple[str, ...], output: str, expected: bool, reason: str) -> None:
    # The reference answer shares nothing with the outputs: it must not matter.
    score = right(output, question("q", "zzz 999", must=must))
    assert (bool(score.value), score.reason) == (expected, reason)


def test_reasons_name_what_is_missing() -> None:
    assert right("It weighs 4 kg.", question("q", "It weighs 3.4 kg.")).reason == "missing number 3.4"
    assert right("It is heavy.", question("q", "red blue green")).reason == "0.00 of the content words"


@pytest.mark.parametrize(
    ("answer", "output", "expected"),
    [
        ("slate grey", "slate grey", 1.0),
        ("slate grey", "The slate grey", 1.0),
        ("slate grey", "slate black", 0.5),
        ("slate grey", "slate slate slate", 0.4),
        ("slate grey", "cream", 0.0),
        ("三楼", "在三楼", 0.8),
        ("2.5", "2.50", 1.0),
    ],
)
def test_token_f1(answer: str, output: str, expected: float) -> None:
    assert token_f1(output, question("q", answer)).value == pytest.approx(expected)
