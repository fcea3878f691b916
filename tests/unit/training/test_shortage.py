"""When memory runs out: the step is done again in smaller parts, and the run is as if begun that way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_model import write_dataset
from tiny_training import PHASES

from families import make_family
from labtune.artifact import Dataset
from labtune.config.lab import TrainConfig
from labtune.errors import TrainingError
from labtune.training.anatomy import read_anatomy
from labtune.training.fit import USABLE, Shape, fit
from labtune.training.machine import Machine
from labtune.training.shortage import (
    BeginAnew,
    GangPortions,
    Portion,
    Portions,
    is_out_of_memory,
    told_plainly,
)
from labtune.training.train import train
from labtune.types import RunContext

CONFIG = TrainConfig(
    learning_rate=1e-3,
    batch_tokens=256,
    max_length=128,
    epochs_skills=3,
    save_steps=2,
    evaluations=1,
    replicas=2,
    precision="fp32",
)


@contextmanager
def narrow(most: int, *, lifted_after: int = 1 << 30) -> Iterator[list[int]]:
    """Let models fail as CUDA's allocator does when more than `most` tokens are embedded at once."""
    seen: list[int] = []

    def check(module, inputs):
        if isinstance(module, torch.nn.Embedding):
            seen.append(inputs[0].shape[-1])
            if seen[-1] > most and len(seen) <= lifted_after:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    hook = torch.nn.modules.module.register_module_forward_pre_hook(check)
    try:
        yield seen
    finally:
        hook.remove()


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("dataset"), {"skills": PHASES["skills"]})


@pytest.fixture(scope="module")
def student(tmp_path_factory) -> Path:
    """One that transformers' own code computes, so that hooks see what comes."""
    return make_family("qwen3", tmp_path_factory.mktemp("student"))


def run(dataset: Path, student: Path, out: Path, config=CONFIG, emit=lambda _name, _fields: None):
    return train(
        Dataset(dataset),
        config=config,
        run=RunContext(out, out.parent / "cache", emit=emit),
        student=student,
        select=lambda _model: 0.5,
    )


def weights(out: Path) -> bytes:
    return (out / "model" / "model.safetensors").read_bytes()


def journal(out: Path, kind: str) -> list[dict]:
    lines = [json.loads(line) for line in (out / "journal.jsonl").read_text().splitlines()]
    return [event for event in lines if event["event"] == kind]


def a_line(rows: int, length: int = 4) -> dict[str, torch.Tensor]:
    ids = torch.arange(rows * length)[None]
    return {
        "input_ids": ids,
        "labels": ids.clone(),
        "position_ids": (torch.arange(rows * length) % length)[None],
    }


WHOLE = (Portion(1, 1, False),)


def portions(history=WHOLE, *, switched=None):
    """Portions, what they told, and a list that they empty when a step begins anew."""
    told: list[Portion] = []
    sums: list[int] = []
    found = Portions(
        history,
        recompute=lambda: switched.append(True),
        may_recompute=switched is not None,
        forget=sums.clear,
        tell=told.append,
    )
    return found, told, sums


def test_a_failed_step_begins_anew_in_twice_as_many_parts():
    parts, told, sums = portions()

    def backward(part):
        if part["input_ids"].shape[1] > 8:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        sums.append(int(part["input_ids"].sum()))
        return torch.tensor(float(part["input_ids"].sum()))

    assert parts.run(1, a_line(2), backward) == 28
    assert parts.news() is None
    assert parts.run(1, a_line(8), backward) == 496
    # Both micro-batches of the step once more: the first in four parts of which it has two.
    assert sum(sums) == 28 + 496
    assert [one.parts for one in told] == [2, 4]
    assert parts.news() == Portion(1, 4, False)
    sums.clear()
    assert parts.run(2, a_line(8), backward) == 496
    assert len(sums) == 4
    assert parts.news() is None


def test_random_numbers_are_set_back():
    parts, _, _ = portions()
    drawn: list[float] = []

    def backward(part):
        drawn.append(float(torch.rand(())))
        if len(drawn) == 2:
            raise MemoryError
        return torch.tensor(0.0)

    parts.run(1, a_line(4), backward)
    parts.run(1, a_line(4), backward)
    assert drawn[2] == drawn[0]
    assert drawn[3] == drawn[1]


def test_the_smallest_part_is_a_row_then_activations_are_computed_again_then_it_ends():
    switched: list[bool] = []
    parts, told, _ = portions(switched=switched)

    def never(_part):
        raise RuntimeError(
            "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9"
        )

    with pytest.raises(TrainingError, match="memory ran out in step 3 with a single row at a time"):
        parts.run(3, a_line(5), never)
    assert [(one.parts, one.checkpointing) for one in told] == [(2, False), (4, False), (5, False), (5, True)]
    assert switched == [True]


def test_other_errors_are_not_swallowed():
    parts, told, _ = portions()

    def broken(_part):
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        parts.run(1, a_line(4), broken)
    assert told == []
    assert is_out_of_memory(RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"))
    assert not is_out_of_memory(ValueError("out of memory"))
    with (
        pytest.raises(TrainingError, match="memory ran out in phase skills, outside of") as found,
        told_plainly("skills"),
    ):
        raise torch.OutOfMemoryError("CUDA out of memory.")
    assert "the same command goes on" in (found.value.hint or "")


@pytest.mark.parametrize(
    ("now", "packs", "may_recompute", "word"),
    [
        (Portion(1, 1, False), 4, True, Portion(3, 2, False)),
        (Portion(1, 2, False), 1, True, Portion(3, 2, True)),
        (Portion(1, 2, False), 1, False, None),
        (Portion(1, 2, True), 1, True, None),
    ],
)
def test_one_of_several_processes_leaves_word_or_says_that_nothing_is_smaller(
    now, packs, may_recompute, word
):
    left: list[Portion] = []
    gang = GangPortions(now, since=True, packs=packs, may_recompute=may_recompute, leave_word=left.append)

    def full(_part):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    with pytest.raises(BeginAnew if word else TrainingError, match="memory ran out in step 3"):
        gang.run(3, a_line(4), full)
    assert left == ([word] if word else [])
    assert gang.news() is None
    gang.run(1, a_line(4), lambda _part: torch.tensor(0.0))
    assert gang.news() == now


def test_a_resumed_run_repeats_the_parts_step_by_step():
    switched: list[bool] = []
    history = (Portion(1, 1, False), Portion(4, 2, False), Portion(6, 8, True))
    parts, _, _ = portions(history, switched=switched)
    seen, again = [], []
    for step in range(2, 8):
        calls: list[int] = []
        parts.run(step, a_line(8), lambda part, calls=calls: calls.append(1) or torch.tensor(0.0))
        seen.append(len(calls))
        again.append(len(switched))
    assert seen == [1, 1, 2, 2, 8, 8]
    assert again == [0, 0, 0, 0, 1, 1]


def test_a_run_that_had_to_halve_ends_as_one_that_began_halved(dataset, student, tmp_path):
    halved, begun = tmp_path / "halved", tmp_path / "begun"
    events: list[tuple[str, dict]] = []
    with narrow(100) as seen:
        run(dataset, student, halved, emit=lambda name, fields: events.append((name, dict(fields))))
    assert max(seen) > 100
    (fitted,), (shortage,) = journal(halved, "fit"), journal(halved, "out_of_memory")
    assert (fitted["parts"], shortage["parts"], shortage["step"]) == (1, 2, 1)
    assert [fields["text"] for name, fields in events if name == "notice"] == [
        "memory ran out in step 1 of skills; it goes on with each micro-batch in 2 parts"
    ]
    # The same division from the start, without a failure.
    begun.mkdir()
    lines = [*journal(halved, "begin"), fitted | {"parts": 2}]
    (begun / "journal.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    run(dataset, student, begun)
    assert journal(begun, "out_of_memory") == []
    assert weights(begun) == weights(halved)
    assert journal(begun, "step") == journal(halved, "step")


def test_a_limit_divides_from_the_start_and_changes_rounding_only(dataset, student, tmp_path):
    plain, limited = tmp_path / "plain", tmp_path / "limited"
    told: dict[str, dict] = {}
    run(dataset, student, plain, emit=lambda name, fields: told.setdefault(name, dict(fields)))
    assert told["train.fit"]["divided"] is False
    needed = told["train.fit"]["memory_bytes"]
    told.clear()
    run(
        dataset,
        student,
        limited,
        CONFIG.model_copy(update={"memory_gib": (needed - 1) / USABLE / 2**30}),
        emit=lambda name, fields: told.setdefault(name, dict(fields)),
    )
    assert journal(plain, "fit")[0]["parts"] == 1
    assert journal(limited, "fit")[0]["parts"] > 1
    assert told["train.fit"]["divided"] is True
    assert told["train.fit"]["memory_bytes"] < needed
    losses = [[event["loss"] for event in journal(out, "step")] for out in (plain, limited)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_a_killed_run_goes_on_with_the_parts_it_had(dataset, student, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"

    def interrupt(name, fields):
        if name == "train.shortage":
            stop.append(True)
        if name == "train.step" and stop:
            raise KeyboardInterrupt

    stop: list[bool] = []
    # Memory is short in the third step alone: two parts of replicas in each, and one more look at the model.
    with narrow(100, lifted_after=8):
        run(dataset, student, whole)
    first = journal(whole, "out_of_memory")
    with narrow(100, lifted_after=8), pytest.raises(KeyboardInterrupt):
        run(dataset, student, killed, emit=interrupt)
    run(dataset, student, killed)
    assert journal(killed, "out_of_memory") == first
    assert weights(killed) == weights(whole)


def test_what_cannot_fit_is_refused_before_anything_is_trained(dataset, student, tmp_path):
    with pytest.raises(TrainingError, match=r"method full needs about .* even in the smallest micro-batches"):
        run(dataset, student, tmp_path / "out", CONFIG.model_copy(update={"memory_gib": 1e-5}))
    assert not (tmp_path / "out" / ".resume").exists()


def test_several_processes_divide_by_packs(student):
    from labtune.training.fitting import divided
    from labtune.training.plan import PhasePlan

    plan = PhasePlan("skills", None, 1.0, [[0]] * 24, 6, 2, (1,), True)
    assert [
        (one.micro_batch, one.accumulation) for one in (divided(plan, parts) for parts in (1, 2, 4, 6, 8))
    ] == [(6, 2), (3, 4), (1, 12), (1, 12), (1, 12)]
    assert divided(plan, 2) == replace(plan, micro_batch=3, accumulation=4)


def test_processes_that_share_the_weights_need_less_each(student):
    machine, shape = Machine("cpu", "CPU", 2**40, 2**40), Shape(256, 64, 100, 8, 1)
    alone, shared = (
        fit(read_anatomy(student), CONFIG, machine, shape, shards=shards).memory for shards in (1, 4)
    )
    assert shared.weights == alone.weights // 4
    assert shared.optimizer == alone.optimizer // 4
    assert shared.activations == alone.activations
