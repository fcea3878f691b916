"""Leaks and near duplicates: what goes, what stays, and what is written about it."""

from __future__ import annotations

from pathlib import Path

import pytest
from samplesets import knowledge, question, run_mix, sample

from labtune.mixing.general import GeneralRow
from labtune.types import Leaf, Message, Sample, SeedExample, Source

KEEP = sample("keep", "Who built the lighthouse?", "Maria built the lighthouse.")


@pytest.mark.parametrize(
    ("exam", "asked", "leaks"),
    [
        ("How much does the V3 weigh?", "how much does the v3 weigh", True),
        ("How much does the V3 weigh?", "Please, how much does the V3 weigh?", True),
        ("How much does the vacuum weigh in kg?", "How much in kg does the vacuum weigh?", True),
        ("How much does the V3 weigh?", "How long does the V3 charge?", False),
        ("What is the Pelluno?", "Excuse me, what is the Pelluno?", True),
        ("What is the Pelluno?", "I have a question. What is the Pelluno? Thank you.", True),
        ("What is the Pelluno?", "Excuse me, what is the Pelluno brush made of?", False),
        ("Why is it?", "It rains. Why is it?", True),
        ("Why?", "It rains. Why? Tell me of clouds.", False),
        ("内科在几楼？", "您好，内科在几楼？谢谢", True),
        ("What is the price of the red filter?", "What is the price of the blue filter?", False),
        (
            "How many cups do I need for 6 people at noon?",
            "How many cups do I need for 8 people at noon?",
            False,
        ),
        (
            "What is 12 minus 5 plus the other number of them?",
            "What is 5 minus 12 plus the other number of them?",
            False,
        ),
        ("内科在几楼？", "内科在几楼", True),
        ("请问内科门诊在哪一层楼啊？", "内科门诊在哪一层楼", True),
        ("内科在几楼？", "外科在几楼？", False),
        ("专家门诊的挂号费是多少钱？", "专家门诊挂号费多少钱？", True),
        ("专家门诊的挂号费是多少钱？", "普通门诊的挂号费是多少钱？", False),
        ("門診は何時からですか？", "門診は何時からですか", True),
    ],
)
def test_exam_questions_do_not_enter_training(tmp_path: Path, exam: str, asked: str, leaks: bool) -> None:
    mixed = run_mix(tmp_path, [KEEP, sample("s", asked, "Some answer.")], exam=[question("e1", exam)])
    assert (asked not in mixed.questions()) is leaks
    assert [(r["id"], r["reason"], r["partner"]) for r in mixed.removed] == (
        [("s", "exam_question", "e1")] if leaks else []
    )


def test_both_splits_of_the_exam_are_kept_out(tmp_path: Path) -> None:
    exam = [
        question("d", "Who lives in the tower?", split="dev"),
        question("t", "What sings at night?", split="test"),
    ]
    samples = [
        KEEP,
        sample("a", "who lives in the tower", "Owls."),
        sample("b", "What sings at night", "Crickets."),
    ]
    mixed = run_mix(tmp_path, samples, exam=exam)
    assert mixed.questions() == {"Who built the lighthouse?"}
    assert mixed.outcome.counts["leaks"] == 2
    assert mixed.report["removed"]["sample"] == {"exam_question": 2}


def test_the_threshold_is_the_labs(tmp_path: Path) -> None:
    exam = [question("e", "What is the price of the red filter?")]
    near = sample("s", "What is the price of the blue filter?", "Nine euros.")
    assert len(run_mix(tmp_path / "a", [KEEP, near], exam=exam, leak_overlap=0.7).removed) == 1
    assert len(run_mix(tmp_path / "b", [KEEP, near], exam=exam, leak_overlap=0.9).removed) == 0


def test_a_passage_before_the_question_does_not_hide_it(tmp_path: Path) -> None:
    asked = "The tower is old.\n\nWho lives in the tower?"
    mixed = run_mix(
        tmp_path, [KEEP, sample("s", asked, "Owls.")], exam=[question("e", "Who lives in the tower?")]
    )
    assert [r["partner"] for r in mixed.removed] == ["e"]


def test_a_skill_asked_about_another_context_is_no_leak(tmp_path: Path) -> None:
    exam = [question("e", "Give the order number.", context="Hi, my order AB-77 is late. Greetings, Ann")]
    same = sample("same", "Hi, my order AB-77 is late. Greetings, Ann\n\nGive the order number.", "AB-77")
    other = sample("other", "Where is parcel XK-12? I paid last week. Bob\n\nGive the order number.", "XK-12")
    task = sample("task", "Hi, my order AB-77 is late. Greetings, Ann\n\nTranslate into French.", "Salut")
    mixed = run_mix(tmp_path, [same, other, task], exam=exam)
    assert [r["id"] for r in mixed.removed] == ["same"]


def test_a_row_made_from_a_held_out_seed_goes_whatever_it_says(tmp_path: Path) -> None:
    place = Source("knowledge/a/qna.yaml", 12)
    exam = [question("e", "What do owls eat?", origin="seed", source=place)]
    made = sample("s", "Entirely different words here?", "Yes.", seed=place)
    other = sample("o", "Which tree is tallest?", "The oak.", seed=Source("knowledge/a/qna.yaml", 20))
    mixed = run_mix(tmp_path, [made, other], exam=exam)
    [removed] = mixed.removed
    assert (removed["id"], removed["reason"], removed["partner_text"]) == (
        "s",
        "held_out_seed",
        "knowledge/a/qna.yaml:12",
    )


@pytest.mark.parametrize(
    ("answer", "grounded", "leaks"),
    [
        ("Owls eat mice and small birds at night.", False, True),
        ("Owls eat mice and small birds at night.", True, False),  # The document words it so.
        ("Mice.", False, False),
    ],
)
def test_the_exams_answers_word_for_word(tmp_path: Path, answer: str, grounded: bool, leaks: bool) -> None:
    exam = [question("e", "Owl food?", "owls eat mice, and small birds, at night")]
    row = sample("s", "What is caught by the hunters of the dark?", answer, grounded=grounded)
    mixed = run_mix(tmp_path, [KEEP, row], exam=exam)
    assert [r["reason"] for r in mixed.removed] == (["exam_answer"] if leaks else [])


def test_answers_of_seeds_that_may_be_trained_on_are_no_leak(tmp_path: Path) -> None:
    exam = [question("e", "Owl food?", "Owls eat mice and small birds.")]
    rows = [KEEP, sample("s", "What do owls hunt?", "Owls eat mice and small birds.", grounded=False)]
    place = Source("knowledge/a/qna.yaml", 9)
    for held_out, reasons in ((False, []), (True, ["exam_answer"])):
        seed = SeedExample("x", "What do owls eat?", "Owls eat mice and small birds.", None, place, held_out)
        leaf = Leaf("knowledge/a", "knowledge", "en", (seed,), place)
        mixed = run_mix(tmp_path / str(held_out), rows, exam=exam, leaves=[leaf])
        assert [r["reason"] for r in mixed.removed] == reasons


def test_general_exam_and_general_rows_are_checked_too(tmp_path: Path) -> None:
    rows = [
        GeneralRow(
            "g1",
            (Message("user", "What is the capital of France?"), Message("assistant", "Paris")),
            "geo",
            "en",
        ),
        GeneralRow(
            "g2", (Message("user", "Name the river of Cairo."), Message("assistant", "The Nile")), "geo", "en"
        ),
        GeneralRow(
            "g3", (Message("user", "Who lives in the tower?"), Message("assistant", "Owls")), "chat", "en"
        ),
    ]
    mixed = run_mix(
        tmp_path,
        [*knowledge(20, "short"), sample("s", "what's the capital of Spain", "Madrid")],
        exam=[question("e", "Who lives in the tower?")],
        general_rows=rows,
        general_exam=["What is the capital of France?", "What's the capital of Spain?"],
    )
    assert [(r["pool"], r["id"], r["partner"]) for r in mixed.removed] == [
        ("general_replay", "g1", "general-exam-0001"),
        ("general_replay", "g3", "e"),
        ("sample", "s", "general-exam-0002"),
    ]
    assert "What is the capital of France?" not in mixed.questions()
    assert "Name the river of Cairo." in mixed.questions()


def test_replay_of_leaked_rows_is_impossible(tmp_path: Path) -> None:
    leaked = sample("short-x", "Who lives in the tower?", "Owls.")
    samples = [*knowledge(30, "short"), leaked, *knowledge(30, "long", "old ")]
    mixed = run_mix(tmp_path, samples, exam=[question("e", "Who lives in the tower?")])
    assert "Who lives in the tower?" not in mixed.questions()


@pytest.mark.parametrize(
    ("first", "second", "duplicate"),
    [
        ("What is the weight of the robot?", "what is the weight of the robot", True),
        ("What is the weight of the robot?", "WHAT IS THE WEIGHT OF THE ROBOT??", True),
        ("What is the weight of the robot?", "How much does the robot weigh?", False),
        ("What is the weight of the robot?", "robot weight", False),
        ("What is the weight of the robot?", "What is the weight of the robots?", True),
        ("机器人有多重？", "机器人有多重", True),
        ("机器人有多重？", "机器人的重量是多少？", False),
    ],
)
def test_only_real_duplicates_go(tmp_path: Path, first: str, second: str, duplicate: bool) -> None:
    pair = [sample("a", first, "It weighs 3.4 kg."), sample("b", second, "It weighs 3.4 kg")]
    mixed = run_mix(tmp_path, pair)
    assert [(r["id"], r["reason"], r["partner"]) for r in mixed.removed] == (
        [("b", "near_duplicate", "a")] if duplicate else []
    )
    assert mixed.outcome.counts["duplicates"] == int(duplicate)


def test_the_same_question_with_another_answer_stays(tmp_path: Path) -> None:
    rows = [sample("a", "Name a bird.", "The owl."), sample("b", "Name a bird.", "The crow.")]
    assert run_mix(tmp_path, rows).removed == []


def test_long_passages_that_differ_in_a_number_are_not_duplicates(tmp_path: Path) -> None:
    passage = "A long passage about pumps and valves that goes on for a while. " * 10
    rows = [
        sample(name, f"{passage}It has {n} pumps.\n\nIs it large?", "Yes.")
        for name, n in (("a", 42), ("b", 43))
    ]
    assert run_mix(tmp_path, rows).removed == []


def _incomplete() -> list[Sample]:
    from dataclasses import replace

    return [
        sample("blank", "What is it?", "  "),
        replace(sample("no-answer", "What is it?", "x"), messages=(Message("user", "What is it?"),)),
        replace(sample("nothing", "q", "x"), messages=()),
        KEEP,
        sample("keep", "Another question under one id?", "Yes."),
    ]


def test_incomplete_rows_are_data_not_exceptions(tmp_path: Path) -> None:
    mixed = run_mix(tmp_path, _incomplete())
    assert {r["id"]: r["reason"] for r in mixed.removed} == {
        "blank": "incomplete",
        "no-answer": "incomplete",
        "nothing": "incomplete",
        "keep": "same_id",
    }
    assert mixed.outcome.counts["incomplete"] == 4
