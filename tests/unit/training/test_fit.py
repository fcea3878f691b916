"""Fitting: the fastest way that the memory allows, and a sentence with the alternatives when none does."""

from __future__ import annotations

from pathlib import Path

import pytest

from header_only import LLAMA_1B, LLAMA_8B, write_llama
from labtune.config.lab import TrainConfig
from labtune.training.anatomy import Anatomy, read_anatomy
from labtune.training.estimate import Batch, Course, estimate, flops_per_token, tuned_parameters
from labtune.training.fit import METHODS, USABLE, Shape, alternatives, fit, refusal, usual_shape
from labtune.training.machine import Machine, host_memory, this_machine, with_limit

GIB = 2**30
SHAPE = Shape(tokens=4096, longest=512, trained=2000, rows=40, accumulation=2)


@pytest.fixture(scope="module")
def llama_1b(tmp_path_factory) -> Anatomy:
    return read_anatomy(write_llama(tmp_path_factory.mktemp("1b"), LLAMA_1B))


@pytest.fixture(scope="module")
def llama_8b(tmp_path_factory) -> Anatomy:
    return read_anatomy(write_llama(tmp_path_factory.mktemp("8b"), LLAMA_8B))


def gpu(gib: float) -> Machine:
    return Machine("cuda", "some GPU", int(gib * GIB), int(gib * GIB))


def test_full_tuning_holds_sixteen_bytes_a_parameter(llama_1b: Anatomy) -> None:
    course = Course.of(TrainConfig(), "cuda")
    memory = estimate(llama_1b, course, Batch(1, 1, 1))
    parameters = llama_1b.parameters
    assert memory.weights == memory.gradients == memory.exam == 4 * parameters
    assert memory.optimizer == 8 * parameters
    # Gradients and casts of a step weigh more than the exam between steps, so the step is the peak.
    step = memory.gradients + memory.casts + memory.activations + memory.logits
    assert memory.total == memory.weights + memory.optimizer + memory.libraries + step
    anchored = estimate(llama_1b, Course.of(TrainConfig(pull_back=1.0), "cuda"), Batch(1, 1, 1))
    assert anchored.total == memory.total + 4 * parameters
    plain = estimate(llama_1b, Course.of(TrainConfig(precision="fp32"), "cuda"), Batch(1, 1, 1))
    assert plain.casts == 0
    muon = estimate(llama_1b, Course.of(TrainConfig(optimizer="muon"), "cuda"), Batch(1, 1, 1))
    assert muon.optimizer == 4 * parameters + 4 * (llama_1b.tables + llama_1b.vectors)


def test_adapters_tune_what_their_rank_says(llama_8b: Anatomy) -> None:
    config = TrainConfig(method="lora", lora={"rank": 16})
    # All seven linear layers of 32 blocks; the figure that peft prints for Llama-3.1-8B at rank 16.
    assert tuned_parameters(llama_8b, Course.of(config, "cuda")) == 41_943_040
    assert tuned_parameters(llama_8b, Course.of(TrainConfig(), "cuda")) == llama_8b.parameters
    dora = TrainConfig(method="dora", lora={"rank": 16})
    lengths = 32 * (4096 + 1024 + 1024 + 4096 + 14336 + 14336 + 4096)
    assert tuned_parameters(llama_8b, Course.of(dora, "cuda")) == 41_943_040 + lengths


def test_more_of_anything_needs_more(llama_1b: Anatomy) -> None:
    course = Course.of(TrainConfig(), "cpu")
    sizes = [estimate(llama_1b, course, Batch(tokens, 256, tokens)).total for tokens in (256, 512, 4096)]
    assert sizes == sorted(set(sizes))
    longer = estimate(llama_1b, course, Batch(4096, 1024, 4096)).activations
    assert longer > estimate(llama_1b, course, Batch(4096, 256, 4096)).activations
    again = Course.of(TrainConfig(), "cpu", checkpointing=True)
    assert estimate(llama_1b, again, Batch(4096, 256, 4096)).activations < longer / 4
    assert flops_per_token(llama_1b, again, 256) == pytest.approx(
        flops_per_token(llama_1b, course, 256) * 4 / 3
    )


def test_work_of_a_token_is_six_times_its_parameters(llama_8b: Anatomy) -> None:
    full = flops_per_token(llama_8b, Course.of(TrainConfig(), "cuda"), 1)
    products = llama_8b.parameters - llama_8b.vectors - llama_8b.vocabulary * llama_8b.hidden
    assert full == pytest.approx(6 * products, rel=1e-4)
    lora = flops_per_token(llama_8b, Course.of(TrainConfig(method="lora"), "cuda"), 1)
    assert lora == pytest.approx(full * 2 / 3)


def test_ample_memory_changes_nothing(llama_1b: Anatomy) -> None:
    choice = fit(llama_1b, TrainConfig(), gpu(80), SHAPE)
    assert (choice.fits, choice.parts, choice.checkpointing) == (True, 1, False)
    assert (choice.micro_tokens, choice.accumulation) == (SHAPE.tokens, SHAPE.accumulation)


def test_less_memory_first_halves_then_checkpoints_then_refuses(llama_1b: Anatomy) -> None:
    found = [fit(llama_1b, TrainConfig(), gpu(tenth / 10), SHAPE) for tenth in range(600, 100, -1)]
    ways = [(one.parts, one.checkpointing, one.fits) for one in found]
    assert list(dict.fromkeys(way for way in ways if way[2]))[:3] == [
        (1, False, True),
        (2, False, True),
        (1, True, True),
    ]
    # Smaller parts than 2,048 tokens are for a GPU only worth it where computing again does not suffice.
    assert not any(parts > 2 and not again for parts, again, _ in ways)
    assert ways[-1][2] is False
    assert [way[2] for way in ways] == sorted((way[2] for way in ways), reverse=True)
    for one in found:
        # The step stays the same: only its division changes.
        assert one.accumulation == SHAPE.accumulation * one.parts


def test_a_cpu_halves_down_to_single_rows_before_it_computes_again(llama_1b: Anatomy) -> None:
    machines = [Machine("cpu", "CPU", int(tenth / 10 * GIB), 0) for tenth in range(600, 100, -1)]
    found = [fit(llama_1b, TrainConfig(), machine, SHAPE) for machine in machines]
    ways = dict.fromkeys((one.parts, one.checkpointing) for one in found if one.fits)
    assert list(ways)[:4] == [(1, False), (2, False), (4, False), (8, False)]


def test_an_asked_for_checkpointing_is_kept(llama_1b: Anatomy) -> None:
    asked = TrainConfig(gradient_checkpointing=True)
    assert fit(llama_1b, asked, gpu(80), SHAPE).checkpointing
    refused = TrainConfig(gradient_checkpointing=False)
    for gib in (10, 24, 27, 80):
        assert not fit(llama_1b, refused, gpu(gib), SHAPE).checkpointing


def test_a_choice_fills_no_more_than_it_may(llama_1b: Anatomy) -> None:
    for gib in range(20, 40):
        choice = fit(llama_1b, TrainConfig(), gpu(gib), SHAPE)
        assert choice.fits == (choice.memory.total <= USABLE * gib * GIB)


def test_a_refusal_names_the_methods_that_fit(llama_8b: Anatomy) -> None:
    error = refusal(llama_8b, TrainConfig(), gpu(80), SHAPE)
    assert "method full needs about" in error.message
    assert "80.0 GiB are free on this machine's some GPU" in error.message
    assert "train.method=lora needs" in (error.hint or "")
    assert "train.memory_gib" in (error.hint or "")
    nothing = refusal(llama_8b, TrainConfig(), gpu(1), SHAPE)
    assert "no method fits: choose a smaller student" in (nothing.hint or "")


def test_four_bit_weights_are_for_cuda(llama_8b: Anatomy) -> None:
    on_gpu = alternatives(llama_8b, TrainConfig(), gpu(80), SHAPE)
    assert tuple(on_gpu) == METHODS
    assert on_gpu["qlora"].memory.weights < on_gpu["lora"].memory.weights / 2
    assert on_gpu["lora"].fits and not on_gpu["full"].fits
    machine = Machine("cpu", "CPU", 80 * GIB, 80 * GIB)
    assert "qlora" not in alternatives(llama_8b, TrainConfig(), machine, SHAPE)


def test_a_limit_replaces_what_is_free() -> None:
    assert with_limit(gpu(80), None).free == 80 * GIB
    assert with_limit(gpu(80), 0.5).free == GIB // 2


def test_the_usual_shape_fills_a_step() -> None:
    shape = usual_shape(TrainConfig(batch_tokens=32768, max_length=2048))
    assert (shape.tokens, shape.longest, shape.rows, shape.accumulation) == (4096, 2048, 2, 8)
    small = usual_shape(TrainConfig(batch_tokens=1024, max_length=2048))
    assert (small.tokens, small.longest, small.rows, small.accumulation) == (1024, 1024, 1, 1)


def test_this_machine_has_memory() -> None:
    machine = this_machine("cpu")
    assert machine.device == "cpu"
    assert 0 < machine.free <= machine.total
    free, total = host_memory()
    assert total == machine.total
    assert free > 0


def test_a_students_shapes_are_read_from_a_real_folder() -> None:
    from labtune.builtin import NANO

    student = read_anatomy(Path(str(NANO)))
    memory = estimate(student, Course.of(TrainConfig(), "cpu"), Batch(2048, 256, 1000))
    assert memory.total < 2 * GIB
