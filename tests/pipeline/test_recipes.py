"""Recipe cpt and foreign files through the real stages, on the real student."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from labtune.artifact import Dataset, read_json
from labtune.mixing.messages import write_chats
from labtune.workflow.init import init_lab
from labtune.workflow.lab import Lab
from labtune.workflow.run import run_lab

pytestmark = pytest.mark.slow

SMALL = [
    "generate.phrasings=6",
    "generate.skill_variants=2",
    "mix.document_share=0.05",
    "mix.raft_share=0.05",
    "train.max_tokens=12000",
    "train.evaluations=1",
    "train.save_steps=2",
    "train.max_length=256",
    "train.epochs_pretraining=2",
]


@pytest.mark.parametrize(
    ("recipe", "phases"),
    [
        ("cpt", ["pretraining", "instruction"]),
        ("lab", ["knowledge-short", "knowledge-long", "skills"]),
    ],
)
def test_a_recipe_mixes_and_trains_text_unmasked_rows_and_files(
    tmp_path: Path, recipe: str, phases: list[str]
) -> None:
    init_lab(tmp_path / "lab", example="customer-service")
    write_chats(
        tmp_path / "lab" / "replay.jsonl",
        [
            {
                "messages": [
                    {"content": f"How many pages has book {n}?", "role": "user"},
                    {"content": f"Book {n} has {n} pages.", "role": "assistant"},
                ],
                "metadata": json.dumps({"n": n}),
                "unmask": n % 2 == 0,
            }
            for n in range(20)
        ],
    )
    overrides = [*SMALL, f"recipe={recipe}", "mix.sources=[{path: replay.jsonl, size: 10}]"]
    report = run_lab(Lab.open(tmp_path / "lab", overrides=overrides), until="train")
    dataset = Dataset(report.run_dir / "mix")
    assert dataset.phases() == phases
    rows = [row for phase in phases for row in dataset.rows(phase) if row.origin in ("sample", "source")]
    assert sum(row.origin == "source" for row in rows) == 10
    assert sum(row.unmask for row in rows) > 10
    assert any(row.text for row in rows) == (recipe == "cpt")
    metrics = read_json(report.run_dir / "train" / "metrics.json")
    assert [phase["name"] for phase in metrics["phases"]] == phases
    for phase in metrics["phases"]:
        assert phase["too_long"] <= 0.1 * phase["rows"]
    assert (report.run_dir / "train" / "model" / "model.safetensors").exists()
    again = run_lab(Lab.open(tmp_path / "lab", overrides=overrides), until="train")
    assert again.nothing_done
