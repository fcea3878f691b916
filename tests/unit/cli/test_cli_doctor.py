"""`labtune doctor --student` and `labtune config explain` as people and scripts see them."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import document, labtune

from header_only import LLAMA_1B, write_llama


@pytest.fixture(scope="module")
def student(tmp_path_factory) -> Path:
    return write_llama(tmp_path_factory.mktemp("student"), LLAMA_1B)


def test_the_table_says_what_each_method_could_do(student: Path, tmp_path: Path) -> None:
    limits = ["--set", "train.device=cpu", "--set", "train.memory_gib=20"]
    done = labtune("doctor", "--student", str(student), *limits, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].endswith("llama, 1.24B parameters, 16 layers, 2.3 GiB on disk")
    assert lines[3].split()[:3] == ["method", "fits", "memory"]
    table = {line.split()[0]: line.split()[1] for line in lines[4:9]}
    assert table == {"full": "no", "osft": "yes", "lora": "yes", "dora": "yes", "qlora": "-"}
    value = document(labtune("doctor", "--student", str(student), *limits, "--json", cwd=tmp_path))
    assert {one["method"]: one["fits"] for one in value["methods"]}["qlora"] is None
    assert value["machine"]["free_bytes"] == 20 * 2**30


def test_nothing_fits_is_exit_code_1_and_no_student_3(student: Path, tmp_path: Path) -> None:
    limits = ["--set", "train.device=cpu", "--set", "train.memory_gib=1"]
    assert labtune("doctor", "--student", str(student), *limits, cwd=tmp_path).returncode == 1
    missing = labtune("doctor", "--student", str(tmp_path / "none"), "--set", "train.device=cpu")
    assert missing.returncode == 3
    assert missing.stderr.startswith("error: there is no model folder")
    assert len(missing.stderr.splitlines()) == 2


def test_explain_names_value_origin_and_source(student: Path, tmp_path: Path) -> None:
    (tmp_path / "labtune.yaml").write_text(f"student: {student}\ntrain: {{method: lora, patience: 2}}\n")
    page = labtune("config", "explain", "train.learning_rate", cwd=tmp_path).stdout.splitlines()
    assert page[0] == "train.learning_rate = 0.001"
    assert page[1] == "  from     default for 1.24B parameters, lora"
    assert page[2] == "  default  2e-05"
    assert page[3].startswith("  source   LoRA Without Regret (Schulman et al. 2025)")
    (patience,) = document(labtune("config", "explain", "train.patience", "--json", cwd=tmp_path))["settings"]
    assert (patience["value"], patience["origin"], patience["source"]) == (2, "labtune.yaml", "")
    fixed = ["--set", "train.learning_rate=3e-4"]
    page = labtune("config", "explain", "train.learning_rate", *fixed, cwd=tmp_path).stdout.splitlines()
    assert page[:2] == ["train.learning_rate = 0.0003", "  from     --set"]
