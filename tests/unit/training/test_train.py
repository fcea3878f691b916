"""Training on a real (tiny) model: what is learned, which checkpoint is chosen, what is written down."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_model import TEMPLATE_WITHOUT_TRAINED_END, make_tiny_student, write_dataset
from tiny_training import CONFIG, PHASES, PROBE, run_training

from labtune.artifact import Dataset
from labtune.errors import DataError, TrainingError
from labtune.models.hf import HfChatModel
from labtune.protocols import Sampling
from labtune.training.train import train
from labtune.types import RunContext


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("dataset"), PHASES)


@pytest.fixture(scope="module")
def finished(dataset, tiny_student, tmp_path_factory):
    """Folder, outcome and events of one whole training."""
    out, events = tmp_path_factory.mktemp("run") / "train", []
    outcome = run_training(
        dataset, tiny_student, out, emit=lambda name, fields: events.append((name, dict(fields)))
    )
    return out, outcome, events


def journal(out: Path, kind: str) -> list[dict]:
    lines = [json.loads(line) for line in (out / "journal.jsonl").read_text().splitlines()]
    return [event for event in lines if event["event"] == kind]


def start(
    dataset: Path,
    student: Path,
    out: Path,
    select: Callable[[HfChatModel], float],
    emit=lambda *_: None,
    **changes,
):
    run = RunContext(out, out.parent / "cache", emit=emit)
    return train(
        Dataset(dataset), config=CONFIG.model_copy(update=changes), run=run, student=student, select=select
    )


def test_loss_falls_and_the_trained_answer_is_said(finished):
    out, _, _ = finished
    losses = [event["loss"] for event in journal(out, "step") if event["phase"] == "knowledge-short"]
    assert losses[-1] < 0.6 * losses[0]
    model = HfChatModel.load(out / "model", name="tuned", device="cpu")
    base_score = min(event["score"] for event in journal(out, "evaluation"))
    assert 2.718281828 ** model.loglikelihoods([PROBE], ["sky sky"])[0] > 5 * base_score


def test_shipped_weights_are_those_the_exam_saw(finished):
    out, outcome, _ = finished
    model = HfChatModel.load(out / "model", name="tuned", device="cpu")
    assert 2.718281828 ** model.loglikelihoods([PROBE], ["sky sky"])[0] == outcome.counts["score"]
    assert {tensor.dtype for tensor in load_file(out / "model" / "model.safetensors").values()} == {
        torch.bfloat16
    }


def test_model_folder_is_complete_for_chat_and_serving(finished, tiny_student):
    out, _, _ = finished
    names = {path.name for path in (out / "model").iterdir()}
    assert names == {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
    }
    same = (out / "model" / "chat_template.jinja").read_text()
    assert same == (tiny_student / "chat_template.jinja").read_text()
    assert json.loads((out / "model" / "generation_config.json").read_text())["eos_token_id"] == [1]


def test_only_the_result_stays(finished):
    out, _, _ = finished
    assert {path.name for path in out.iterdir()} == {"model", "journal.jsonl", "metrics.json", "example.txt"}


def test_example_shows_what_is_trained(finished):
    out, _, events = finished
    text = "<|user|>How many pumps has station 0?<|end|><|assistant|>[[It has 0.<|end|>]]"
    assert (out / "example.txt").read_text() == text + "\n"
    assert ("train.example", {"text": text}) in events


def test_events_tell_plan_steps_evaluations_and_phases(finished):
    _, outcome, events = finished
    (plan,) = [fields for name, fields in events if name == "train.plan"]
    assert [phase["name"] for phase in plan["phases"]] == ["knowledge-short", "skills"]
    assert plan["steps"] == sum(phase["steps"] for phase in plan["phases"]) == outcome.counts["steps"]
    evaluations = [(fields["phase"], fields["step"]) for name, fields in events if name == "train.evaluation"]
    assert evaluations == [(phase["name"], at) for phase in plan["phases"] for at in phase["evaluations"]]
    steps = [fields for name, fields in events if name == "train.step"]
    assert steps[-1]["eta_s"] == 0
    assert all(fields["tokens_per_second"] > 0 and fields["loss"] > 0 for fields in steps)
    told = [(fields["phase"], fields["status"]) for name, fields in events if name == "train.phase"]
    assert told == [(phase, status) for phase in PHASES for status in ("started", "done")]


def test_metrics_count_what_was_trained(finished):
    out, outcome, _ = finished
    metrics = json.loads((out / "metrics.json").read_text())
    short, skills = metrics["phases"]
    assert (short["rows"], skills["rows"]) == (48, 24)
    assert (short["epochs"], skills["epochs"]) == (3.0, 12.0)
    assert outcome.counts["tokens"] == short["tokens"] + skills["tokens"]
    assert 0 < short["trained_tokens"] < short["tokens"]
    assert 0 <= short["padding_waste"] < 0.1
    assert metrics["resumed"] is False


def test_learning_rate_stays_up_between_phases_and_decays_in_the_last(finished):
    out, _, _ = finished
    rates = {
        phase: [e["learning_rate"] for e in journal(out, "step") if e["phase"] == phase] for phase in PHASES
    }
    assert set(rates["knowledge-short"]) == {CONFIG.learning_rate}
    assert rates["skills"][-1] < 0.01 * CONFIG.learning_rate


def test_a_finished_training_is_not_done_again(finished, dataset, tiny_student):
    out, outcome, _ = finished
    before = (out / "model" / "model.safetensors").stat().st_mtime_ns
    assert run_training(dataset, tiny_student, out) == outcome
    assert (out / "model" / "model.safetensors").stat().st_mtime_ns == before


def test_nothing_is_printed(dataset, tiny_student, tmp_path, capfd):
    start(dataset, tiny_student, tmp_path / "train", lambda _: 1.0)
    assert capfd.readouterr() == ("", "")


def test_best_checkpoint_of_each_phase_starts_the_next_and_a_tie_keeps_the_earlier(
    dataset, tiny_student, tmp_path
):
    scripted = iter([0.2, 0.8, 0.5, 0.3, 0.3, 0.3])
    seen = []

    def select(model: HfChatModel) -> float:
        seen.append({name: value.clone() for name, value in model.model.state_dict().items()})
        return next(scripted)

    kept = tmp_path / "kept"

    def emit(name: str, fields: dict) -> None:
        if name == "train.phase" and (fields["phase"], fields["status"]) == ("skills", "started"):
            (best,) = (out / ".resume" / "best").iterdir()
            shutil.copytree(tiny_student, kept)
            shutil.copytree(best, kept, dirs_exist_ok=True)

    out = tmp_path / "train"
    outcome = start(dataset, tiny_student, out, select, emit)
    evaluations = journal(out, "evaluation")
    assert [event["best"] for event in evaluations] == [True, True, False, True, False, False]
    assert [event["best_step"] for event in journal(out, "phase_end")] == [
        evaluations[1]["step"],
        evaluations[3]["step"],
    ]
    assert outcome.counts["score"] == 0.3
    shipped = load_file(out / "model" / "model.safetensors")
    assert all(torch.equal(value.float(), seen[3][name]) for name, value in shipped.items())

    # The second phase alone, from the weights kept as the first one's best, ends with the same bytes.
    alone = write_dataset(tmp_path / "alone", {"skills": PHASES["skills"]})
    start(alone, kept, tmp_path / "again", lambda _: 0.3)
    again = load_file(tmp_path / "again" / "model" / "model.safetensors")
    assert all(torch.equal(value, again[name]) for name, value in shipped.items())


def test_within_the_tolerance_the_later_weights_are_shipped(dataset, tiny_student, tmp_path):
    scores = iter([0.5, 0.45, 0.30, 0.6, 0.58, 0.55])
    start(dataset, tiny_student, tmp_path / "train", lambda _model: next(scores), tolerance=0.1)
    ends = journal(tmp_path / "train", "phase_end")
    evaluations = journal(tmp_path / "train", "evaluation")
    assert [event["best_step"] for event in ends] == [evaluations[1]["step"], evaluations[5]["step"]]
    assert [event["score"] for event in ends] == [0.45, 0.55]


def test_a_phase_ends_after_evaluations_without_a_better_score(dataset, tiny_student, tmp_path):
    scripted = iter([0.5, 0.4, 0.6, 0.7, 0.6])
    start(dataset, tiny_student, tmp_path / "train", lambda _: next(scripted), patience=1)
    scores = [(event["phase"], event["score"]) for event in journal(tmp_path / "train", "evaluation")]
    assert scores == [
        ("knowledge-short", 0.5),
        ("knowledge-short", 0.4),
        *(("skills", s) for s in (0.6, 0.7, 0.6)),
    ]


def test_an_exam_that_says_nothing_keeps_the_latest_weights(dataset, tiny_student, tmp_path):
    start(dataset, tiny_student, tmp_path / "train", lambda _: 0.0, patience=1)
    ends = journal(tmp_path / "train", "phase_end")
    assert [event["best_step"] for event in ends] == [event["step"] for event in ends]
    assert len(journal(tmp_path / "train", "evaluation")) == 6


def test_another_setting_starts_anew(dataset, tiny_student, tmp_path):
    out = tmp_path / "train"
    start(dataset, tiny_student, out, lambda _: 1.0)
    (first,) = journal(out, "begin")
    start(dataset, tiny_student, out, lambda _: 1.0, learning_rate=1e-3)
    (second,) = journal(out, "begin")
    assert first["fingerprint"] != second["fingerprint"]
    assert {event["learning_rate"] for event in journal(out, "step") if event["phase"] != "skills"} == {1e-3}


def test_template_whose_end_token_is_not_trained_is_refused(dataset, tmp_path):
    student = make_tiny_student(tmp_path / "student", template=TEMPLATE_WITHOUT_TRAINED_END)
    with pytest.raises(TrainingError, match="never learn to stop"):
        start(dataset, student, tmp_path / "train", lambda _: 0.0)
    assert not (tmp_path / "train").exists()


def test_a_loss_that_explodes_is_an_error_with_a_mend(dataset, tiny_student, tmp_path):
    with pytest.raises(TrainingError, match="the loss became") as caught:
        start(dataset, tiny_student, tmp_path / "train", lambda _: 0.0, learning_rate=1e30)
    assert "learning_rate" in str(caught.value.hint)


def test_rows_that_are_too_long_are_counted_and_never_cut(tiny_student, tmp_path):
    pairs = [*PHASES["skills"], ("Tell me all.", "word " * 200)]
    dataset = write_dataset(tmp_path / "dataset", {"skills": pairs})
    outcome = start(dataset, tiny_student, tmp_path / "train", lambda _: 1.0)
    assert outcome.counts["too_long"] == 1


@pytest.mark.parametrize(
    ("phases", "error"),
    [({"skills": [("Why?", "word " * 200)]}, TrainingError), ({"skills": []}, DataError)],
    ids=["all-too-long", "empty"],
)
def test_a_phase_without_usable_rows_is_an_error(phases, error, tiny_student, tmp_path):
    dataset = write_dataset(tmp_path / "dataset", phases)
    with pytest.raises(error, match="skills"):
        start(dataset, tiny_student, tmp_path / "train", lambda _: 0.0)


def test_tuned_model_stops_by_itself(finished):
    out, _, _ = finished
    model = HfChatModel.load(out / "model", name="tuned", device="cpu")
    replies = model.complete([PROBE], Sampling(max_tokens=40))
    assert [reply.stopped for reply in replies] == [True]
