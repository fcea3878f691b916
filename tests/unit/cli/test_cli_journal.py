"""`labtune journal` on a journal that was really filled."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest
from command_line import document, labtune

from labtune.errors import RequestError
from labtune.models.journal import Journal, JournaledModel
from labtune.models.journal_file import JOURNAL_FILE
from labtune.protocols import ChatRequest, Reply, Sampling
from labtune.types import Message


class Teacher:
    name = "small-teacher"

    async def chat(self, request: ChatRequest) -> Reply:
        text = request.messages[-1].content
        if "weapon" in text:
            raise RequestError("the teacher refused to answer")
        return Reply(f"Answer to {text}\x1b[31m", True, 100, 20, finish="stop", cost=0.5, latency_s=0.25)


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """A lab with two replies of today, one of 40 days ago, and one failure."""
    (tmp_path / "labtune.yaml").write_text("taxonomy: taxonomy\n")
    for age, texts in ((40, ["an old question"]), (0, ["herons?", "鹭吃什么？", "a weapon"])):
        with Journal(
            tmp_path / ".labtune" / JOURNAL_FILE, clock=lambda age=age: time.time() - age * 86_400
        ) as journal:
            asyncio.run(ask(JournaledModel(Teacher(), journal), texts))
    return tmp_path


async def ask(model: JournaledModel, texts: list[str]) -> None:
    requests = [ChatRequest((Message("user", text),), Sampling()) for text in texts]
    await asyncio.gather(*map(model.chat, requests), return_exceptions=True)


def exported(lab: Path) -> list[dict[str, object]]:
    result = labtune("journal", "export", "--lab", str(lab))
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_stats_count_by_model(lab: Path) -> None:
    (model,) = document(labtune("journal", "stats", "--json", "--lab", str(lab)))["models"]
    assert (model["model"], model["replies"], model["failures"]) == ("small-teacher", 3, 1)
    assert (model["prompt_tokens"], model["tokens"], model["cost"]) == (300, 60, 1.5)
    told = labtune("journal", "stats", cwd=lab).stdout
    assert "small-teacher" in told and "1.50 USD" in told and "KiB" in told


def test_show_by_prefix(lab: Path) -> None:
    row = next(row for row in exported(lab) if row["reply"] and "鹭" in str(row["reply"]))
    key = str(row["key"])
    told = labtune("journal", "show", key[:12], "--lab", str(lab)).stdout
    assert "--- user\n鹭吃什么？" in told and "--- reply\nAnswer to" in told and "\x1b" not in told
    assert document(labtune("journal", "show", key, "--json", "--lab", str(lab)))["entries"] == [row]
    missing = labtune("journal", "show", "0" * 32, "--lab", str(lab))
    assert missing.returncode == 2 and "no reply whose key begins with" in missing.stderr
    assert labtune("journal", "show", "xyz", "--lab", str(lab)).returncode == 2


def test_export_to_a_file(lab: Path, tmp_path: Path) -> None:
    result = labtune("journal", "export", str(tmp_path / "out.jsonl"), "--lab", str(lab))
    assert "wrote 4 replies" in result.stderr
    lines = (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == exported(lab)
    told = document(labtune("journal", "export", str(tmp_path / "out.jsonl"), "--json", "--lab", str(lab)))
    assert (told["path"], told["replies"]) == (str(tmp_path / "out.jsonl"), 4)
    assert labtune("journal", "export", "--json", "--lab", str(lab)).returncode == 2
    assert labtune("journal", "export", "--model", "none", "--lab", str(lab)).stdout == ""


def test_prune_counts_first_and_then_does_it(lab: Path) -> None:
    arguments = ("journal", "prune", "--older-than", "30d", "--lab", str(lab))
    assert document(labtune(*arguments, "--dry-run", "--json"))["removed"] == 1
    assert len(exported(lab)) == 4
    pruned = document(labtune(*arguments, "--json"))
    assert (pruned["removed"], pruned["left"], pruned["dry_run"]) == (1, 3, False)
    assert pruned["bytes_after"] <= pruned["bytes_before"]
    assert "forgot 1 replies, 2 left" in labtune("journal", "prune", "--failed", "--lab", str(lab)).stdout
    assert labtune("journal", "prune", "--lab", str(lab)).returncode == 2
    assert "is no age" in labtune("journal", "prune", "--older-than", "soon", "--lab", str(lab)).stderr


def test_a_lab_without_a_journal(tmp_path: Path) -> None:
    (tmp_path / "labtune.yaml").write_text("taxonomy: taxonomy\n")
    result = labtune("journal", "stats", "--lab", str(tmp_path))
    assert result.returncode == 0 and "no reply yet" in result.stdout
    assert document(labtune("journal", "stats", "--json", "--lab", str(tmp_path)))["models"] == []
    assert labtune("journal", "export", "--lab", str(tmp_path)).returncode == 2
    assert not (tmp_path / ".labtune").exists()


def test_a_damaged_journal_is_one_sentence(lab: Path) -> None:
    (lab / ".labtune" / JOURNAL_FILE).write_bytes(b"nonsense" * 2000)
    result = labtune("journal", "stats", "--lab", str(lab))
    assert result.returncode == 2
    assert "is damaged" in result.stderr and "Traceback" not in result.stderr
