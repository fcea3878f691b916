"""Asking, remembering, choices and the development score."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from exams import Recall, question

from labtune.config.lab import EvaluateConfig
from labtune.errors import ModelError
from labtune.evaluation.answers import AnswerCache, ask, likelihoods, model_identity, prompt_of
from labtune.evaluation.choice import is_right, options
from labtune.evaluation.select import development_score
from labtune.protocols import LikelihoodModel, Sampling

SAMPLING = Sampling(max_tokens=50)
NOTHING = AnswerCache(None, "")


def test_the_double_is_a_likelihood_model() -> None:
    assert isinstance(Recall({}), LikelihoodModel)


def test_context_stands_before_the_question() -> None:
    assert prompt_of(question("q", context="A passage.", text="What?")) == "A passage.\n\nWhat?"


def test_answers_come_in_the_order_of_the_questions() -> None:
    questions = [question(f"q{i}", text="?" * (30 - i)) for i in range(20)]
    model = Recall({"?" * (30 - i): f"answer {i}" for i in range(20)})
    answers = ask(model, questions, sampling=SAMPLING, batch_size=3, cache=NOTHING)
    assert [a.text for a in answers] == [f"answer {i}" for i in range(20)]
    assert all(a.stopped for a in answers)


def test_a_long_answer_is_cut_and_says_so() -> None:
    model = Recall({"What about q?": "x" * 80})
    [answer] = ask(model, [question("q")], sampling=SAMPLING, batch_size=1, cache=NOTHING)
    assert (answer.text, answer.stopped) == ("x" * 50, False)


def test_nothing_is_asked_twice(tmp_path: Path) -> None:
    questions = [question(f"q{i}") for i in range(10)]
    first = Recall({q.question: f"it is {q.id}" for q in questions})
    told = ask(first, questions, sampling=SAMPLING, batch_size=4, cache=AnswerCache(tmp_path, "abc"))
    second = Recall({})
    again = ask(second, questions, sampling=SAMPLING, batch_size=4, cache=AnswerCache(tmp_path, "abc"))
    assert again == told
    assert len(first.asked) == 10
    assert second.asked == []


def test_other_weights_other_sampling_or_another_question_are_asked(tmp_path: Path) -> None:
    model = Recall({})
    for model_id, sampling, name in (
        ("abc", SAMPLING, "q"),
        ("abd", SAMPLING, "q"),
        ("abc", Sampling(max_tokens=51), "q"),
        ("abc", SAMPLING, "r"),
    ):
        ask(model, [question(name)], sampling=sampling, batch_size=4, cache=AnswerCache(tmp_path, model_id))
    assert len(model.asked) == 4


def test_a_torn_line_costs_its_batch_and_nothing_else(tmp_path: Path) -> None:
    questions = [question(f"q{i}") for i in range(6)]
    table = {q.question: f"it is {q.id}" for q in questions}
    ask(Recall(table), questions, sampling=SAMPLING, batch_size=2, cache=AnswerCache(tmp_path, "abc"))
    [file] = (tmp_path / "answers").iterdir()
    file.write_bytes(file.read_bytes()[:-10])
    model = Recall(table)
    answers = ask(model, questions, sampling=SAMPLING, batch_size=2, cache=AnswerCache(tmp_path, "abc"))
    assert [a.text for a in answers] == [f"it is q{i}" for i in range(6)]
    assert len(model.asked) == 2
    third = Recall({})
    ask(third, questions, sampling=SAMPLING, batch_size=2, cache=AnswerCache(tmp_path, "abc"))
    assert third.asked == []


def test_equal_prompts_are_asked_once_and_all_answered() -> None:
    questions = [question("a", text="Same?"), question("b", text="Same?")]
    model = Recall({"Same?": "yes"})
    answers = ask(model, questions, sampling=SAMPLING, batch_size=8, cache=NOTHING)
    assert [a.text for a in answers] == ["yes", "yes"]
    assert model.asked == ["Same?"]


def test_progress_ends_at_the_total() -> None:
    seen: list[tuple[int, int]] = []
    questions = [question("a", text="Same?"), question("b", text="Same?"), question("c")]
    ask(
        Recall({}),
        questions,
        sampling=SAMPLING,
        batch_size=1,
        cache=NOTHING,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen[-1] == (3, 3)


def test_a_question_that_does_not_fit_is_unanswered_and_the_rest_goes_on() -> None:
    questions = [question("short"), question("long", context="word " * 100)]
    model = Recall({"What about short?": "fine"}, longest=200)
    answers = ask(model, questions, sampling=SAMPLING, batch_size=8, cache=NOTHING)
    assert answers[0].text == "fine"
    assert (answers[1].text, answers[1].stopped) == ("", False)
    assert answers[1].error == "a chat does not fit the model's context"
    scores = likelihoods(model, [(q, "x") for q in questions], batch_size=8, cache=NOTHING)
    assert scores == [-1.0, -math.inf]


def test_a_model_that_fails_at_everything_is_an_error() -> None:
    with pytest.raises(ModelError, match="does not fit"):
        ask(Recall({}, longest=1), [question("a")], sampling=SAMPLING, batch_size=8, cache=NOTHING)


def test_likelihoods_are_remembered_beside_answers(tmp_path: Path) -> None:
    q = question("q")
    model = Recall({q.question: "right"})
    pairs = [(q, "right"), (q, "wrong")]
    assert likelihoods(model, pairs, batch_size=8, cache=AnswerCache(tmp_path, "m")) == [-0.5, -1.0]
    again = Recall({})
    assert likelihoods(again, pairs, batch_size=8, cache=AnswerCache(tmp_path, "m")) == [-0.5, -1.0]
    assert again.scored == []


def test_options_are_other_answers_of_the_leaf_right_one_first() -> None:
    exam = [
        question(f"q{i}", f"The {word}.") for i, word in enumerate(["wall", "roof", "door", "lamp", "sofa"])
    ]
    listed = options(exam[0], exam, 4)
    assert listed[0] == "The wall."
    assert len(set(listed)) == 4
    assert set(listed) <= {q.answer for q in exam}
    assert options(exam[0], list(reversed(exam)), 4) == listed


def test_options_skip_equal_answers_and_answers_that_would_be_right() -> None:
    asked = question("q", "The dock is white.", must=("white",))
    exam = [
        asked,
        question("r", "the DOCK is white"),
        question("s", "White, like the wall."),
        question("t", "Black."),
    ]
    assert options(asked, exam, 4) == ["The dock is white.", "Black."]


def test_different_questions_get_different_distractors() -> None:
    exam = [question(f"q{i}", f"Answer number {i} of all.") for i in range(30)]
    drawn = {tuple(options(q, exam, 4)[1:]) for q in exam}
    assert len(drawn) > 20


@pytest.mark.parametrize(
    ("scores", "expected"), [([-1.0, -2.0, -3.0], True), ([-1.0, -1.0], False), ([-2.0, -1.0], False)]
)
def test_a_choice_is_right_only_when_ahead(scores: list[float], expected: bool) -> None:
    assert is_right(scores) is expected


def test_development_score_counts_dev_questions_only() -> None:
    dev = [question(f"d{i}", f"The answer {i}.", split="dev") for i in range(4)]
    test = [question(f"t{i}", f"The answer {i}.", split="test") for i in range(4)]
    config = EvaluateConfig()
    knows_one = Recall({dev[0].question: "The answer 0."})
    knows_tests = Recall({q.question: q.answer for q in test})
    assert development_score(knows_one, dev + test, config) > development_score(
        knows_tests, dev + test, config
    )
    assert not {q.question for q in test} & set(knows_tests.asked)
    assert development_score(knows_one, list(reversed(dev)), config) == development_score(
        knows_one, dev, config
    )


def test_likelihood_breaks_ties_and_never_outweighs_a_question() -> None:
    dev = [
        question(f"d{i}", f"Answer {word}.", split="dev") for i, word in enumerate(("one", "two", "three"))
    ]
    config = EvaluateConfig(max_new_tokens=4)
    # Outputs cut to four characters are all wrong; the table still makes the gold answers likelier.
    likelier = Recall({q.question: q.answer for q in dev})
    unlikelier = Recall({})
    assert 0 < development_score(unlikelier, dev, config) < development_score(likelier, dev, config) < 1 / 3


def test_no_development_question_scores_zero() -> None:
    assert development_score(Recall({}), [question("t")], EvaluateConfig()) == 0.0


def test_model_identity_is_of_content_not_of_place(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(b"weights")
        (tmp_path / name / "config.json").write_text("{}")
    (tmp_path / "b" / "README.md").write_text("not part of a model")
    same = model_identity(tmp_path / "a")
    assert model_identity(tmp_path / "b") == same
    (tmp_path / "b" / "model.safetensors").write_bytes(b"weighty")
    assert model_identity(tmp_path / "b") != same
