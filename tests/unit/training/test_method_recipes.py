"""Each recipe's phases with adapters and OSFT: they follow on each other, plain text included."""

from __future__ import annotations

import gc
import json
from pathlib import Path

import pytest
import torch
from method_training import PHASES, method_config
from safetensors.torch import load_file
from tiny_model import CORPUS, write_dataset

from labtune.artifact import Dataset, read_json
from labtune.training.train import train
from labtune.types import RunContext

RECIPES = {
    "lab": ["knowledge-short", "knowledge-long", "skills"],
    "single": ["single"],
    "cpt": ["pretraining", "instruction"],
}


def write_phases(folder: Path, phases: list[str]) -> Path:
    write_dataset(folder, dict.fromkeys(phases, PHASES["skills"]))
    if "pretraining" in phases:
        file = folder / "pretraining.jsonl"
        row = json.loads(file.read_text(encoding="utf-8").splitlines()[0])
        lines = [
            json.dumps({**row, "messages": [], "text": text, "id": f"text-{number}"})
            for number, text in enumerate(CORPUS)
        ]
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.mark.parametrize("method", ["lora", "osft"])
@pytest.mark.parametrize("recipe", RECIPES)
def test_phases_follow_on_each_other(recipe, method, tiny_student, tmp_path):
    dataset = write_phases(tmp_path / "dataset", RECIPES[recipe])
    config = method_config(method, max_tokens=9 * 256, epochs_short=1000.0, epochs_long=1000.0)
    config = config.model_copy(update={"epochs_pretraining": 1000.0, "epochs_instruction": 1000.0})
    seen: list[float] = []

    def select(model) -> float:
        weights = model.model.state_dict()["model.layers.0.mlp.up_proj.weight"]
        seen.append(float(weights.double().square().sum()))
        return len(seen) / 10

    gc.freeze()
    train(
        Dataset(dataset),
        config=config,
        run=RunContext(tmp_path / "train", tmp_path / "cache", emit=lambda *_: None),
        student=tiny_student,
        select=select,
    )
    metrics = read_json(tmp_path / "train" / "metrics.json")
    assert [phase["name"] for phase in metrics["phases"]] == RECIPES[recipe]
    assert len(set(seen)) == len(RECIPES[recipe])
    shipped = load_file(tmp_path / "train" / "model" / "model.safetensors")
    assert {value.dtype for value in shipped.values()} == {torch.bfloat16}
    last = shipped["model.layers.0.mlp.up_proj.weight"].double().square().sum()
    assert float(last) == pytest.approx(seen[-1], rel=1e-12)
