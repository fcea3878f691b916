"""A lab with a real family's student: found in the lab, told, tuned, shipped with template and licence."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tiny_model import write_dataset

from families import make_family
from labtune.errors import ConfigError, ModelError
from labtune.models.hf import load_model, load_tokenizer
from labtune.models.template import check_template, render_prompts
from labtune.types import Message, RunContext
from labtune.workflow.doctor import examine_lab
from labtune.workflow.lab import Lab
from labtune.workflow.run import run_lab
from labtune.workflow.steps import train
from labtune.workflow.student import locate_student

EXAMPLE = Path(__file__).parents[3] / "src" / "labtune" / "examples" / "customer-service"
QUESTION = [Message("system", "Be short."), Message("user", "What is it?")]


def make_lab(folder: Path, student: str, settings: str = "") -> Path:
    shutil.copytree(EXAMPLE / "taxonomy", folder / "taxonomy")
    skills = folder / "taxonomy" / "compositional_skills"
    shutil.rmtree(skills)
    (folder / "labtune.yaml").write_text(f"student: {student}\n{settings}", encoding="utf-8")
    return folder


def test_template_and_licence_go_where_the_weights_go(tmp_path):
    limits = "max_tokens: 600, batch_tokens: 256, evaluations: 1, precision: fp32, device: cpu"
    root = make_lab(tmp_path / "lab", "models/granite", f"train: {{{limits}}}\n")
    student = make_family("granite3", root / "models" / "granite")
    (student / "LICENSE").write_text("all of it")
    mixed = write_dataset(
        tmp_path / "mix", {"skills": [("What is it?", "A pump."), ("And that?", "A lamp.")]}
    )
    (tmp_path / "exam.jsonl").write_text("")
    events = []
    step = train(Lab.open(root), {"curate": tmp_path, "mix": mixed})
    step.work(
        RunContext(tmp_path / "out", tmp_path, emit=lambda name, fields: events.append((name, dict(fields))))
    )
    told = dict(events)["train.student"]
    assert (told["student"], told["licence"]) == ("models/granite", "apache-2.0")
    shipped = tmp_path / "out" / "model"
    assert (shipped / "LICENSE").read_text() == "all of it"
    settled = load_tokenizer(student)
    assert (shipped / "chat_template.jinja").read_text(encoding="utf-8") == settled.chat_template
    assert "strftime_now(" not in settled.chat_template
    assert render_prompts(load_tokenizer(shipped), [QUESTION]) == render_prompts(settled, [QUESTION])
    example = (tmp_path / "out" / "example.txt").read_text(encoding="utf-8")
    assert "<|end_of_role|>[[A pump.<|end_of_text|>]]" in example


def test_a_base_model_gets_its_template_from_the_lab(tmp_path):
    root = make_lab(tmp_path / "lab", "{model: models/base, template: chat.jinja}")
    student = make_family("llama3", root / "models" / "base")
    settings = json.loads((student / "tokenizer_config.json").read_text())
    template = settings.pop("chat_template")
    (student / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.raises(ModelError, match="has no chat template") as caught:
        load_tokenizer(student)
    assert "student.template" in str(caught.value.hint)
    with pytest.raises(ConfigError, match=r"student\.template: .*chat\.jinja cannot be read"):
        locate_student(Lab.open(root))
    (root / "chat.jinja").write_text(template, encoding="utf-8")
    folder = locate_student(Lab.open(root))
    assert folder.name == "base"
    assert locate_student(Lab.open(root)) == folder
    check_template(load_tokenizer(folder))
    model, _ = load_model(folder)
    assert model.config.vocab_size == 600
    (root / "chat.jinja").write_text(template.replace("Today Date", "Day"), encoding="utf-8")
    other = locate_student(Lab.open(root))
    assert other != folder
    assert "Day: " in load_tokenizer(other).chat_template


def test_a_student_that_cannot_be_had_ends_the_run_before_any_work(tmp_path):
    root = make_lab(tmp_path / "lab", "{model: org/bird, offline: true}")
    with pytest.raises(ModelError, match="may not be asked"):
        run_lab(Lab.open(root))
    assert not (root / "runs").exists()
    run_lab(Lab.open(root), until="curate")
    assert (root / "runs" / "latest" / "curate").is_dir()


def test_doctor_tells_state_and_licence_of_the_labs_student(tmp_path):
    root = make_lab(tmp_path / "lab", "models/bird")
    make_family("qwen3", root / "models" / "bird")
    checks = {check.name: check for check in examine_lab(root)}
    assert checks["lab's student"].state == "ok"
    assert checks["lab's student"].found == "models/bird, licence apache-2.0"
    (root / "models" / "bird" / "model.safetensors").write_bytes(b"")
    checks = {check.name: check for check in examine_lab(root)}
    assert checks["lab's student"].state == "fail"
    assert "damaged or cut off" in checks["lab's student"].found
    (root / "labtune.yaml").write_text("student: {model: org/bird, offline: true}\n")
    checks = {check.name: check for check in examine_lab(root)}
    assert (checks["lab's student"].state, checks["lab's student"].mend) == ("warn", "labtune run fetches it")
