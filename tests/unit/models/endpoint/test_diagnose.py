"""`labtune doctor --endpoint`: what it says about healthy and broken servers."""

import asyncio
import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from benchmarks.simulated_teacher import SimulatedTeacher, TeacherConfig
from endpoint_server import Server, completion, refusal, run, script

from labtune.config.endpoint import ANY_MODEL, EndpointConfig
from labtune.errors import ConfigError, EndpointError, ModelError
from labtune.models.endpoint.diagnose import Diagnosis, diagnose, is_exposed


async def lines(url: str, model: str = ANY_MODEL, cache: Path | None = None, **more: Any) -> list[Diagnosis]:
    return [line async for line in diagnose(EndpointConfig(endpoint=url, model=model, **more), cache)]


def failure(server: Server | None = None, url: str = "", **more: Any) -> ModelError:
    async def work() -> None:
        if server is None:
            await lines(url, **more)
        else:
            async with server:
                await lines(server.url, **more)

    with pytest.raises(EndpointError) as caught:
        run(work())
    assert "\n" not in caught.value.message
    assert caught.value.hint
    return caught.value


def test_a_healthy_endpoint_is_described_in_one_go() -> None:
    async def work() -> list[Diagnosis]:
        async with SimulatedTeacher(TeacherConfig(latency_ms=2)) as teacher:
            return await lines(teacher.url)

    found = {line.name: line for line in run(work())}
    assert list(found) == ["reachable", "model", "context", "json", "throughput", "price"]
    assert found["model"].found == "simulated-teacher"
    assert found["context"].found == "32,768 tokens, says the model list"
    assert found["json"].found == "keeps to a JSON schema"
    assert "tokens/s with 8 in parallel" in found["throughput"].found
    assert found["price"].state == "warn" and "unknown" in found["price"].found
    assert "took 10 requests" in found["price"].found


def test_an_endpoint_without_json_formats_is_told_so() -> None:
    async def work(json_schema: str) -> Diagnosis:
        async with SimulatedTeacher(TeacherConfig(json_schema=json_schema)) as teacher:
            return {line.name: line for line in await lines(teacher.url)}["json"]

    found = run(work("reject"))
    assert (found.state, found.found.startswith("keeps to no JSON format")) == ("warn", True)


def test_several_models_must_be_chosen_from() -> None:
    async def work() -> list[Diagnosis]:
        async with Server() as server:
            server.models = [{"id": "a"}, {"id": "b"}]
            return await lines(server.url)

    last = run(work())[-1]
    assert (last.name, last.found, last.mend) == ("model", "a, b", "name one: --model NAME")


def test_a_misspelt_model_is_answered_with_the_nearest() -> None:
    server = Server(script(lambda: refusal(404)))
    server.models = [{"id": "granite-4.0-micro"}, {"id": "b"}]
    error = failure(server, model="granit-micro")
    assert "serves no model 'granit-micro'" in error.message
    assert error.hint == "did you mean 'granite-4.0-micro'?"


def test_ollamas_short_context_is_a_warning() -> None:
    async def work() -> Diagnosis:
        server = Server(script(completion), entry={"owned_by": "library"})
        server.pages = {"/api/show": {"model_info": {"llama.context_length": 131072}}}
        async with server:
            return {line.name: line for line in await lines(server.url)}["context"]

    found = run(work())
    assert (found.state, "4,096 tokens" in found.found, "OLLAMA_CONTEXT_LENGTH" in found.mend) == (
        "warn",
        True,
        True,
    )


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_servers_that_cannot_be_used_are_one_sentence_and_a_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "nothing listens at" in failure(url=f"http://127.0.0.1:{closed_port()}/v1").message
    assert "cannot be resolved" in failure(url="http://teacher.invalid/v1").message
    page = Server()
    page.pages = {"/v1/models": web.Response(text="<html>", content_type="text/html")}
    assert "web page" in failure(page).message
    empty = Server()
    empty.models = []
    assert "lists no models" in failure(empty).message
    loading = Server()
    loading.pages = {"/v1/models": refusal(503, "Loading model")}
    assert "is not ready (status 503: Loading model)" in failure(loading).message
    locked = Server()
    locked.pages = {"/v1/models": web.Response(status=401)}
    assert "wants an API key (status 401)" in failure(locked).message
    monkeypatch.setenv("WRONG_KEY", "x" * 20)
    again = Server()
    again.pages = {"/v1/models": web.Response(status=401)}
    assert "refuses the key in WRONG_KEY" in failure(again, api_key_env="WRONG_KEY").message
    monkeypatch.setenv("http_proxy", f"http://user:hidden-password@127.0.0.1:{closed_port()}")
    error = failure(url="http://teacher.invalid/v1")
    assert "the proxy 127.0.0.1:" in error.message and "hidden" not in error.message
    monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:1")
    with pytest.raises(ConfigError, match="not an HTTP proxy"):
        run(lines("http://teacher.invalid/v1"))


@pytest.mark.parametrize(
    ("url", "exposed"),
    [
        ("http://api.example.com/v1", True),
        ("https://api.example.com/v1", False),
        ("http://localhost:8000/v1", False),
        ("http://gpu-box:8000/v1", False),
        ("http://10.0.0.7:8000/v1", False),
        ("http://8.8.8.8/v1", True),
    ],
)
def test_a_key_over_plain_http_is_noticed_outside_private_networks(url: str, exposed: bool) -> None:
    assert is_exposed(url) is exposed


def test_plain_http_where_tls_is_expected_is_told() -> None:
    async def work() -> None:
        async with Server() as server:
            await lines(server.url.replace("http://", "https://"))

    with pytest.raises(EndpointError) as caught:
        run(work())
    assert "no TLS connection" in caught.value.message
    assert "http://" in (caught.value.hint or "")


def certificate(folder: Path) -> tuple[Path, Path]:
    key, cert = folder / "key.pem", folder / "cert.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(command, check=True, capture_output=True)
    return key, cert


def test_certificates_are_verified_and_an_own_authority_is_honoured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil
    import ssl

    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command to make a certificate")
    key, cert = certificate(tmp_path)

    async def attempt(**more: Any) -> list[Diagnosis]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)

        async def answer(request: web.BaseRequest) -> web.StreamResponse:
            if request.path.endswith("/models"):
                return web.json_response({"data": [{"id": "m"}]})
            return completion()

        runner = web.ServerRunner(web.Server(answer))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        try:
            return await lines(f"https://localhost:{runner.addresses[0][1]}/v1", **more)
        finally:
            await runner.cleanup()

    with pytest.raises(EndpointError, match="is not trusted") as caught:
        run(attempt())
    assert "ca_file" in (caught.value.hint or "")
    assert run(attempt(ca_file=str(cert)))[-1].name == "price"
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    assert run(attempt())[-1].name == "price"


def doctor(*arguments: str) -> tuple[int, dict[str, Any]]:
    command = [sys.executable, "-m", "labtune", "doctor", "--json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, json.loads(done.stdout)


def test_the_command_prints_one_document_and_ends_with_3_when_it_fails(tmp_path: Path) -> None:
    async def work() -> tuple[int, dict[str, Any]]:
        async with SimulatedTeacher(TeacherConfig()) as teacher:
            return await asyncio.to_thread(doctor, "--lab", str(tmp_path), "--endpoint", teacher.url)

    code, document = run(work())
    assert (code, document["healthy"]) == (0, True)
    assert [check["name"] for check in document["checks"]][-1] == "price"
    code, document = doctor("--lab", str(tmp_path), "--endpoint", f"http://127.0.0.1:{closed_port()}")
    assert (code, document["error"]["kind"], document["error"]["exit_code"]) == (3, "EndpointError", 3)
