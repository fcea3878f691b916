"""A teacher that labtune serves itself: started when it is needed, known by what it is, gone afterwards."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labtune.builtin import NANO
from labtune.config.endpoint import GgufConfig, VllmConfig
from labtune.errors import ConfigError, EndpointError, MissingDependencyError
from labtune.export.gguf_file import convert, write_gguf
from labtune.export.number_formats import number_format
from labtune.models.hf import load_tokenizer
from labtune.protocols import ChatRequest, Reply, Sampling
from labtune.serving.identity import model_hash
from labtune.types import Json, Message
from labtune.workflow.faculty import identity_of, local_model, open_faculty
from labtune.workflow.lab import Lab

QUESTION = "What is the capital of France?"


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "teacher.gguf"
    write_gguf(convert(NANO, load_tokenizer(NANO), name="nano", kind=number_format("bf16")), path)
    return path


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    yield


def lab_with(folder: Path, settings: str) -> Lab:
    (folder / "taxonomy").mkdir(exist_ok=True)
    (folder / "labtune.yaml").write_text(settings, encoding="utf-8")
    return Lab.open(folder)


@pytest.fixture
def lab(tmp_path: Path, gguf: Path) -> Lab:
    shutil.copy(gguf, tmp_path / "teacher.gguf")
    return lab_with(tmp_path, "teacher: {gguf: teacher.gguf, slots: 2}\n")


class Told:
    """The events of one opening."""

    def __init__(self) -> None:
        self.states: list[str] = []

    def __call__(self, event: str, fields: Any) -> None:
        if event == "server":
            self.states.append(str(fields["state"]))


def ask(lab: Lab, told: Told, *questions: str) -> list[Reply]:
    """Ask the lab's teacher, one question after the other, in a faculty of its own."""

    async def asking() -> list[Reply]:
        assert lab.config.lab.teacher != "builtin"
        async with open_faculty(lab, lab.config.lab.teacher, told) as faculty:
            return [
                await faculty.teacher.chat(ChatRequest((Message("user", question),), Sampling(max_tokens=24)))
                for question in questions
            ]

    return asyncio.run(asking())


def test_a_gguf_teacher_answers_is_journaled_and_needs_no_server_for_what_is_known(lab: Lab) -> None:
    told = Told()
    (reply,) = ask(lab, told, QUESTION)
    assert reply.text == "The capital of France is Paris."
    assert (reply.cost, reply.cached) == (0.0, False)
    assert told.states == ["starting", "ready", "stopped"]
    again = Told()
    (known,) = ask(lab, again, QUESTION)
    assert known.cached
    assert known.text == reply.text
    assert again.states == []


def test_the_identity_is_what_the_file_is_not_where_it_lies(lab: Lab, tmp_path: Path) -> None:
    teacher = lab.config.lab.teacher
    assert isinstance(teacher, GgufConfig)
    first = identity_of(lab, teacher)
    assert first == {"model": f"teacher@{model_hash(tmp_path / 'teacher.gguf')[:16]}", "extra_body": {}}
    other = tmp_path / "elsewhere"
    other.mkdir()
    shutil.copy(tmp_path / "teacher.gguf", other / "teacher.gguf")
    assert identity_of(lab, teacher.model_copy(update={"gguf": str(other / "teacher.gguf")})) == first
    with (tmp_path / "teacher.gguf").open("r+b") as stream:
        stream.seek(-1, os.SEEK_END)
        last = stream.read(1)
        stream.seek(-1, os.SEEK_END)
        stream.write(bytes([last[0] ^ 1]))
    assert identity_of(lab, teacher) != first


@pytest.mark.skipif(sys.platform != "linux", reason="the server is found through /proc")
def test_a_server_that_is_killed_in_mid_run_is_started_again(lab: Lab) -> None:
    told = Told()
    pids: list[int] = []

    async def asking() -> list[Reply]:
        assert isinstance(lab.config.lab.teacher, GgufConfig)
        async with open_faculty(lab, lab.config.lab.teacher, told) as faculty:
            first = await faculty.teacher.chat(request("What do bees make?"))
            pids.extend(servers())
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            second = await faculty.teacher.chat(request(QUESTION))
            return [first, second]

    def request(question: str) -> ChatRequest:
        return ChatRequest((Message("user", question),), Sampling(max_tokens=24))

    replies = asyncio.run(asking())
    assert len(pids) == 1
    assert replies[1].text == "The capital of France is Paris."
    assert told.states == ["starting", "ready", "starting", "ready", "stopped"]
    assert servers() == []


def servers() -> list[int]:
    """The llama.cpp servers below this process (its guards' children)."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            command = (entry / "cmdline").read_bytes()
            parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
            guard = Path(f"/proc/{parent}/stat").read_text().rpartition(")")[2].split()[1]
        except (OSError, IndexError):
            continue
        if b"labtune.serving.llama_server" in command and guard == str(os.getpid()):
            found.append(int(entry.name))
    return found


def test_a_teacher_whose_file_is_damaged_says_so_in_one_sentence(tmp_path: Path, gguf: Path) -> None:
    whole = gguf.read_bytes()
    (tmp_path / "teacher.gguf").write_bytes(whole[: len(whole) // 2])
    lab = lab_with(tmp_path, "teacher: {gguf: teacher.gguf}\n")
    with pytest.raises(EndpointError, match=r"ended with code 3: .*teacher.gguf is damaged or not honest"):
        ask(lab, Told(), QUESTION)


def test_a_teacher_without_its_file_or_engine_is_refused_before_anything_starts(tmp_path: Path) -> None:
    lab = lab_with(tmp_path, "teacher: {gguf: none.gguf}\n")
    with pytest.raises(ConfigError, match=r"there is no file .*none\.gguf"):
        ask(lab, Told(), QUESTION)
    lab = lab_with(tmp_path, "teacher: {vllm: org/model}\n")
    if shutil.which("vllm") is None:
        with pytest.raises(MissingDependencyError, match="no vllm command"):
            ask(lab, Told(), QUESTION)


def test_a_vllm_teacher_is_known_by_its_id_and_started_as_configured(tmp_path: Path) -> None:
    lab = lab_with(
        tmp_path,
        "teacher:\n  vllm: org/model\n  slots: 64\n  context_tokens: 8192\n"
        "  arguments: [--tensor-parallel-size, '2']\n"
        "judge: {gguf: judge.gguf}\n",
    )
    teacher = lab.config.lab.teacher
    assert isinstance(teacher, VllmConfig)
    model = local_model(lab, teacher)
    assert identity_of(lab, teacher)["model"] == "org/model"
    command = model.engine.command(model.launch(8123))
    assert command[:3] == ["vllm", "serve", "org/model"]
    assert command[-6:] == ["--max-model-len", "8192", "--max-num-seqs", "64", "--tensor-parallel-size", "2"]
    endpoint = model.endpoint("http://127.0.0.1:8123/v1", "EUR")
    assert (endpoint.model, endpoint.max_concurrency) == ("org/model", 64)
    assert endpoint.prices is not None
    assert (endpoint.prices.input, endpoint.prices.output, endpoint.prices.currency) == (0, 0, "EUR")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("teacher: {gguf: a.gguf, slot: 2}", r"teacher\.slot: Extra inputs are not permitted"),
        ("teacher: {gguf: a.gguf, slots: 0}", r"teacher\.slots: Input should be greater"),
        ("teacher: {vllm: ''}", r"teacher\.vllm: String should have at least 1 character"),
        ("teacher: {endpoint: 'http://x/v1'}", r"teacher\.model: Field required"),
        ("teacher: nobody", r"teacher: Input should be 'builtin'"),
        ("judge: {gguf: 3}", r"judge\.gguf: Input should be a valid string"),
    ],
)
def test_a_wrong_setting_of_a_model_is_named_with_its_place(
    tmp_path: Path, settings: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        lab_with(tmp_path, settings + "\n")


def test_hashes_are_remembered_until_a_file_changes(tmp_path: Path) -> None:
    model, cache = tmp_path / "m.gguf", tmp_path / "cache"
    model.write_bytes(b"one")
    first = model_hash(model, cache)
    assert first == model_hash(model) == model_hash(model, cache)
    model.write_bytes(b"two!")
    assert model_hash(model, cache) == model_hash(model) != first
    (cache / "hashes.json").write_text("{")
    assert model_hash(model, cache) == model_hash(model)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    whole: list[Json] = [model_hash(folder, cache)]
    (folder / "README.md").write_text("no part of the model")
    whole.append(model_hash(folder, cache))
    (folder / "tokenizer.json").write_text("{}")
    assert whole[0] == whole[1] != model_hash(folder, cache)
