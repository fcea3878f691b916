"""The plan in docs/scaling.md is what its script says."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.scaling_plan import ASSUMPTIONS, figures, limits, report, with_settings

PAGE = Path(__file__).parents[3] / "docs" / "scaling.md"


def test_the_page_shows_what_the_script_computes():
    assert report(ASSUMPTIONS) in PAGE.read_text(encoding="utf-8")


def test_every_figure_says_where_it_comes_from():
    assert all(one.source.startswith(("measured: ", "assumed: ")) for one in ASSUMPTIONS.values())


def test_the_arithmetic_by_hand():
    plan = with_settings(
        ASSUMPTIONS,
        [
            "requests_per_sample=2",
            "prompt_tokens_per_sample=1000",
            "reply_tokens_per_sample=500",
            "teacher_prefill_tokens_per_s=10000",
            "teacher_decode_tokens_per_s=1000",
            "student_parameters=1e9",
            "trained_tokens_per_sample=1000",
            "gpu_flops=1e15",
            "mfu=0.5",
            "gpu_usd_per_hour=3",
            "sample_bytes=1073.741824",
            "ledger_requests_per_s=100",
        ],
    )
    one = figures(plan, 1e6)
    # 1000/10,000 + 500/1000 = 0.6 s of a GPU for each sample.
    assert one.teacher_gpu_hours == pytest.approx(1e6 * 0.6 / 3600)
    # 6 x 10^9 x 10^9 FLOP at 5 x 10^14 a second = 12,000 s.
    assert one.tuning_gpu_hours == pytest.approx(12_000 / 3600)
    assert one.usd == pytest.approx((600_000 + 12_000) / 3600 * 3)
    assert one.samples_gib == pytest.approx(1.0)
    assert one.ledger_days == pytest.approx(2e6 / 100 / 86_400)


def test_limits_are_sorted_and_move_with_the_assumptions():
    found = limits(ASSUMPTIONS)
    assert [one.samples for one in found] == sorted(one.samples for one in found)
    richer = limits(with_settings(ASSUMPTIONS, ["driver_gib=1e6"]))
    assert "ledger" in richer[0].what
