"""`labtune chat` with a real (tiny, untrained) model: what it says is noise, how it behaves is not."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from command_line import document, finish_stage, labtune

from labtune.cli.main import run_command

sys.path.insert(0, str(Path(__file__).parents[1]))
from tiny_model import make_tiny_student


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lab whose student is tiny, with one run that has a (differently) tuned model."""
    folder = tmp_path_factory.mktemp("lab")
    make_tiny_student(folder / "student", seed=1)
    (folder / "taxonomy").mkdir()
    (folder / "labtune.yaml").write_text(f"student: {folder / 'student'}\n")
    trained = folder / "runs" / "0001" / "train"
    make_tiny_student(trained / "model", seed=2)
    finish_stage(trained, "train")
    return folder


Chat = Callable[..., "CompletedProcess[str]"]


@pytest.fixture
def chat(lab: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Chat:
    """`labtune chat` in this process, which has torch loaded already."""

    def talk(*arguments: str, folder: Path = lab, stdin: str = "") -> CompletedProcess[str]:
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        capsys.readouterr()
        code = run_command(["chat", "--max-tokens", "6", *arguments])
        out, err = capsys.readouterr()
        return CompletedProcess(arguments, code, out, err)

    return talk


def test_one_question_prints_the_answer_and_nothing_else(lab: Path, chat: Chat) -> None:
    alone = labtune("chat", "-q", "What colour is the sky?", "--max-tokens", "6", cwd=lab)
    assert (alone.returncode, alone.stderr) == (0, "")
    assert alone.stdout == document(chat("-q", "What colour is the sky?", "--json"))["answer"] + "\n"


def test_one_question_as_json_names_model_and_run(lab: Path, chat: Chat) -> None:
    value = document(chat("-q", "Who?", "--json"))
    assert value["command"] == "chat"
    assert value["question"] == "Who?"
    assert value["model"] == f"{lab / 'student'} tuned in run 0001"
    assert value["run"] == "0001"
    base = document(chat("-q", "Who?", "--json", "--base"))
    assert base["model"] == f"{lab / 'student'} (untuned)"
    assert base["run"] is None
    assert base["answer"] != value["answer"]


def test_lines_from_a_pipe_are_a_conversation(lab: Path, chat: Chat) -> None:
    lines = "One?\n\nTwo \\\nand a half?\n/system be brief\n/export talk.json\n/model\n/quit\nnever asked\n"
    result = chat(stdin=lines)
    assert result.returncode == 0, result.stderr
    saved = json.loads((lab / "talk.json").read_text())["messages"]
    assert [message["role"] for message in saved] == ["system", "user", "assistant", "user", "assistant"]
    assert [message["content"] for message in saved if message["role"] != "assistant"] == [
        "be brief",
        "One?",
        "Two \nand a half?",
    ]
    assert result.stdout.endswith(f"wrote talk.json\n{lab / 'student'} tuned in run 0001\n")


def test_a_conversation_as_json_is_one_document(lab: Path, chat: Chat) -> None:
    value = document(chat("--json", stdin="One?\n/help\nTwo?\n"))
    assert [turn["question"] for turn in value["turns"]] == ["One?", "Two?"]
    assert all(isinstance(turn["answer"], str) for turn in value["turns"])


def test_mistakes_in_a_conversation_are_told_and_it_goes_on(lab: Path, chat: Chat) -> None:
    existing = lab / "labtune.yaml"
    lines = f"/nonsense\n/retry\n/export\n/export {existing}\n/model 0007\n{'long ' * 300}\nShort?\n/new\n"
    result = chat(stdin=lines)
    assert result.returncode == 0
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert errors[0] == "error: there is no command '/nonsense'"
    assert errors[1] == "error: nothing was asked yet"
    assert errors[2] == "error: /export wants a file"
    assert errors[3] == f"error: {existing} exists already"
    assert errors[4].startswith("error: there is no run '0007'")
    assert "(256 of context, 6 kept for the answer)" in errors[5]
    assert len(errors) == 6
    assert result.stdout.endswith("a new conversation\n")


def test_retry_asks_again_in_place_of_the_old_turn(lab: Path, chat: Chat) -> None:
    chat(stdin="One?\n/retry\n/export retried.json\n")
    saved = json.loads((lab / "retried.json").read_text())["messages"]
    assert [message["role"] for message in saved] == ["user", "assistant"]
    assert saved[0]["content"] == "One?"


def test_switching_to_the_base_answers_as_the_base_does(lab: Path, chat: Chat) -> None:
    base = chat("--base", "-q", "Where?").stdout
    result = chat(stdin="/model base\nWhere?\n")
    assert result.stdout == f"{lab / 'student'} (untuned)\n{base}"


def test_without_a_tuned_model_chat_says_what_to_type(lab: Path, chat: Chat, tmp_path: Path) -> None:
    shutil.copy(lab / "labtune.yaml", tmp_path)
    result = chat("-q", "Who?", folder=tmp_path)
    assert result.returncode == 2
    assert result.stderr == f"error: {tmp_path} has no tuned model yet\nhint:  labtune run\n"


def test_a_damaged_model_is_a_model_error(lab: Path, chat: Chat, tmp_path: Path) -> None:
    shutil.copytree(lab / "student", tmp_path / "broken")
    os.truncate(tmp_path / "broken" / "model.safetensors", 100)
    (tmp_path / "labtune.yaml").write_text("student: broken\n")
    result = chat("--base", "-q", "Who?", "--json", folder=tmp_path)
    assert result.returncode == 3
    assert document(result)["error"]["kind"] == "ModelError"
    assert "Traceback" not in result.stderr
