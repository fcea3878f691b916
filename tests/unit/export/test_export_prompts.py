"""Which prompts the proof asks: the run's own exam first, the general exam for the rest, always the same."""

from itertools import pairwise
from pathlib import Path

from labtune.artifact import Curated
from labtune.builtin import GENERAL_EXAM
from labtune.evaluation.answers import chat_of
from labtune.evaluation.general import load_general_exam
from labtune.workflow.export import parity_chats, spread
from labtune.workflow.init import init_lab
from labtune.workflow.lab import Lab
from labtune.workflow.run import run_lab


def test_half_of_the_prompts_come_from_the_exam_of_the_run(tmp_path: Path) -> None:
    init_lab(tmp_path / "lab", example="customer-service")
    lab = Lab.open(tmp_path / "lab")
    run = run_lab(lab, until="curate").run_dir
    own = {chat_of(question) for question in Curated(run / "curate").exam()}
    chats = parity_chats(lab, run.name, 7)
    assert [chat in own for chat in chats] == [True] * 4 + [False] * 3
    assert chats == parity_chats(lab, run.name, 7)


def test_without_a_run_the_general_exam_is_asked() -> None:
    general = [chat_of(question) for question in load_general_exam(GENERAL_EXAM).items]
    chats = parity_chats(None, None, 5)
    places = [general.index(chat) for chat in chats]
    steps = {after - before for before, after in pairwise(places)}
    assert len(chats) == 5
    assert max(steps) - min(steps) <= 1
    assert parity_chats(None, None, 0) == []


def test_no_more_are_taken_than_there_are() -> None:
    questions = list(load_general_exam(GENERAL_EXAM).items[:3])
    assert spread(questions, 10) == questions
    assert spread([], 4) == []
