"""Generation with a teacher model, end to end: labs on disk, a real server, the real command."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml
from benchmarks.simulated_teacher import Faults, TeacherConfig, TeacherProcess, teacher_process
from command_line import document, labtune
from small_lab import NAMES, write_lab, write_leaf
from taught_lab import generate, rows, samples_bytes, settings, taught

from labtune.artifact import read_json, read_jsonl
from labtune.errors import GenerationError
from labtune.workflow.init import init_lab
from labtune.workflow.lab import Lab
from labtune.workflow.run import run_lab

OWN_PIPELINE = """\
name: own
about: Pairs and one check.
version: 1
knowledge:
  - name: pairs
    type: prompt
    config: {prompt: knowledge/pairs, many: pairs, reply: {question: text, answer: text}}
  - name: check
    type: judge
    config: {prompt: ./prompts/check, criteria: {faithful: yes_no}}
"""
OWN_CHECK = """\
# user
{{ passage | block("passage") }}

{{ question | block("question") }}

{{ answer | block("answer") }}

Is the answer faithful? Give a `reason`, then `faithful` as true or false.
"""


def test_every_leaf_reaches_its_target_and_a_second_run_sends_nothing(
    tmp_path: Path, teacher: TeacherProcess
) -> None:
    root = write_lab(tmp_path, 3, settings(teacher.url, pipeline="full", rounds=8))
    report = generate(root)
    funnel = read_json(report.run_dir / "generate" / "funnel.json")
    assert {path: entry["end"] for path, entry in funnel.items()} == {
        f"knowledge/lamps/{name.lower()}": "target" for name in NAMES[:3]
    }
    assert all(entry["generated"] >= 12 for entry in funnel.values())
    coverage = read_json(report.run_dir / "generate" / "coverage.json")
    assert all(entry["share"] >= 0.95 for entry in coverage.values())
    for path, entry in funnel.items():
        steps = entry["steps"]
        assert steps["pairs"]["in"] == entry["asked"]
        assert steps["relevance"]["out"] == entry["produced"]
        dropped = [row for row in rows(root, "rejected") if row["leaf"] == path and row["step"] == "quality"]
        assert entry["generated"] + len(dropped) == entry["produced"]
        assert sum(row["leaf"] == path for row in taught(root)) == entry["generated"]
    sent = teacher.stats()["requests"]
    assert teacher.stats()["answered_twice"] == 0
    first = samples_bytes(root)
    assert generate(root).nothing_done
    # Not even when only the journal is left.
    shutil.rmtree(root / "runs")
    shutil.rmtree(root / ".labtune" / "generate")
    generate(root)
    assert samples_bytes(root) == first
    assert teacher.stats()["requests"] == sent


def test_samples_say_how_they_came_to_be(tmp_path: Path, teacher: TeacherProcess) -> None:
    root = write_lab(tmp_path, 1, settings(teacher.url))
    generate(root)
    held_out = {
        seed["source"]["line"]
        for leaf in read_jsonl(root / "runs" / "latest" / "curate" / "leaves.jsonl")
        for seed in leaf["seeds"]
        if seed["held_out"]
    }
    manual = next(read_jsonl(root / "runs" / "latest" / "curate" / "documents.jsonl"))["text"]
    for row in taught(root):
        lineage = row["lineage"]
        assert len(lineage["examples"]) == 3
        assert not held_out & {example["line"] for example in lineage["examples"]}
        assert set(lineage["prompts"]) == {"pairs", "check"}
        assert [verdict["step"] for verdict in lineage["verdicts"]] == ["check"]
        assert len(lineage["calls"]) == 2
        quotes = [manual[span["start"] : span["end"]] for span in row["grounding"]]
        assert row["messages"][-1]["content"] in quotes
    row = taught(root)[0]
    shown = labtune("trace", row["id"], cwd=root)
    assert f"reply       labtune journal show {row['lineage']['calls'][0][:16]}" in shown.stdout.replace(
        "  reply ", "reply   "
    )
    entry = document(labtune("journal", "show", row["lineage"]["calls"][0][:16], "--json", cwd=root))
    assert "pairs" in json.dumps(entry)


def test_a_change_of_one_leaf_of_ten_asks_for_that_leaf_only(tmp_path: Path, teacher: TeacherProcess) -> None:
    root = write_lab(tmp_path, 10, settings(teacher.url, rounds=1))
    generate(root)
    before = {row["id"] for row in taught(root) if "/wren" not in row["leaf"]}
    teacher.reset()
    write_leaf(root, NAMES.index("Wren"), "The Wren Lamp folds flat for a suitcase.")
    generate(root)
    bodies = [json.dumps(body) for body in teacher.requests()]
    assert bodies
    assert all("Wren Lamp" in body for body in bodies)
    assert {row["id"] for row in taught(root) if "/wren" not in row["leaf"]} == before


def test_a_change_of_one_judge_prompt_asks_judges_only(tmp_path: Path, teacher: TeacherProcess) -> None:
    root = write_lab(tmp_path, 2, settings(teacher.url, pipeline="own.yaml", rounds=1))
    (root / "own.yaml").write_text(OWN_PIPELINE)
    prompt = root / "prompts" / "check" / "en.md"
    prompt.parent.mkdir(parents=True)
    prompt.write_text(OWN_CHECK)
    generate(root)
    teacher.reset()
    prompt.write_text(OWN_CHECK.replace("Is the answer faithful?", "Does the passage say so?"))
    generate(root)
    asked = [body["messages"][-1]["content"] for body in teacher.requests()]
    assert asked
    assert all("Does the passage say so?" in text for text in asked)
    versions = {row["lineage"]["prompts"]["check"] for row in taught(root)}
    assert len(versions) == 1


def test_with_all_faults_every_leaf_completes_and_nothing_is_paid_twice(
    tmp_path: Path, teacher: TeacherProcess
) -> None:
    teacher.set_faults(
        Faults(
            rate_limit=0.05, unavailable=0.05, reset=0.05, truncated=0.05, malformed=0.05,
            wrong_language=0.05, refusal=0.05, content_filter=0.05, retry_after_s=0.02, rate_limit_burst=2,
        )
    )  # fmt: skip
    root = write_lab(tmp_path, 3, settings(teacher.url, rounds=4))
    generate(root)
    funnel = read_json(root / "runs" / "latest" / "generate" / "funnel.json")
    assert {entry["end"] for entry in funnel.values()} == {"target"}
    assert teacher.stats()["answered_twice"] == 0
    assert all(row["language"] == "en" for row in taught(root))
    assert not any("réponse" in row["messages"][-1]["content"] for row in taught(root))
    lost = {row["reason"] for row in rows(root, "rejected")}
    assert lost & {"wrong_language", "unparsable"}


def test_a_teacher_that_breaks_its_format_half_of_the_time_still_gives_a_data_set(tmp_path: Path) -> None:
    config = TeacherConfig(json_schema="ignore", faults=Faults(malformed=0.5))
    with teacher_process(config) as weak:
        root = write_lab(tmp_path, 2, settings(weak.url, rounds=6))
        generate(root)
    funnel = read_json(root / "runs" / "latest" / "generate" / "funnel.json")
    assert all(entry["generated"] > 0 for entry in funnel.values())
    for entry in funnel.values():
        assert entry["generated"] >= entry["target"] or (entry["cause"] and entry["remedy"])


def test_a_teacher_that_only_refuses_names_cause_and_remedy_for_each_leaf(
    tmp_path: Path, teacher: TeacherProcess
) -> None:
    teacher.set_faults(Faults(refusal=1.0))
    root = write_lab(tmp_path, 2, settings(teacher.url, target=200))
    with pytest.raises(GenerationError) as caught:
        generate(root)
    for name in ("heron", "lark"):
        assert f"knowledge/lamps/{name} ended with 0 samples" in caught.value.message
    assert "do not have the form" in caught.value.message
    assert "larger teacher" in (caught.value.hint or "")
    funnel = read_json(root / "runs" / "latest" / "generate" / "funnel.json")
    for entry in funnel.values():
        assert entry["end"] == "failed"
        # A few rows, not all that the target would need.
        assert entry["asked"] <= 40
        (shown, *_) = entry["examples"]["unparsable"]
        assert "it said: I'm sorry" in shown["detail"]


def test_a_chinese_lab_is_taught_in_chinese(tmp_path: Path, teacher: TeacherProcess) -> None:
    init_lab(tmp_path / "lab", example="clinic-zh")
    endpoint = json.dumps({"endpoint": teacher.url, "model": "simulated-teacher"})
    overrides = [f"teacher={endpoint}", "generate.target=10", "generate.pipeline=full"]
    run_lab(Lab.open(tmp_path / "lab", overrides=overrides), until="generate")
    written = taught(tmp_path / "lab")
    assert {row["kind"] for row in written} == {"knowledge", "compositional_skill"}
    assert {row["language"] for row in written} == {"zh"}
    assert all(any("一" <= c <= "鿿" for c in row["messages"][-1]["content"]) for row in written)
    prompts = {version for row in written for version in row["lineage"]["prompts"].values()}
    assert all("/zh@" in version for version in prompts)


def test_seeds_in_a_language_without_frames_stay_as_people_wrote_them(
    tmp_path: Path, teacher: TeacherProcess
) -> None:
    root = write_lab(tmp_path, 1, settings(teacher.url))
    leaf = root / "taxonomy" / "knowledge" / "lamps" / NAMES[0].lower()
    qna = yaml.safe_load((leaf / "qna.yaml").read_text())
    for number, example in enumerate(qna["seed_examples"]):
        example["context"] = f"このランプの部品{number}はとても軽いです。"
        for place, pair in enumerate(example["questions_and_answers"]):
            pair["question"] = f"部品{number}の{place}番目について教えてください。"
            pair["answer"] = f"部品{number}はとても軽いです。"
    (leaf / "qna.yaml").write_text(yaml.safe_dump(qna, allow_unicode=True))
    (leaf / "manual.md").write_text(
        "# ランプ\n\nこのランプはとても軽いです。\nスイッチは三秒間押してください。\n"
    )
    generate(root)
    forms = {row["form"] for row in rows(root) if not row.get("lineage")}
    assert forms == {"seed"}


def test_a_preview_shows_each_step_costs_little_and_is_not_paid_again(
    tmp_path: Path, teacher: TeacherProcess
) -> None:
    prices = {"input": 1.0, "output": 2.0}
    values = json.loads(settings(teacher.url))
    values["teacher"]["prices"] = prices
    root = write_lab(tmp_path, 2, json.dumps(values))
    value = document(labtune("generate", "--preview", "1", "--json", cwd=root))["preview"]
    asked = teacher.stats()["requests"]
    assert len(value["leaves"]) == 2
    for leaf in value["leaves"]:
        (row,) = leaf["rows"]
        assert row["steps"][0]["step"] == "pairs"
        (call,) = row["steps"][0]["calls"]
        assert "<passage>" in call["messages"][-1]["content"]
        assert json.loads(call["reply"])["pairs"]
        paid = call["prompt_tokens"] * 1e-6 + call["tokens"] * 2e-6
        assert call["cost"] == pytest.approx(paid)
        checks = [step for step in row["steps"] if step["step"] == "check"]
        assert len(checks) == len(json.loads(call["reply"])["pairs"])
        assert len(leaf["samples"]) + len(leaf["rejected"]) == len(checks)
        assert leaf["estimate"]["requests"] >= leaf["spent"]["requests"]
    assert value["spent"]["cost"] == pytest.approx(
        sum(leaf["spent"]["cost"] for leaf in value["leaves"]), rel=0.1
    )
    assert not (root / "runs" / "latest" / "generate" / "samples.jsonl").exists()
    shown = labtune("generate", "--preview", "1", cwd=root)
    assert shown.returncode == 0
    assert "judge says" in shown.stdout
    assert "estimate for all leaves: about" in shown.stdout
    assert teacher.stats()["requests"] == asked
    assert teacher.stats()["answered_twice"] == 0
    generate(root)
    assert teacher.stats()["answered_twice"] == 0
    refused = labtune("generate", "--preview", "1", "--set", "teacher=builtin", cwd=root)
    assert refused.returncode == 2


def test_the_command_ends_with_the_funnel_and_events_tell_what_is_in_flight(
    tmp_path: Path, teacher: TeacherProcess
) -> None:
    root = write_lab(tmp_path, 2, settings(teacher.url))
    shown = labtune("generate", cwd=root)
    assert shown.returncode == 0
    lines = shown.stdout.splitlines()
    header = next(line for line in lines if line.startswith("leaf "))
    titles = "leaf asked made no form failed judged out language ungrounded exam twice kept target"
    assert " ".join(header.split()) == titles
    assert any(line.startswith("knowledge/lamps/heron ") for line in lines)
    events = list(read_jsonl(root / "runs" / "0001" / "events.jsonl"))
    last = [event for event in events if event["event"] == "teaching"][-1]
    assert last["requests"] == teacher.stats()["requests"] - 1  # the probe for JSON by schema
    assert last["tokens"] > 0
    value = document(labtune("generate", "--json", cwd=root))
    assert set(value["funnel"]) == {"knowledge/lamps/heron", "knowledge/lamps/lark"}


def test_a_judge_of_its_own_judges_and_nothing_else(tmp_path: Path, teacher: TeacherProcess) -> None:
    with teacher_process(TeacherConfig(model="judge-model", keep=True)) as judge:
        values = json.loads(settings(teacher.url, rounds=1))
        values["judge"] = {"endpoint": judge.url, "model": "judge-model"}
        root = write_lab(tmp_path, 1, json.dumps(values))
        generate(root)
        probe = "Say hello"
        judged = [b["messages"][-1]["content"] for b in judge.requests()]
        written = [b["messages"][-1]["content"] for b in teacher.requests()]
    assert all("weakest point" in text for text in judged if not text.startswith(probe))
    assert all("Write " in text for text in written if not text.startswith(probe))
    assert len(judged) > len(written) > 1
    assert {row["lineage"]["judge"] for row in taught(root)} == {"judge-model"}
