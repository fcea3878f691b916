"""MFU: the model's arithmetic counted by hand, and a ceiling that is measured once."""

from __future__ import annotations

import json

import pytest
import torch

from labtune.config.lab import TrainConfig
from labtune.training.anatomy import Anatomy, Matrix
from labtune.training.gauge import Gauge, ceiling, measure_ceiling
from labtune.training.machine import Machine

STUDENT = Anatomy(
    family="llama", parameters=2_000, matrices=(Matrix(40, 20, writes=False),), tables=600, vectors=0,
    layers=1, attention_layers=1, hidden=20, heads=2, head_dim=10, vocabulary=30, active_experts=1,
    stored_bytes=0,
)  # fmt: skip
CPU = Machine("cpu", "a processor", 1 << 30, 1 << 30)


def test_flops_count_attention_by_row_and_the_output_layer_where_it_is_needed():
    gauge = Gauge.of(STUDENT, TrainConfig(), CPU, 1e6)
    # 6 x 800 for the matrix of each token, 6 x 600 for the output layer of the trained ones, and attention:
    # 3 passes x 2 products x 2 FLOPs x 20 numbers x half of the row's square.
    expected = 6 * 800 * 14 + 6 * 600 * 5 + 3 * 2 * 2 * 20 * (10**2 + 4**2) / 2
    assert gauge.flops([10, 4], 5) == pytest.approx(expected)
    assert gauge.utilisation(expected, 2.0) == pytest.approx(expected / 2e6)
    assert gauge.utilisation(expected, 0.0) == 0


def test_frozen_weights_cost_two_thirds_and_computing_again_is_no_use():
    full = Gauge.of(STUDENT, TrainConfig(gradient_checkpointing=True), CPU, 1.0)
    lora = Gauge.of(STUDENT, TrainConfig(method="lora"), CPU, 1.0)
    assert full.flops([10], 10) == Gauge.of(STUDENT, TrainConfig(), CPU, 1.0).flops([10], 10)
    assert lora.flops([10], 10) == pytest.approx(full.flops([10], 10) * 2 / 3)


def test_the_ceiling_is_measured_once_and_a_damaged_cache_is_made_anew(tmp_path):
    cache = tmp_path / "ceilings.json"
    cache.write_text('{"half a')
    found = ceiling(CPU, "fp32", cache)
    (key,) = json.loads(cache.read_text())
    assert "a processor" in key
    cache.write_text(json.dumps({key: 123.0}))
    assert ceiling(CPU, "fp32", cache) == 123.0
    assert found > 1e8
    other = Machine("cpu", "another processor", 1 << 30, 1 << 30)
    assert ceiling(other, "fp32", cache) != 123.0


def test_a_measured_product_is_as_large_as_asked():
    assert measure_ceiling(torch.device("cpu"), "bf16", size=64) > 0
