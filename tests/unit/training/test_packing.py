"""Packs hold every row once, rows in a pack do not see each other, and the budget of tokens is kept."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

from labtune.config.lab import TrainConfig
from labtune.errors import DataError
from labtune.models.template import render_ids
from labtune.training import attention
from labtune.training.packing import PADDING, PackCollator, cut_alike, group, pack, plan_passes
from labtune.training.plan import plan_phases
from labtune.training.rows import IGNORED, TokenRows
from labtune.types import Message


def make_rows(lengths: list[int]) -> TokenRows:
    total = sum(lengths)
    ids = np.arange(total, dtype=np.int32) % 200 + 10
    labels = ids.copy()
    starts = np.cumsum([0, *lengths])
    labels[starts[:-1]] = IGNORED
    return TokenRows(ids, labels, starts, 0, ())


@given(st.lists(st.integers(1, 50), max_size=200), st.integers(50, 80))
def test_every_row_lands_in_exactly_one_pack_that_holds_it(lengths, room):
    packs = pack(range(len(lengths)), lengths, room)
    assert sorted(row for rows in packs for row in rows) == list(range(len(lengths)))
    assert all(sum(lengths[row] for row in rows) <= room for rows in packs)
    # Two packs never leave so much room that one could hold both.
    if len(packs) > 1:
        fill = sorted(sum(lengths[row] for row in rows) for rows in packs)
        assert fill[0] + fill[1] > room


@given(st.lists(st.integers(1, 50), max_size=200), st.integers(50, 80))
def test_groups_hold_rows_of_like_length(lengths, room):
    groups = group(range(len(lengths)), lengths, room)
    assert sorted(row for rows in groups for row in rows) == list(range(len(lengths)))
    assert all(len(rows) * max(lengths[row] for row in rows) <= room for rows in groups)
    cut = cut_alike(lengths)
    assert sorted(place for places in cut for place in places) == list(range(len(lengths)))
    for places in cut:
        padded = len(places) * max(lengths[place] for place in places)
        assert sum(lengths[place] for place in places) >= (1 - PADDING) * padded


DEMO_LENGTHS = (
    8, 17, 18, 19, 20, 21, 21, 22, 23, 23, 24, 25, 25, 26, 27, 28, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 39,
    40, 41, 42, 44, 45, 47, 48, 50, 53, 58, 66, 82, 103, 233,
)  # fmt: skip
"""Every fortieth part of the lengths in the long phase of the example customer-service."""


@pytest.mark.parametrize("alike", [False, True])
def test_a_real_mix_wastes_at_most_two_percent_on_padding(alike):
    draw = np.random.default_rng(0)
    ends = draw.integers(0, len(DEMO_LENGTHS) - 1, 5000)
    lengths = [int(draw.integers(DEMO_LENGTHS[at], DEMO_LENGTHS[at + 1] + 1)) for at in ends]
    config = TrainConfig(batch_tokens=2048, max_length=512)
    (plan,) = plan_phases({"skills": make_rows(lengths)}, config, seed=1, alike=alike)
    assert plan.summary()["padding_waste"] <= PADDING == 0.02
    counted = plan.count(lengths) / plan.steps
    assert 0.85 * 2048 < counted <= 2048
    if alike:
        # Rows of a step are not all of one length: its packs come from all over the mix.
        means = [
            np.mean([lengths[row] for rows in plan.packs[at : at + 8] for row in rows]) for at in (0, 8, 16)
        ]
        assert all(25 < mean < 60 for mean in means)
        # Few forward passes: what is cut is about as large as a pack.
        first = [lengths[row] for rows in plan.packs[:8] for row in rows]
        assert len(cut_alike(first)) <= 16


def test_short_rows_are_packed_without_waste():
    draw = np.random.default_rng(0)
    lengths = [int(length) for length in draw.integers(15, 90, 2000)]
    packs = pack(range(2000), lengths, 256)
    assert sum(lengths) / (256 * len(packs)) > 0.98


@pytest.mark.parametrize("implementation", ["sdpa", "eager", "rows"])
def test_packed_rows_give_the_logits_they_give_alone(tiny_student, implementation):
    tokenizer = AutoTokenizer.from_pretrained(tiny_student)
    model = AutoModelForCausalLM.from_pretrained(tiny_student, dtype=torch.float32).eval()
    alone_model = AutoModelForCausalLM.from_pretrained(tiny_student, dtype=torch.float32).eval()
    model.set_attn_implementation(attention.register() if implementation == "rows" else implementation)
    chats = [
        [Message("user", question), Message("assistant", answer)]
        for question, answer in [
            ("What colour is the sky?", "Blue."),
            ("Who?", "Anna."),
            ("How many?", "42 pumps."),
        ]
    ]
    tokens = [render_ids(tokenizer, chat)[0] for chat in chats]
    starts = np.cumsum([0, *(len(row) for row in tokens)])
    ids = np.concatenate([np.array(row, dtype=np.int32) for row in tokens])
    rows = TokenRows(ids, ids.copy(), starts, 0, ())
    batch = PackCollator(rows)([{"rows": [0, 2]}, {"rows": [1]}])
    known = {"rows": attention.RowLayout.of(batch["position_ids"][0])} if implementation == "rows" else {}
    with torch.inference_mode():
        packed = model(
            input_ids=batch["input_ids"], position_ids=batch["position_ids"], use_cache=False, **known
        ).logits[0]
        alone = [alone_model(torch.tensor([row])).logits[0] for row in tokens]
        joined = alone_model(torch.tensor([[*tokens[0], *tokens[2]]])).logits[0]
    first, second = len(tokens[0]), len(tokens[0]) + len(tokens[2])
    assert (packed[:first] - alone[0]).abs().max() < 1e-5
    assert (packed[first:second] - alone[2]).abs().max() < 1e-5
    assert (packed[second:] - alone[1]).abs().max() < 1e-5
    # The comparison can fail: without boundaries the second row is another.
    assert (joined[first:] - alone[2]).abs().max() > 1e-2


def test_collator_restarts_positions_and_never_trains_across_a_boundary():
    batch = PackCollator(make_rows([3, 2, 4]))([{"rows": [0, 1]}, {"rows": [2]}])
    assert batch["position_ids"].tolist() == [[0, 1, 2, 0, 1, 0, 1, 2, 3]]
    assert batch["input_ids"].tolist() == [[10, 11, 12, 13, 14, 15, 16, 17, 18]]
    assert batch["labels"].tolist() == [[-100, 11, 12, -100, 14, -100, 16, 17, 18]]


def test_passes_are_shuffled_anew_and_the_last_one_may_be_partial():
    rows = make_rows([10] * 100)
    packs = plan_passes(rows, tokens=2500, max_length=50, seed=1, name="skills")
    order = [row for some in packs for row in some]
    assert len(order) == 250
    first, second = order[:100], order[100:200]
    assert sorted(first) == sorted(second) == list(range(100))
    assert first != second
    assert len(set(order[200:])) == 50
    assert packs == plan_passes(rows, tokens=2500, max_length=50, seed=1, name="skills")
    assert packs != plan_passes(rows, tokens=2500, max_length=50, seed=2, name="skills")


def test_passes_shrink_together_to_the_budget_of_tokens():
    rows = {"knowledge-short": make_rows([10] * 400), "skills": make_rows([20] * 100)}
    config = TrainConfig(epochs_short=4, epochs_skills=8, max_tokens=16_000, batch_tokens=512, max_length=128)
    plans = plan_phases(rows, config, seed=1)
    tokens = [plan.count(plan.rows.lengths) for plan in plans]
    # 4 x 4,000 + 8 x 2,000 = 32,000 tokens, so every phase gets half of its passes.
    assert tokens == [8000, 8000]
    assert [plan.epochs for plan in plans] == [2.0, 4.0]
    whole = plan_phases(rows, config.model_copy(update={"max_tokens": None}), seed=1)
    assert [plan.count(plan.rows.lengths) for plan in whole] == [16_000, 16_000]


def test_evaluations_are_spread_evenly_and_the_last_step_is_one():
    rows = {"knowledge-short": make_rows([10] * 400), "single": make_rows([10] * 400)}
    config = TrainConfig(epochs_short=4, evaluations=4, batch_tokens=256, max_length=64)
    short, single = plan_phases(rows, config, seed=1)
    assert short.steps == math.ceil(len(short.packs) / 4)
    assert len(short.evaluations) == 4
    assert short.evaluations[-1] == short.steps
    assert max(np.diff([0, *short.evaluations])) - min(np.diff([0, *short.evaluations])) <= 1
    assert (short.decays, single.decays) == (False, True)


def test_large_batches_are_accumulated_from_equal_parts():
    config = TrainConfig(batch_tokens=20_480, max_length=512)
    (plan,) = plan_phases({"skills": make_rows([100] * 500)}, config, seed=1)
    assert (plan.micro_batch, plan.accumulation) == (16, 5)


def test_packs_are_as_wide_as_the_longest_row_needs():
    config = TrainConfig(batch_tokens=2048, max_length=1024)
    short, long = plan_phases(
        {"skills": make_rows([50] * 99), "single": make_rows([50] * 99 + [512])}, config, 1
    )
    assert (short.micro_batch, long.micro_batch) == (8, 4)
    assert max(sum(short.rows.lengths[row] for row in rows) for rows in short.packs) == 250
    assert max(sum(long.rows.lengths[row] for row in rows) for rows in long.packs) == 512


def test_unknown_phase_is_named():
    with pytest.raises(DataError, match="'warmup'"):
        plan_phases({"warmup": make_rows([5])}, TrainConfig(), seed=1)
