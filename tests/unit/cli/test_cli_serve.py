"""`labtune serve` as people and scripts use it, and `labtune chat` with what it serves."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import openai
import pytest
from command_line import document, finish_stage, labtune

from labtune.builtin import NANO
from labtune.cli.main import run_command
from labtune.export.gguf_file import convert, write_gguf
from labtune.export.number_formats import number_format
from labtune.models.hf import load_tokenizer

FRANCE = "What is the capital of France?"
PARIS = "The capital of France is Paris."


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lab whose run 0001 has the demo's student as its tuned model, and the same as a GGUF file."""
    folder = tmp_path_factory.mktemp("served") / "first lab"
    (folder / "taxonomy").mkdir(parents=True)
    (folder / "labtune.yaml").write_text("student: builtin:nano\nchat: {turns: null}\n")
    trained = folder / "runs" / "0001" / "train"
    trained.mkdir(parents=True)
    (trained / "model").symlink_to(NANO)
    finish_stage(trained, "train")
    write_gguf(
        convert(NANO, load_tokenizer(NANO), name="nano", kind=number_format("bf16")), folder / "nano.gguf"
    )
    return folder


@contextmanager
def serving(folder: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, Any]]]:
    """`labtune serve --json` in a process of its own, and the document that it prints when it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-m", "labtune", "serve", "--json", "--port", "0", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None and process.stderr is not None
    try:
        text = b""
        while not text.endswith(b"}\n"):
            line = process.stdout.readline()
            assert line, process.stderr.read().decode()
            text += line
        yield process, json.loads(text)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def is_taken(url: str) -> bool:
    port = int(url.rsplit(":", 1)[1].partition("/")[0])
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def until(what: Callable[[], bool], seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


Chat = Callable[..., "CompletedProcess[str]"]


@pytest.fixture
def chat(lab: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Chat:
    """`labtune chat` in this process."""

    def talk(*arguments: str, folder: Path = lab, stdin: str = "") -> CompletedProcess[str]:
        monkeypatch.chdir(folder)
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        capsys.readouterr()
        code = run_command(["chat", "--max-tokens", "24", *arguments])
        out, err = capsys.readouterr()
        return CompletedProcess(arguments, code, out, err)

    return talk


def test_the_newest_run_is_served_until_it_is_interrupted(lab: Path, chat: Chat) -> None:
    with serving(lab) as (process, told):
        assert (told["command"], told["model"], told["run"]) == ("serve", "first-lab-0001", "0001")
        assert (told["live"], told["engine"]) == ("builtin:nano tuned in run 0001", "transformers")
        client = openai.OpenAI(base_url=told["url"], api_key="none", max_retries=0)
        found = client.chat.completions.create(
            model="first-lab-0001", messages=[{"role": "user", "content": FRANCE}], max_tokens=24
        )
        assert found.choices[0].message.content == PARIS
        live = f"builtin:nano tuned in run 0001, served by transformers at {told['url']}"
        for name in ("served", told["url"]):
            value = document(chat(name, "-q", FRANCE, "--json"))
            assert (value["model"], value["run"], value["answer"]) == (live, "0001", PARIS)
        value = document(chat("--endpoint", told["url"], "--json", stdin=f"{FRANCE}\n/model base\n/model\n"))
        assert value["turns"] == [{"question": FRANCE, "answer": PARIS}]
        assert (value["model"], value["run"]) == ("builtin:nano (untuned)", None)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert process.stderr is not None
        assert process.stderr.read() == b"stopped.\n"
        assert not is_taken(told["url"])
    assert list((lab / ".labtune" / "servers").glob("*.json")) == []
    gone = chat("served", "-q", FRANCE)
    assert (gone.returncode, gone.stderr) == (
        2,
        "error: no model of this lab is being served\nhint:  labtune serve\n",
    )


def test_a_gguf_file_is_served_and_sigterm_ends_it(lab: Path) -> None:
    with serving(lab, "nano.gguf") as (process, told):
        assert (told["model"], told["run"], told["engine"]) == ("nano", None, "llama.cpp")
        client = openai.OpenAI(base_url=told["url"], api_key="none", max_retries=0)
        assert [model.id for model in client.models.list()] == ["nano"]
        process.terminate()
        assert process.wait(30) == 143
        assert not is_taken(told["url"])


def test_kill_9_of_labtune_ends_the_server(lab: Path) -> None:
    with serving(lab, "nano.gguf") as (process, told):
        assert is_taken(told["url"])
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert until(lambda: not is_taken(told["url"]))


@pytest.mark.skipif(sys.platform != "linux", reason="the server is found through /proc")
def test_a_server_that_dies_later_is_told_with_exit_code_3(lab: Path) -> None:
    with serving(lab, "nano.gguf") as (process, told):
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        (server,) = Path(f"/proc/{children[0]}/task/{children[0]}/children").read_text().split()
        os.kill(int(server), signal.SIGKILL)
        assert process.wait(30) == 3
        assert process.stderr is not None and process.stdout is not None
        assert b"the llama.cpp server of nano ended by signal 9" in process.stderr.read()
        assert process.stdout.read() == b""
        assert not is_taken(told["url"])


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--host", "0.0.0.0"), 2, "others could use the model"),
        (("--host", "0.0.0.0", "--api-key-env", "NO_SUCH_VARIABLE_HERE"), 2, "is empty or holds"),
        (("--api-key-env", "sk-1234567890abcdef"), 2, "takes the NAME of an environment variable"),
        (("--engine", "ollama"), 2, "there is no engine 'ollama'"),
        (("--engine", "llama.cpp"), 2, "the engine llama.cpp cannot serve a folder of safetensors"),
        (("0007",), 2, "there is no run '0007'"),
        (("taxonomy",), 3, "holds no model that can be served"),
        (("labtune.yaml",), 3, "is no model that can be served"),
        (("no/such/place",), 2, "neither a run of this lab nor a file or folder"),
        (("broken.gguf",), 3, "broken.gguf is damaged or not honest"),
        (("text.gguf",), 3, "text.gguf is not a GGUF file"),
    ],
)
def test_what_cannot_be_served_is_one_sentence(
    lab: Path, arguments: tuple[str, ...], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (lab / "broken.gguf").write_bytes((lab / "nano.gguf").read_bytes()[:100_000])
    (lab / "text.gguf").write_text("no model at all")
    before = Path.cwd()
    os.chdir(lab)
    try:
        assert run_command(["serve", "--port", "0", *arguments]) == code
    finally:
        os.chdir(before)
    told = capsys.readouterr().err
    assert message in told
    assert told.startswith("error: ")
    assert "Traceback" not in told


def test_a_taken_port_is_the_users_to_choose_again(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert run_command(["serve", str(lab / "nano.gguf"), "--port", str(port)]) == 2
    assert capsys.readouterr().err == (
        f"error: port {port} of 127.0.0.1 is taken by another process\n"
        "hint:  --port 0 takes a free one, or name another\n"
    )


def test_outside_of_a_lab_a_path_is_needed(tmp_path: Path) -> None:
    result = labtune("serve", cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.startswith(f"error: there is no labtune.yaml in {tmp_path} or above it\nhint:  ")


def test_chat_with_a_gguf_file_has_a_server_of_its_own(lab: Path, chat: Chat) -> None:
    value = document(chat("nano.gguf", "--json", stdin=f"{FRANCE}\n"))
    assert (value["model"], value["run"]) == (str(lab / "nano.gguf"), None)
    assert value["turns"] == [{"question": FRANCE, "answer": PARIS}]
    assert list((lab / ".labtune" / "servers").glob("*.json")) == []


def test_a_conversation_by_name_goes_on_in_another_process(lab: Path, chat: Chat) -> None:
    first = chat("--session", "monday", "--system", "Be brief.", stdin=f"{FRANCE}\n/quit\n")
    assert (first.returncode, first.stderr) == (0, "")
    kept = json.loads((lab / "chats" / "monday.json").read_text(encoding="utf-8"))
    assert (kept["schema"], kept["system"]) == (1, "Be brief.")
    assert [message["content"] for message in kept["messages"]] == [FRANCE, first.stdout.strip()]
    assert kept["model"] == "builtin:nano tuned in run 0001"
    value = document(chat("--session", "monday", "--json", "--base", "-q", "你好"))
    assert value["session"] == "monday"
    again = json.loads((lab / "chats" / "monday.json").read_text(encoding="utf-8"))
    assert [message["role"] for message in again["messages"]] == ["user", "assistant"] * 2
    assert again["messages"][2]["content"] == "你好"
    assert again["model"] == "builtin:nano (untuned)"
    shown = chat(stdin="/sessions\n/load monday\n/export all.json\n/load tuesday\n/save a/b\n")
    assert shown.stdout.startswith("kept conversations: monday\nmonday: 2 questions so far\n")
    assert "it was held with builtin:nano (untuned); now builtin:nano tuned in run 0001" in shown.stdout
    roles = [message["role"] for message in json.loads((lab / "all.json").read_text())["messages"]]
    assert roles == ["system", "user", "assistant", "user", "assistant"]
    assert shown.stderr.splitlines() == [
        "error: there is no conversation 'tuesday'",
        "hint:  kept: monday",
        "error: 'a/b' is no name for a conversation",
        "hint:  letters, digits, _, - and ., beginning with a letter or digit, at most 64",
    ]


def test_saving_never_takes_another_conversations_place(lab: Path, chat: Chat) -> None:
    chat(stdin="One?\n/save mine\nTwo?\n")
    path = lab / "chats" / "mine.json"
    before = path.read_bytes()
    assert json.loads(before)["messages"][2]["content"] == "Two?"
    refused = chat(stdin="Three?\n/save mine\n")
    assert refused.stderr.startswith("error: there is a conversation 'mine' already\n")
    assert path.read_bytes() == before
    # A question that no answer was kept for (the process was killed) is told and taken off.
    value = json.loads(before)
    value["messages"].append({"role": "user", "content": "Lost?"})
    path.write_text(json.dumps(value))
    resumed = chat(stdin="/load mine\nFour?\n")
    assert "the last one was not answered: Lost?\n" in resumed.stdout
    contents = [message["content"] for message in json.loads(path.read_text())["messages"]]
    assert "Lost?" not in contents
    assert contents[4] == "Four?"
    path.write_text("{")
    broken = chat(stdin="/load mine\n")
    assert "holds no conversation that can be read" in broken.stderr


def test_base_and_tuned_answer_the_same_question_and_the_conversation_stays(
    lab: Path, chat: Chat, tmp_path: Path
) -> None:
    value = document(chat("-q", FRANCE, "--compare", "--json"))
    assert [answer["model"] for answer in value["answers"]] == [
        "builtin:nano (untuned)",
        "builtin:nano tuned in run 0001",
    ]
    assert [answer["answer"] for answer in value["answers"]] == [PARIS, PARIS]
    lines = f"/compare\n{FRANCE}\n/compare\n/compare What do bees make?\n/export kept.json\n"
    result = chat(stdin=lines)
    assert result.stderr == "error: nothing was asked yet\nhint:  /compare TEXT asks both models\n"
    both = f"builtin:nano (untuned):\n{PARIS}\nbuiltin:nano tuned in run 0001:\n{PARIS}\n"
    assert result.stdout.startswith(f"{PARIS}\n{both}builtin:nano (untuned):\n")
    assert len(json.loads((lab / "kept.json").read_text())["messages"]) == 2
    outside = chat(str(lab / "nano.gguf"), folder=tmp_path, stdin="/compare Who?\n")
    assert outside.stderr.startswith(f"error: there is no labtune.yaml in {tmp_path} or above it")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("0001", "--base"), "0001 and base are two models"),
        (("--compare",), "--compare goes with -q"),
        (("--endpoint", "http://127.0.0.1:9/v1"), "nothing listens at http://127.0.0.1:9/v1"),
        (("--endpoint", "ftp://x"), "--endpoint: a base URL begins with http"),
        (("--endpoint", "http://127.0.0.1:9", "--key-env", "sk-xxxx"), "--key-env: api_key_env is the NAME"),
    ],
)
def test_mistakes_are_one_sentence(chat: Chat, arguments: tuple[str, ...], message: str) -> None:
    result = chat(*arguments)
    assert result.returncode in {2, 3}
    assert message in result.stderr
    assert "Traceback" not in result.stderr
