"""Which engine serves what, and how each is started."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from labtune.errors import UserError
from labtune.serving.engines import ENGINES, Kind, Launch, choose_engine, vllm_command, vllm_environment
from labtune.serving.llama_server import slot_context
from labtune.serving.ports import claim_port, is_loopback, local_url
from labtune.serving.server import cause_in

LAUNCH = Launch("org/model", "tuned", "127.0.0.1", 8000)


@pytest.mark.parametrize(
    ("wanted", "kind", "cuda", "vllm", "chosen"),
    [
        ("auto", "gguf", True, True, "llama.cpp"),
        ("auto", "safetensors", False, True, "transformers"),
        ("auto", "safetensors", True, False, "transformers"),
        ("auto", "safetensors", True, True, "vllm"),
        ("auto", "hub", False, False, "vllm"),
        ("transformers", "safetensors", True, True, "transformers"),
        ("vllm", "safetensors", False, False, "vllm"),
    ],
)
def test_the_engine_fits_model_and_machine(
    wanted: str, kind: Kind, cuda: bool, vllm: bool, chosen: str
) -> None:
    assert choose_engine(wanted, kind, has_cuda=cuda, has_vllm=vllm).name == chosen


@pytest.mark.parametrize(
    ("wanted", "kind", "hint"),
    [
        ("ollama", "gguf", "engines: auto, transformers, llama.cpp, vllm"),
        ("llama.cpp", "safetensors", "labtune export --format gguf"),
        ("transformers", "gguf", "--engine llama.cpp"),
        ("vllm", "gguf", "--engine llama.cpp"),
    ],
)
def test_an_engine_that_cannot_serve_it_is_refused(wanted: str, kind: Kind, hint: str) -> None:
    with pytest.raises(UserError) as caught:
        choose_engine(wanted, kind, has_cuda=True, has_vllm=True)
    assert hint in (caught.value.hint or "")


def test_the_command_line_of_vllm_names_the_model_the_place_and_greedy_decoding() -> None:
    assert vllm_command(LAUNCH) == [
        "vllm",
        "serve",
        "org/model",
        "--host",
        "127.0.0.1",
        "--port",
        "8000",
        "--served-model-name",
        "tuned",
        "--override-generation-config",
        '{"temperature": 0.0, "top_p": 1.0, "top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}',
    ]
    more = Launch("m", "t", "::1", 1, context_tokens=4096, slots=32, extra=("--tensor-parallel-size", "2"))
    assert vllm_command(more)[-6:] == [
        "--max-model-len",
        "4096",
        "--max-num-seqs",
        "32",
        "--tensor-parallel-size",
        "2",
    ]


def test_a_key_never_stands_on_a_command_line(tmp_path: Path) -> None:
    launch = Launch(str(tmp_path), "t", "0.0.0.0", 1, key_env="SERVE_KEY")
    environment = {"SERVE_KEY": "very-secret"}
    for engine in ENGINES.values():
        assert "very-secret" not in " ".join(engine.command(launch))
    assert vllm_environment(launch, environment)["VLLM_API_KEY"] == "very-secret"
    assert vllm_environment(launch, environment)["HF_HUB_OFFLINE"] == "1"
    assert "HF_HUB_OFFLINE" not in vllm_environment(LAUNCH, {})


def test_a_launch_survives_the_command_line() -> None:
    launch = Launch("/m/学生", "学生", "::1", 1, "KEY", 512, 2, ("--a", "b c"))
    assert Launch.from_json(launch.to_json()) == launch


def test_a_slot_never_reads_more_than_the_model_was_trained_for() -> None:
    assert slot_context(LAUNCH, 1024) == 1024
    assert slot_context(LAUNCH, 131_072) == 8192
    assert slot_context(Launch("m", "n", "h", 1, context_tokens=16_384), 131_072) == 16_384
    assert slot_context(Launch("m", "n", "h", 1, context_tokens=16_384), 1024) == 1024


@pytest.mark.parametrize(
    ("host", "alone"),
    [
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("LOCALHOST", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.5", False),
        ("localhost.example.org", False),
        ("", False),
    ],
)
def test_only_this_machine_reaches_a_loopback_address(host: str, alone: bool) -> None:
    assert is_loopback(host) is alone


def test_a_server_on_all_addresses_is_reached_at_the_loopback_address() -> None:
    assert local_url("0.0.0.0", 80) == "http://127.0.0.1:80"
    assert local_url("::", 80) == "http://[::1]:80"
    assert local_url("192.168.1.5", 80) == "http://192.168.1.5:80"


def test_a_taken_port_is_one_sentence_and_0_finds_a_free_one() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port} of 127.0.0.1 is taken"):
            claim_port("127.0.0.1", port)
        assert claim_port("127.0.0.1", 0) not in {0, port}
    assert claim_port("127.0.0.1", port) == port


@pytest.mark.parametrize("host", ["203.0.113.7", "no such host"])
def test_an_address_of_another_machine_is_refused(host: str) -> None:
    with pytest.raises(UserError, match="no address of this machine"):
        claim_port(host, 0)


def test_the_cause_of_a_death_is_read_from_the_log() -> None:
    llama = ["0.00 E llama_model_load: error loading model: tensor 'x' is incomplete", "srv: exiting"]
    assert cause_in(llama) == "tensor 'x' is incomplete"
    python = ["Traceback (most recent call last):", '  File "x.py", line 1', "torch.OutOfMemoryError: CUDA"]
    assert cause_in(python) == "CUDA"
    assert cause_in(["all is well"]) == ""
