"""The chain of a sample and the use of a document, over runs that stages really made."""

from __future__ import annotations

import hashlib
import json

import pytest
from command_line import document, labtune
from small_lab import manual, write_lab, write_leaf

from labtune.artifact import read_jsonl
from labtune.errors import UserError
from labtune.workflow.lab import Lab
from labtune.workflow.run import run_lab
from labtune.workflow.trace import trace_document, trace_sample


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """A lab with two runs; the manual grew between them."""
    root = tmp_path_factory.mktemp("lab")
    lab = Lab.open(write_lab(root, 1, "generate: {phrasings: 4}\n"))
    run_lab(lab, until="mix")
    write_leaf(root, 0, "The lamp folds flat.")
    run_lab(lab, until="generate")
    return lab


def test_a_sample_is_told_from_leaf_to_training_set(lab: Lab) -> None:
    rows = list(read_jsonl(lab.runs_dir / "0001" / "generate" / "samples.jsonl"))
    row = next(
        row for row in rows if "dry cloth" in row["messages"][-1]["content"] and row["length"] == "long"
    )
    found = trace_sample(lab, row["id"][:10])
    assert found["sample"] == row
    assert found["leaf"]["source"]["file"].endswith("knowledge/lamps/heron/qna.yaml")
    assert found["document"]["uri"].endswith("manual.md")
    assert [quote["text"] for quote in found["quotes"]] == [
        "Clean the shade of the Heron Lamp with a dry cloth."
    ]
    assert found["chunk"]["heading"][-1] == "Care"
    first = next(run for run in found["runs"] if run["run"] == "0001")
    assert sum(first["phases"].values()) >= 1
    assert first["tuned"] is False


def test_a_removed_sample_says_why(lab: Lab) -> None:
    removed = list(read_jsonl(lab.runs_dir / "0001" / "mix" / "removed.jsonl"))
    samples = [row for row in removed if row["pool"] == "sample"]
    if not samples:
        pytest.skip("this mix removed nothing")
    found = trace_sample(lab, samples[0]["id"])
    assert {run["removed"] for run in found["runs"] if run["run"] == "0001"} == {samples[0]["reason"]}


def test_a_prefix_must_name_one_sample(lab: Lab) -> None:
    ids = [row["id"] for row in read_jsonl(lab.runs_dir / "latest" / "generate" / "samples.jsonl")]
    common = next(i[0] for i in ids if sum(other.startswith(i[0]) for other in ids) > 1)
    with pytest.raises(UserError, match="samples begin with") as caught:
        trace_sample(lab, common)
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("one of ")
    with pytest.raises(UserError, match="no run"):
        trace_sample(lab, "zzz")
    with pytest.raises(UserError, match="empty"):
        trace_sample(lab, " ")


def test_a_document_is_found_by_name_content_and_hash_with_all_that_came_from_it(lab: Lab) -> None:
    by_name = trace_document(lab, "manual.md")
    old = hashlib.sha256(manual(0).encode()).hexdigest()
    assert {entry["id"] for entry in by_name["documents"]} > {old}
    assert [run["run"] for run in by_name["runs"]] == ["0002", "0001"]
    by_hash = trace_document(lab, old)
    assert [run["run"] for run in by_hash["runs"]] == ["0001"]
    (use,) = by_hash["runs"]
    samples = list(read_jsonl(lab.runs_dir / "0001" / "generate" / "samples.jsonl"))
    cited = [row for row in samples if row["grounding"]]
    assert use["samples"] == len(cited) == len(by_hash["samples"])
    assert use["training_rows"] > 0
    elsewhere = lab.root / "moved.md"
    elsewhere.write_text(manual(0))
    assert trace_document(lab, str(elsewhere)) == by_hash
    with pytest.raises(UserError, match="no run"):
        trace_document(lab, "other.md")


def test_the_command_prints_the_chain_and_one_json_document(lab: Lab) -> None:
    row = next(read_jsonl(lab.runs_dir / "0001" / "generate" / "samples.jsonl"))
    shown = labtune("trace", row["id"], cwd=lab.root)
    assert shown.returncode == 0
    assert "knowledge/lamps/heron/qna.yaml" in shown.stdout
    assert "teacher     builtin" in shown.stdout
    value = document(labtune("trace", row["id"], "--json", cwd=lab.root))
    assert value["sample"]["id"] == row["id"]
    listed = labtune("trace", "--document", "manual.md", cwd=lab.root)
    assert "run 0001" in listed.stdout
    assert labtune("trace", cwd=lab.root).returncode == 2
    assert json.loads(labtune("trace", "zzz", "--json", cwd=lab.root).stdout)["error"]["kind"] == "UserError"
