"""A small hub on the loopback interface: folders served the way the hub library asks for them."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

MAIN, OLD = "a" * 40, "b" * 40
"""Commits that `main` and `v1` stand for."""


@dataclass
class LocalHub:
    """What is served and what was asked.

    Attributes:
        models: (id, commit) -> folder.
        gated: ids whose licence has to be accepted first.
        stop_after: bytes of large files after which the server falls silent; None = it does not.
        asked: every request as `METHOD path`.
        ranges: the Range header of each download of a large file.
    """

    address: str
    models: dict[tuple[str, str], Path] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    stop_after: int | None = None
    asked: list[str] = field(default_factory=list)
    ranges: list[str | None] = field(default_factory=list)
    silent: threading.Event = field(default_factory=threading.Event)
    closing: threading.Event = field(default_factory=threading.Event)


@contextmanager
def local_hub() -> Iterator[LocalHub]:
    """Serve until the end of the block."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    hub = LocalHub(f"http://127.0.0.1:{server.server_address[1]}")
    server.hub = hub  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


def commit_of(revision: str) -> str | None:
    return {"main": MAIN, "v1": OLD, MAIN: MAIN, OLD: OLD}.get(revision)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def hub(self) -> LocalHub:
        return self.server.hub  # type: ignore[attr-defined,no-any-return]

    def log_message(self, format: str, *args: Any) -> None:
        """The test's output stays clean."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = urlsplit(self.path).path
        self.hub.asked.append(f"{self.command} {path}")
        parts = path.strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            name = "/".join(parts[2:4])
            what, revision = parts[4:6] if len(parts) > 4 else ("revision", "main")
        else:
            name, what, revision = "/".join(parts[:2]), "resolve", parts[3]
        if name in self.hub.gated:
            self._refuse(403, "GatedRepo")
        elif not any(known == name for known, _ in self.hub.models):
            self._refuse(401, "RepoNotFound")
        elif (commit := commit_of(revision)) is None or (name, commit) not in self.hub.models:
            self._refuse(404, "RevisionNotFound")
        else:
            folder = self.hub.models[name, commit]
            if what == "resolve":
                self._send_file(folder / parts[4], commit)
            else:
                self._send_json(_info(name, commit, folder) if what == "revision" else _tree(folder))

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send_json(self, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _send_file(self, file: Path, commit: str) -> None:
        if not file.is_file():
            self._refuse(404, "EntryNotFound")
            return
        body = file.read_bytes()
        asked = self.headers.get("Range")
        start = int(asked.removeprefix("bytes=").partition("-")[0]) if asked else 0
        self.send_response(206 if asked else 200)
        self.send_header("X-Repo-Commit", commit)
        self.send_header("ETag", f'"{_etag(file)}"')
        self.send_header("X-Linked-Size", str(len(body)))
        self.send_header("Content-Length", str(len(body) - start))
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.end_headers()
        if self.command == "HEAD":
            return
        if file.suffix == ".safetensors":
            self.hub.ranges.append(asked)
            if self.hub.stop_after is not None:
                self.wfile.write(body[start : start + self.hub.stop_after])
                self.wfile.flush()
                self.hub.silent.set()
                self.hub.closing.wait(30)
                return
        self.wfile.write(body[start:])


def _etag(file: Path) -> str:
    body = file.read_bytes()
    return (
        hashlib.sha256(body).hexdigest() if file.suffix == ".safetensors" else hashlib.sha1(body).hexdigest()
    )


def _info(name: str, commit: str, folder: Path) -> dict[str, Any]:
    siblings = [{"rfilename": path.name, "size": path.stat().st_size} for path in sorted(folder.iterdir())]
    return {"id": name, "modelId": name, "sha": commit, "siblings": siblings, "tags": [], "private": False}


def _tree(folder: Path) -> list[dict[str, Any]]:
    return [
        {"type": "file", "path": path.name, "size": path.stat().st_size, "oid": _etag(path)}
        for path in sorted(folder.iterdir())
    ]
