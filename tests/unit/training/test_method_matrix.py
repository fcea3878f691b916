"""Every family x every method: trains, goes on bitwise after a kill, ends as a plain folder that loads."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
import torch
from method_training import METHODS, PHASES, method_config, run_method, score
from safetensors import safe_open
from tiny_model import write_dataset

from families import FAMILIES, make_family
from labtune.export.export import Request, export
from labtune.models.hf import HfChatModel
from labtune.types import Message

IN_GGUF = ("llama3", "granite3", "qwen3", "mistral", "phi4mini")
"""Families whose tiny students llama.cpp computes exactly; tests/unit/export has more of them."""
ASKED = (Message("user", "What colour is the sky?"),)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("dataset"), PHASES)


@pytest.fixture(scope="module", params=FAMILIES)
def student(request, tmp_path_factory) -> Path:
    return make_family(request.param, tmp_path_factory.mktemp("family") / request.param)


@pytest.mark.parametrize("method", METHODS)
def test_a_method_trains_goes_on_after_a_kill_and_ships_plain_weights(
    student, method, dataset, children, tmp_path
):
    whole, killed = tmp_path / "whole", tmp_path / "killed"

    def start(out: Path, kill: int | None = None):
        target = (dataset, student, out, method_config(method), kill)
        process = children.Process(target=run_method, args=target)
        process.start()
        return process

    # The run that nothing happens to has a core of its own where there are two.
    untouched = start(whole)
    for kill, code in ((10, -signal.SIGKILL), (None, 0)):
        assert not (killed / "model").exists()
        child = start(killed, kill)
        child.join()
        assert child.exitcode == code
    untouched.join()
    assert untouched.exitcode == 0

    events = _journal(whole)
    losses = [event["loss"] for event in events if event["event"] == "step"]
    steps = [event["step"] for event in events if event["event"] == "step"][-1]
    assert steps >= 20
    assert losses[-1] < 0.97 * losses[0]

    names = {path.name for path in (whole / "model").iterdir()}
    for name in names:
        assert (killed / "model" / name).read_bytes() == (whole / "model" / name).read_bytes(), name
    assert [e for e in _journal(killed) if e["event"] != "resumed"] == events

    with safe_open(student / "model.safetensors", "pt") as base:
        keys = set(base.keys())
        with safe_open(whole / "model" / "model.safetensors", "pt") as tuned:
            assert set(tuned.keys()) == keys
            assert {tuned.get_tensor(key).dtype for key in keys} == {torch.bfloat16}
            changed = {key for key in keys if not torch.equal(tuned.get_tensor(key), base.get_tensor(key))}
    assert changed == keys if method == "full" else changed == _linear(keys)
    (told,) = [event["score"] for event in events if event["event"] == "evaluation"]
    assert score(HfChatModel.load(whole / "model", name="tuned", device="cpu")) == told
    if student.name in IN_GGUF:
        request = Request(whole / "model", method, tmp_path, "gguf", "f16", [ASKED], max_tokens=8)
        parity = export(request).parity
        assert parity is not None
        assert parity.failures == ()


def _journal(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "journal.jsonl").read_text().splitlines()]


def _linear(keys: set[str]) -> set[str]:
    """Weights of linear layers inside the blocks that adapters and OSFT change."""
    kinds = ("_proj.weight", "_linear.weight")
    return {key for key in keys if key.endswith(kinds) and not key.endswith("mamba.out_proj.weight")}
