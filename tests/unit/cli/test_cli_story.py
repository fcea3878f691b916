"""What a run tells while it works and when it ends, from artifacts as the stages write them."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from command_line import finish_stage
from rich.console import Console

from labtune.artifact import write_json, write_jsonl
from labtune.cli.live import View
from labtune.cli.result import Result, pick_answers
from labtune.cli.story import Story, spread
from labtune.config.layers import load
from labtune.errors import GateError
from labtune.workflow.lab import Lab

TALLY = {"n": 8, "right": 0.0, "right_interval": [0.0, 0.32], "mc": 0.25, "f1": 0.1, "stop_rate": 1.0}
GOOD = {"n": 8, "right": 1.0, "right_interval": [0.68, 1.0], "mc": 1.0, "f1": 0.9, "stop_rate": 1.0}
ENTRY = {"base": TALLY, "tuned": GOOD, "verdict": "learned"}
SCORES = {
    "leaves": {"knowledge/birds": ENTRY},
    "total": ENTRY,
    "retention": {"base": 0.9, "tuned": 0.9, "ratio": 1.0},
}


def answer(number: int, split: str = "test") -> dict[str, object]:
    return {
        "split": split,
        "question": f"question {number}?",
        "base": {"answer": "no idea"},
        "tuned": {"answer": f"answer {number}", "right": number != 4},
    }


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """A lab with one finished run."""
    (tmp_path / "labtune.yaml").write_text("")
    run = tmp_path / "runs" / "0001"
    for stage in ("curate", "generate", "mix", "train", "evaluate"):
        finish_stage(run / stage, stage, summary=f"{stage} did it", rows=3, seconds=1.5)
    write_jsonl(
        run / "generate" / "samples.jsonl",
        [
            {"form": "who", "messages": [{"content": f"who {n}?"}, {"content": f"person {n}"}]}
            for n in range(60)
        ],
    )
    (run / "train" / "model").mkdir()
    write_json(run / "evaluate" / "scores.json", SCORES)
    rows = [answer(n) for n in range(8)] + [answer(n, "general") for n in range(90)]
    write_jsonl(run / "evaluate" / "answers.jsonl", rows)
    return Lab(tmp_path, load(None, environment={}))


def listening(lab: Lab) -> tuple[Story, View, io.StringIO]:
    story, stream = Story(lab), io.StringIO()
    return story, View(Console(file=stream, width=80), [story.listen]), stream


def test_the_end_of_generation_shows_samples_from_all_over_the_file(lab: Lab) -> None:
    _, view, stream = listening(lab)
    view.emit("stage.start", {"stage": "generate", "run": "0001"})
    view.emit(
        "stage.end",
        {"stage": "generate", "state": "done", "summary": "60 samples of 1 leaf", "seconds": 3.21},
    )
    assert "✓ generate  60 samples of 1 leaf (3.2 s)\n" in stream.getvalue()
    for number in (5, 15, 25, 35, 45, 55):
        assert f"    who: who {number}?\n      -> person {number}\n" in stream.getvalue()


def test_a_stage_with_nothing_to_do_is_told_once_in_its_place(lab: Lab) -> None:
    _, view, stream = listening(lab)
    idle = {"stage": "curate", "state": "up_to_date", "summary": "1 leaf", "seconds": 0.0}
    view.emit("stage.end", idle)
    view.emit("stage.end", {"stage": "generate", "state": "reused", "summary": "9 samples", "seconds": 0.0})
    view.emit("stage.end", idle)
    assert stream.getvalue() == (
        "= curate    is up to date: 1 leaf\n= generate  is reused from an earlier run: 9 samples\n"
    )


def test_a_notice_that_many_leaves_share_is_told_once(lab: Lab) -> None:
    _, view, stream = listening(lab)
    for leaf in ("a", "b"):
        view.emit("notice", {"leaf": leaf, "text": "a teacher is needed"})
    assert stream.getvalue() == "  note: a teacher is needed\n"


def test_the_exam_before_tells_the_count_and_two_wrong_answers(lab: Lab) -> None:
    story, view, stream = listening(lab)
    answers = [{"question": f"q{n}", "answer": f"a{n}", "right": n == 0} for n in range(5)]
    story.tell_before(view, {"n": 5, "right": 0.2, "answers": answers})
    assert stream.getvalue() == (
        "? exam      before training, the student has 1 of 5 right\n"
        "    q1\n      -> a1\n    q2\n      -> a2\n"
    )


def test_the_rendered_example_and_the_best_checkpoint_stay(lab: Lab) -> None:
    _, view, stream = listening(lab)
    view.emit("train.example", {"text": "<|user|>Who?<|end|><|assistant|>[[Anna<|end|>]]"})
    view.emit("train.phase", {"phase": "skills", "status": "started", "step": 0, "steps": 40})
    view.emit("train.phase", {"phase": "skills", "status": "done", "step": 30, "score": 0.875})
    told = stream.getvalue()
    assert "<|user|>Who?<|end|><|assistant|>[[Anna<|end|>]]" in told
    assert told.count("skills: best checkpoint has 88% of the development exam at step 30") == 1


def test_a_run_is_untrained_until_training_has_finished(lab: Lab) -> None:
    story = Story(lab)
    assert not story.is_untrained()
    (lab.runs_dir / "0001" / "train" / "manifest.json").unlink()
    assert story.is_untrained()


def test_the_result_of_an_idle_run_says_so_and_what_to_type(
    lab: Lab, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(lab.root)
    Story(lab).result(until=None).show()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "everything is up to date: runs/0001"
    assert "knowledge/birds  8    0%   100%  68-100    100%  0.90   100%  learned" in lines
    assert "kept: general exam 90% right before, 90% after; retention 100.0%" in lines
    assert lines[lines.index("questions to the tuned student:") + 1 :][:4] == [
        "  question 1?",
        "    -> answer 1 (right)",
        "  question 4?",
        "    -> answer 4 (wrong)",
    ]
    assert any(line.split() == ["runs/0001/train/model", "tuned", "model"] for line in lines)
    assert lines[-1].startswith("next:  labtune chat")


def test_the_document_of_a_stage_holds_no_later_stage(lab: Lab) -> None:
    fields = Story(lab).result(until="mix").document(None)
    assert [stage["name"] for stage in fields["stages"]] == ["curate", "generate", "mix"]
    assert fields["stages"][1]["counts"] == {"rows": 3}
    assert "scores" not in fields and "error" not in fields


def test_a_missed_gate_is_in_the_document_with_the_scores(lab: Lab) -> None:
    gate = GateError("retention 80.0% is below the floor", hint="look at it")
    fields = Story(lab).result(until=None).document(gate)
    assert fields["scores"] == SCORES
    assert fields["error"] == {
        "kind": "GateError",
        "message": "retention 80.0% is below the floor",
        "hint": "look at it",
        "exit_code": 1,
    }


def test_a_run_before_its_evaluation_points_to_run(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    Result(lab.runs_dir / "0001", [], None, [], nothing_done=False).show()
    assert capsys.readouterr().out.splitlines()[-1] == "next:  labtune run"


def test_the_answers_shown_are_the_tests_and_not_the_general_exams() -> None:
    rows = [answer(n, "general") for n in range(50)] + [answer(n) for n in range(2)]
    assert [row["question"] for row in pick_answers(rows, 3)] == ["question 0?", "question 1?"]


def test_few_rows_are_all_shown(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"n": n}) + "\n" for n in range(3)))
    assert [row["n"] for row in spread(tmp_path / "rows.jsonl", 6)] == [0, 1, 2]
