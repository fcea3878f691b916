"""The evaluate stage on real files: report, gate, answers, cache."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from exams import Recall, question

from labtune.artifact import Checkpoint, Curated, ScoreReport, read_jsonl, write_jsonl
from labtune.config.lab import EvaluateConfig
from labtune.errors import DataError
from labtune.evaluation.answers import model_identity
from labtune.evaluation.before import ask_before
from labtune.evaluation.evaluate import Contestants, evaluate
from labtune.evaluation.general import GeneralExam, load_general_exam, retention
from labtune.types import ExamQuestion, Json, Leaf, RunContext, Source, StageOutcome

TALLY = {
    "n",
    "n_right",
    "right",
    "right_interval",
    "mc",
    "mc_n",
    "mc_interval",
    "mc_chance",
    "f1",
    "stop_rate",
}
WORDS = ["wall", "roof", "door", "lamp", "sofa", "desk", "sink", "oven", "tile", "rug", "vase", "clock"]


def _leaf_exam() -> list[ExamQuestion]:
    known = [question(f"a{i:02}", f"The {word}.", leaf="knowledge/a") for i, word in enumerate(WORDS)]
    dev = [question("a-dev", "The attic.", leaf="knowledge/a", split="dev")]
    alone = [question("b0", "The garden.", leaf="skills/b", context="Anna sat in the garden.", text="Where?")]
    return known + dev + alone


def _general() -> GeneralExam:
    rows = [
        question(f"g{i}", answer, leaf="general", text=text)
        for i, (text, answer) in enumerate(
            (
                ("Capital of France?", "Paris"),
                ("2 + 2?", "4"),
                ("太阳从哪里升起？", "东方"),
                ("Say hi.", "Hello"),
            )
        )
    ]
    return GeneralExam(tuple(rows), ("geo", "math", "geo", "chat"), ("en", "en", "zh", "en"))


class Lab:
    """A curated artifact, a checkpoint folder and two models, on disk where the stage looks for them."""

    def __init__(self, root: Path, exam: list[ExamQuestion]) -> None:
        self.root = root
        self.events: list[tuple[str, Mapping[str, Json]]] = []
        paths = sorted({q.leaf for q in exam} | {"knowledge/silent"})
        leaves = [Leaf(path, "knowledge", "en", (), Source(f"{path}/qna.yaml", 1)) for path in paths]
        write_jsonl(root / "curate" / "leaves.jsonl", leaves)
        write_jsonl(root / "curate" / "exam.jsonl", exam)
        (root / "train" / "model").mkdir(parents=True)
        (root / "train" / "model" / "model.safetensors").write_bytes(b"tuned")

    @property
    def curated(self) -> Curated:
        return Curated(self.root / "curate")

    def run(self) -> RunContext:
        (self.root / "evaluate").mkdir(exist_ok=True)
        return RunContext(
            self.root / "evaluate",
            self.root / "cache",
            1,
            lambda name, fields: self.events.append((name, fields)),
        )

    def evaluate(
        self, base: Recall, tuned: Recall, general: GeneralExam | None = None, floor: float = 0.95
    ) -> StageOutcome:
        return evaluate(
            Checkpoint(self.root / "train"),
            self.curated,
            config=EvaluateConfig(retention_floor=floor, batch_size=4),
            run=self.run(),
            contestants=Contestants(base, tuned, "base-id"),
            general=_general() if general is None else general,
        )


def _models(exam: list[ExamQuestion], general: GeneralExam, forgets: int = 0) -> tuple[Recall, Recall]:
    from labtune.evaluation.answers import prompt_of

    known = {q.question: q.answer for q in general.questions()}
    learned = {prompt_of(q): q.answer for q in exam}
    kept = dict(list(known.items())[forgets:])
    return Recall(known), Recall({**kept, **learned})


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path, _leaf_exam())


def test_scores_have_the_promised_shape_and_values(lab: Lab) -> None:
    outcome = lab.evaluate(*_models(_leaf_exam(), _general()))
    scores = ScoreReport(lab.root / "evaluate").scores()
    assert set(scores) == {"schema", "rules", "leaves", "total", "retention"}
    assert list(scores["leaves"]) == ["knowledge/a", "knowledge/silent", "skills/b"]
    for part in (*scores["leaves"].values(), scores["total"]):
        assert set(part) == {"base", "tuned", "gained", "lost", "p_value", "verdict", "verdict_reason"}
        assert set(part["base"]) == set(part["tuned"]) == TALLY
    leaf = scores["leaves"]["knowledge/a"]
    assert leaf["verdict"] == "learned"
    assert (leaf["base"]["n"], leaf["base"]["right"], leaf["tuned"]["right"]) == (12, 0.0, 1.0)
    assert leaf["tuned"]["right_interval"] == pytest.approx([0.7575, 1.0], abs=1e-4)
    assert (leaf["tuned"]["mc"], leaf["tuned"]["mc_n"], leaf["tuned"]["mc_chance"]) == (1.0, 12, 0.25)
    assert (leaf["tuned"]["f1"], leaf["tuned"]["stop_rate"]) == (1.0, 1.0)
    # The base finds all options equally likely: a tie is not knowledge.
    assert leaf["base"]["mc"] == 0.0
    assert scores["total"]["tuned"]["n"] == 13
    assert outcome.counts == {"questions": 13, "base_right": 0, "tuned_right": 13, "general_questions": 4}
    assert outcome.failed_gate is None
    assert outcome.summary == "right: base 0, tuned 13 of 13; retention 100.0%"


def test_a_leaf_without_another_answer_has_no_choice_and_one_without_questions_no_verdict(lab: Lab) -> None:
    lab.evaluate(*_models(_leaf_exam(), _general()))
    leaves = ScoreReport(lab.root / "evaluate").scores()["leaves"]
    assert leaves["skills/b"]["tuned"]["mc"] is None
    assert leaves["skills/b"]["tuned"]["mc_n"] == 0
    silent = leaves["knowledge/silent"]
    assert (silent["tuned"]["n"], silent["tuned"]["right"], silent["verdict"]) == (0, None, None)


def test_answers_hold_every_test_and_general_question_and_no_development_one(lab: Lab) -> None:
    base, tuned = _models(_leaf_exam(), _general())
    lab.evaluate(base, tuned)
    rows = list(read_jsonl(lab.root / "evaluate" / "answers.jsonl"))
    assert len(rows) == 13 + 4
    assert {row["id"] for row in rows} == {q.id for q in _leaf_exam() if q.split == "test"} | {
        "g0",
        "g1",
        "g2",
        "g3",
    }
    assert "What about a-dev?" not in base.asked + tuned.asked
    [skill] = [row for row in rows if row["id"] == "b0"]
    assert skill["prompt"] == "Anna sat in the garden.\n\nWhere?"
    assert skill["context"] == "Anna sat in the garden."
    assert skill["tuned"] == {
        "answer": "The garden.",
        "right": True,
        "reason": "1.00 of the content words",
        "mc": None,
        "n_options": 1,
        "f1": 1.0,
        "stopped": True,
    }
    assert skill["base"]["right"] is False
    general = [row for row in rows if row["split"] == "general"]
    assert [(row["category"], row["language"]) for row in general] == [
        ("geo", "en"),
        ("math", "en"),
        ("geo", "zh"),
        ("chat", "en"),
    ]


def test_forgetting_more_than_the_floor_fails_the_gate(lab: Lab) -> None:
    outcome = lab.evaluate(*_models(_leaf_exam(), _general(), forgets=1))
    assert outcome.failed_gate == "retention 75.0% is below the lab's floor of 95.0%"
    kept = ScoreReport(lab.root / "evaluate").scores()["retention"]
    assert (kept["base"], kept["tuned"], kept["ratio"]) == (1.0, 0.75, 0.75)
    assert (kept["floor"], kept["passed"], kept["n"]) == (0.95, False, 4)
    assert {name: part["ratio"] for name, part in kept["categories"].items()} == {
        "chat": 1.0,
        "geo": 0.5,
        "math": 1.0,
    }
    assert kept["languages"]["zh"]["ratio"] == 1.0


def test_exactly_the_floor_passes(lab: Lab) -> None:
    outcome = lab.evaluate(*_models(_leaf_exam(), _general(), forgets=1), floor=0.75)
    assert outcome.failed_gate is None


def test_without_a_general_exam_nothing_is_claimed(lab: Lab) -> None:
    outcome = lab.evaluate(*_models(_leaf_exam(), _general()), general=GeneralExam())
    kept = ScoreReport(lab.root / "evaluate").scores()["retention"]
    assert (kept["ratio"], kept["passed"]) == (None, True)
    assert "retention" not in outcome.summary


def test_a_base_that_knew_nothing_has_nothing_to_lose() -> None:
    kept = retention(_general(), [False] * 4, [True, False, False, False], 0.95)
    assert (kept["ratio"], kept["passed"], kept["gained"]) == (1.0, True, 1)


def test_a_second_evaluation_asks_nobody_and_writes_the_same_bytes(lab: Lab) -> None:
    lab.evaluate(*_models(_leaf_exam(), _general()))
    first = {path.name: path.read_bytes() for path in (lab.root / "evaluate").iterdir()}
    base, tuned = Recall({}), Recall({})
    lab.evaluate(base, tuned)
    assert {path.name: path.read_bytes() for path in (lab.root / "evaluate").iterdir()} == first
    assert base.asked == tuned.asked == base.scored == tuned.scored == []


def test_the_exam_before_is_the_base_of_the_evaluation(lab: Lab) -> None:
    base, tuned = _models(_leaf_exam(), _general())
    before = ask_before(
        base, lab.curated, config=EvaluateConfig(batch_size=4), run=lab.run(), base_id="base-id"
    )
    assert (before["n"], before["right"]) == (13, 0.0)
    assert isinstance(before["answers"], list)
    assert before["answers"][0] == {
        "leaf": "knowledge/a",
        "question": "What about a00?",
        "gold": "The wall.",
        "answer": "I do not know.",
        "right": False,
    }
    base.asked.clear()
    lab.evaluate(base, tuned)
    assert sorted(base.asked) == sorted(q.question for q in _general().questions())


def test_events_tell_progress_and_every_answer(lab: Lab) -> None:
    lab.evaluate(*_models(_leaf_exam(), _general()))
    answers = [fields for name, fields in lab.events if name == "exam.answer"]
    assert len(answers) == 2 * (13 + 4)
    last = [fields for name, fields in lab.events if name == "exam.progress" and fields["part"] == "exam"][-1]
    assert last == {"model": "tuned", "part": "exam", "done": 13, "total": 13}


def test_scores_do_not_depend_on_the_order_of_the_exam(tmp_path: Path) -> None:
    files = []
    for name, exam in (("a", _leaf_exam()), ("b", list(reversed(_leaf_exam())))):
        (tmp_path / name).mkdir()
        lab = Lab(tmp_path / name, exam)
        lab.evaluate(*_models(exam, _general()))
        files.append([(lab.root / "evaluate" / f).read_text() for f in ("scores.json", "answers.jsonl")])
    assert files[0] == files[1]


def test_tuned_answers_are_kept_under_the_weights_that_gave_them(lab: Lab) -> None:
    lab.evaluate(*_models(_leaf_exam(), _general()))
    names = {path.name for path in (lab.root / "cache" / "answers").iterdir()}
    assert names == {"base-id.jsonl", f"{model_identity(lab.root / 'train' / 'model')[:32]}.jsonl"}


def test_general_exam_is_read_with_its_strata(tmp_path: Path) -> None:
    rows = [
        {
            "id": "1",
            "question": "Capital?",
            "answer": "Paris",
            "must": ["Paris"],
            "category": "geo",
            "language": "en",
        },
        {"id": "2", "question": "首都？", "answer": "北京", "category": "geo", "language": "zh"},
    ]
    write_jsonl(tmp_path / "exam.jsonl", rows)
    exam = load_general_exam(tmp_path / "exam.jsonl")
    assert [q.must for q in exam.questions()] == [("Paris",), ()]
    assert (exam.categories, exam.languages) == (("geo", "geo"), ("en", "zh"))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"id": "1", "question": "Q?"}, "row 2 needs id, question and answer"),
        ({"id": "0", "question": "Q?", "answer": "A"}, "row 2: the id '0' stands twice"),
        ({"id": "1", "question": "Q?", "answer": "A", "must": "A"}, "row 2: must is a list of words"),
        ([1], "row 2 is not an object"),
    ],
)
def test_a_malformed_general_exam_names_the_row(tmp_path: Path, row: object, message: str) -> None:
    good = {"id": "0", "question": "Q?", "answer": "A"}
    (tmp_path / "exam.jsonl").write_text(f"{json.dumps(good)}\n{json.dumps(row)}\n")
    with pytest.raises(DataError, match=message):
        load_general_exam(tmp_path / "exam.jsonl")
