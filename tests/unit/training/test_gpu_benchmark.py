"""The benchmark for accelerators runs where there is none, so that it runs where there is one."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "benchmarks" / "gpu_training.py"


def test_it_measures_full_and_lora(tmp_path, capsys):
    spec = importlib.util.spec_from_file_location("gpu_training", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    out = tmp_path / "figures.json"
    options = ["--models", "tiny", "--pack", "128", "--packs", "2", "--steps", "2", "--json", str(out)]
    full, lora = script.main(options)
    assert json.loads(out.read_text()) == [full, lora]
    assert [full["method"], lora["method"]] == ["full", "lora"]
    assert lora["parameters"] > full["parameters"]
    for row in (full, lora):
        assert row["tokens_per_second"] > 0
        assert 0 < row["mfu"] < 1
        # An untrained model of 600 tokens knows nothing: ln 600 = 6.4.
        assert row["loss"] == pytest.approx(6.4, abs=0.3)
    assert "| tiny | lora |" in capsys.readouterr().out
