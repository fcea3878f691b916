"""The demo's student behind each engine that a CPU can run, asked by the official client and by labtune's."""

from __future__ import annotations

import http.client
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import openai
import pytest

from labtune.builtin import NANO
from labtune.config.endpoint import ANY_MODEL, EndpointConfig
from labtune.errors import EndpointError, ModelError
from labtune.export.gguf_file import convert, write_gguf
from labtune.export.number_formats import number_format
from labtune.models.endpoint.speaker import open_speaker
from labtune.models.hf import HfChatModel, load_tokenizer
from labtune.protocols import Sampling
from labtune.serving.engines import ENGINES, Launch
from labtune.serving.ports import claim_port
from labtune.serving.server import ServerProcess
from labtune.serving.session import ChatSession
from labtune.types import Message

KEY = "LABTUNE_TEST_SERVE_KEY"
SECRET = "a-test-key-of-no-worth"
FRANCE = [{"role": "user", "content": "What is the capital of France?"}]
QUESTIONS = (
    "What is the capital of France?",
    "How many days does a week have?",
    "What do bees make?",
    "法国的首都是哪里？",
    "Write <|end|> and <|user|> as they are.",
)
CHATS = (
    (Message("user", "Hello"),),
    (Message("system", "Be brief."), Message("user", "What do bees make?")),
    (Message("user", "你好"), Message("assistant", "你好！"), Message("user", "蜜蜂做什么？\n请说")),
)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Threads that wait for each other on cores which others use make a small model very slow."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    yield
    if before is None:
        del os.environ["OMP_NUM_THREADS"]
    else:
        os.environ["OMP_NUM_THREADS"] = before


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "nano.gguf"
    write_gguf(convert(NANO, load_tokenizer(NANO), name="nano", kind=number_format("bf16")), path)
    return path


@pytest.fixture(scope="module", params=["transformers", "llama.cpp"])
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    model = NANO if request.param == "transformers" else request.getfixturevalue("gguf")
    launch = Launch(str(model), "first-lab-0001", "127.0.0.1", claim_port("127.0.0.1", 0), key_env=KEY)
    os.environ[KEY] = SECRET
    try:
        log = tmp_path_factory.mktemp("serving") / "log"
        with ServerProcess.start(ENGINES[request.param], launch, log) as server:
            server.wait_ready()
            yield server
    finally:
        del os.environ[KEY]


@pytest.fixture
def client(served: ServerProcess) -> openai.OpenAI:
    return openai.OpenAI(base_url=served.url, api_key=SECRET, max_retries=0)


@pytest.fixture(scope="module")
def exam_model() -> HfChatModel:
    return HfChatModel.load(NANO, name="builtin:nano")


def test_the_served_model_answers_as_the_examined_one(client: openai.OpenAI, exam_model: HfChatModel) -> None:
    chats = [[Message("user", question)] for question in QUESTIONS[:4]]
    wanted = exam_model.complete(chats, Sampling(max_tokens=32))
    for question, reply in zip(QUESTIONS, wanted, strict=False):
        found = client.chat.completions.create(
            model="first-lab-0001", messages=[{"role": "user", "content": question}], max_tokens=32
        )
        assert found.choices[0].message.content == reply.text
        assert found.choices[0].finish_reason == ("stop" if reply.stopped else "length")
        assert found.usage is not None
        assert (found.usage.prompt_tokens, found.usage.completion_tokens) == (
            reply.n_prompt_tokens,
            reply.n_tokens,
        )


def test_a_stream_brings_the_same_answer_in_pieces(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model="first-lab-0001", messages=FRANCE, max_tokens=32)
    stream = client.chat.completions.create(
        model="first-lab-0001",
        messages=FRANCE,
        max_tokens=32,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    pieces = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    pieces = [piece for piece in pieces if piece]
    assert len(pieces) > 3
    assert "".join(pieces) == whole.choices[0].message.content
    assert [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason] == [
        "stop"
    ]
    assert chunks[-1].usage is not None and whole.usage is not None
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens


def test_the_one_model_is_listed(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["first-lab-0001"]


def test_stop_strings_and_the_bound_end_an_answer(client: openai.OpenAI) -> None:
    ask = client.chat.completions.create
    cut = ask(model="first-lab-0001", messages=FRANCE, max_tokens=32, stop=[" is", "Paris"])
    assert cut.choices[0].message.content == "The capital of France"
    assert cut.choices[0].finish_reason == "stop"
    short = ask(model="first-lab-0001", messages=FRANCE, max_tokens=3)
    assert short.choices[0].finish_reason == "length"
    streamed = ask(model="first-lab-0001", messages=FRANCE, max_tokens=32, stop=[" is"], stream=True)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in streamed if chunk.choices)
    assert text == "The capital of France"


def test_no_key_and_a_wrong_key_are_refused(served: ServerProcess) -> None:
    for key in ("wrong", SECRET + "x"):
        stranger = openai.OpenAI(base_url=served.url, api_key=key, max_retries=0)
        with pytest.raises(openai.AuthenticationError):
            stranger.chat.completions.create(model="first-lab-0001", messages=FRANCE, max_tokens=1)
    assert SECRET not in served.log.read_text(errors="replace")


def test_a_stream_that_is_left_early_does_not_keep_the_server(client: openai.OpenAI) -> None:
    for _ in range(6):
        stream = client.chat.completions.create(
            model="first-lab-0001", messages=FRANCE, max_tokens=400, temperature=2.0, stream=True
        )
        next(iter(stream))
        stream.close()
    found = client.chat.completions.create(model="first-lab-0001", messages=FRANCE, max_tokens=32)
    assert "Paris" in (found.choices[0].message.content or "")


def test_labtune_counts_tokens_exactly_and_streams_from_it(
    served: ServerProcess, client: openai.OpenAI, exam_model: HfChatModel
) -> None:
    config = EndpointConfig(endpoint=served.url, model=ANY_MODEL, api_key_env=KEY)
    with open_speaker(config) as speaker:
        assert (speaker.name, speaker.context_length) == ("first-lab-0001", 1024)
        assert speaker.counting != "estimate"
        for chat in CHATS:
            stream = speaker.stream(chat, Sampling(max_tokens=16))
            text = "".join(stream)
            assert speaker.count(chat) == stream.n_prompt_tokens == exam_model.count(chat)
            assert text == exam_model.complete([chat], Sampling(max_tokens=16))[0].text
        left = speaker.stream([Message("user", "Hello")], Sampling(max_tokens=200, temperature=2.0))
        next(left)
        left.close()
        assert list(left) == []
        with pytest.raises(ModelError, match="1024"):
            list(speaker.stream([Message("user", "word " * 2000)], Sampling(max_tokens=4)))
        session = ChatSession.with_model(speaker, reserve=100, system="Be brief.")
        session.turns += [Message("user", "w " * 150), Message("assistant", "w " * 150)] * 4
        prompt = session.ask("And now?")
        assert prompt.messages[0] == Message("system", "Be brief.")
        assert 0 < prompt.dropped < 8
        assert speaker.count(prompt.messages) <= 924


def test_a_key_that_is_wrong_is_one_sentence(served: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABTUNE_OTHER_KEY", "wrong")
    config = EndpointConfig(endpoint=served.url, model="first-lab-0001", api_key_env="LABTUNE_OTHER_KEY")
    with (
        pytest.raises(EndpointError, match="refuses the key in LABTUNE_OTHER_KEY"),
        open_speaker(config) as it,
    ):
        list(it.stream([Message("user", "Hello")], Sampling(max_tokens=1)))


def raw(
    served: ServerProcess, method: str, path: str, body: bytes = b"", **headers: str
) -> tuple[int, bytes]:
    address = urlsplit(served.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
    connection.request(method, path, body, {name.replace("_", "-"): text for name, text in headers.items()})
    reply = connection.getresponse()
    found = reply.status, reply.read()
    connection.close()
    return found


def test_health_needs_no_key_and_nonsense_is_refused(served: ServerProcess) -> None:
    assert raw(served, "GET", "/health")[0] == 200
    bearer = f"Bearer {SECRET}"
    status, told = raw(served, "POST", "/v1/chat/completions", b"{", Authorization=bearer)
    assert status in {400, 500}
    assert b"error" in told


def test_a_port_that_was_taken_after_all_is_told(gguf: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        launch = Launch(str(gguf), "nano", "127.0.0.1", taken.getsockname()[1])
        started = ServerProcess.start(ENGINES["llama.cpp"], launch, tmp_path / "log")
        with started as server, pytest.raises(ModelError, match=r"llama\.cpp server of nano ended"):
            server.wait_ready()
