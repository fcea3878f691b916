"""Parts of a batch on copies that share weights: the gradients of the whole batch, whatever the timing."""

from __future__ import annotations

import io
import time
from collections.abc import Sequence

import pytest
import torch
from torch.nn.functional import cross_entropy

from labtune.config.lab import TrainConfig
from labtune.models.hf import load_weights
from labtune.training.optimizer import Parts, make_optimizer, pull_back
from labtune.training.replicas import Replicas, split


def batch(lengths: Sequence[int] = (24, 21, 18, 15, 12)) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, 60, (1, sum(lengths)), generator=generator)
    positions = torch.cat([torch.arange(length) for length in lengths])[None]
    labels = torch.where(positions == 0, -100, ids)
    return {"input_ids": ids, "labels": labels, "position_ids": positions}


def loss_of(model, part) -> torch.Tensor:
    logits = model(input_ids=part["input_ids"], position_ids=part["position_ids"], use_cache=False).logits
    return cross_entropy(logits[:, :-1].flatten(0, 1), part["labels"][:, 1:].flatten(), reduction="sum")


def gradients(model) -> list[torch.Tensor]:
    return [weight.grad.clone() for weight in model.parameters()]


@pytest.mark.parametrize("count", [2, 3, 8])
def test_gradients_and_loss_are_those_of_the_whole_batch(tiny_student, count):
    model = load_weights(tiny_student)
    whole = loss_of(model, batch())
    torch.autograd.backward(whole)
    expected = gradients(model)
    model.zero_grad()
    loss = Replicas(model, count).backward(batch(), loss_of)
    assert loss.item() == pytest.approx(whole.item(), rel=1e-5)
    for got, want in zip(gradients(model), expected, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)


def test_timing_changes_no_bit(tiny_student):
    results = []
    for slow in (0, 1):
        model = load_weights(tiny_student)

        def late(copy, part, model=model, slow=slow):
            time.sleep(0.05 if (copy is model) == bool(slow) else 0)
            return loss_of(copy, part)

        Replicas(model, 2).backward(batch(), late)
        results.append(gradients(model))
    assert all(torch.equal(first, second) for first, second in zip(*results, strict=True))


def test_copies_see_an_update_of_the_weights(tiny_student):
    model = load_weights(tiny_student)
    replicas = Replicas(model, 2)
    optimizer = make_optimizer(model, TrainConfig(learning_rate=0.05, optimizer="muon"))
    first = replicas.backward(batch(), loss_of).item()
    optimizer.step()
    optimizer.zero_grad()
    alone = loss_of(model, batch()).item()
    assert replicas.backward(batch(), loss_of).item() == pytest.approx(alone, rel=1e-5)
    assert alone < first


def test_parts_are_whole_rows_and_have_about_as_many_tokens():
    whole = batch((24, 21, 18, 15, 12))
    parts = split(whole, 2)
    assert [part["input_ids"].shape[1] for part in parts] == [45, 45]
    assert [part["position_ids"][0, 0].item() for part in parts] == [0, 0]
    assert torch.equal(torch.cat([part["input_ids"] for part in parts], 1), whole["input_ids"])
    assert [part["input_ids"].shape[1] for part in split(batch((90, 5, 5)), 3)] == [90, 5, 5]
    assert [part["input_ids"].shape[1] for part in split(batch((5, 5, 90)), 3)] == [5, 5, 90]
    assert len(split(batch((24,)), 4)) == 1


def test_muon_goes_on_from_its_state_as_if_nothing_had_happened(tiny_student):
    config = TrainConfig(learning_rate=0.01, optimizer="muon", replicas=2)
    straight = load_weights(tiny_student)
    optimizer = make_optimizer(straight, config)
    for step in range(4):
        torch.autograd.backward(loss_of(straight, batch()))
        optimizer.step()
        optimizer.zero_grad()
        if step == 1:
            weights = {name: value.clone() for name, value in straight.state_dict().items()}
            state = torch.load(_saved(optimizer.state_dict()), weights_only=True)
    resumed = load_weights(tiny_student)
    resumed.load_state_dict(weights)
    again = make_optimizer(resumed, config)
    assert isinstance(again, Parts)
    again.load_state_dict(state)
    for _ in range(2):
        torch.autograd.backward(loss_of(resumed, batch()))
        again.step()
        again.zero_grad()
    for got, want in zip(resumed.parameters(), straight.parameters(), strict=True):
        assert torch.equal(got, want)


def _saved(state):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return file


def test_pull_back_draws_towards_the_starting_weights(tiny_student):
    start = load_weights(tiny_student)
    distances = []
    for strength in (0.0, 20.0):
        model = load_weights(tiny_student)
        optimizer = make_optimizer(model, TrainConfig(learning_rate=0.02))
        pull_back(optimizer, model, start, strength)
        for _ in range(20):
            torch.autograd.backward(loss_of(model, batch()))
            optimizer.step()
            optimizer.zero_grad()
        pairs = zip(model.parameters(), start.parameters(), strict=True)
        distances.append(sum((now - then).square().sum().item() for now, then in pairs))
    assert 0 < distances[1] < 0.6 * distances[0]
