"""Bytes to an endpoint and back: one HTTP session, verified TLS, proxies, the key from the environment."""

from __future__ import annotations

import os
import socket
import ssl
import urllib.request
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import NamedTuple
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from labtune import __version__
from labtune.config.endpoint import EndpointConfig
from labtune.errors import ConfigError, EndpointError

CONNECT_SECONDS = 15.0
FACTS_SECONDS = 20.0
"""Seconds for a question about the endpoint itself."""


class HttpReply(NamedTuple):
    """Status, headers and body of a reply."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpStream(NamedTuple):
    """Status and headers of a reply, and its body as it comes; iterating over `body` yields its lines."""

    status: int
    headers: Mapping[str, str]
    body: aiohttp.StreamReader


class Interrupted(Exception):
    """No whole reply came, though the endpoint may be well: asking again may help."""


class TimedOut(Interrupted):
    """No reply came in time."""


class Overloaded(Interrupted):
    """The server is there but not ready: it loads its model, or has too much to do."""


class Unreachable(Interrupted):
    """No connection could be made. `fatal` = trying again cannot help; `error` is what to tell people."""

    def __init__(self, error: EndpointError, *, fatal: bool) -> None:
        super().__init__(error.message)
        self.error = error
        self.fatal = fatal


class Transport:
    """An HTTP session with one endpoint; an async context manager. It opens with the first request."""

    def __init__(self, config: EndpointConfig) -> None:
        self.base = config.endpoint
        self.secret: str | None = None
        self._config = config
        self._proxy: str | None = None
        self._urls: dict[str, URL] = {}
        self._timeouts: dict[float, aiohttp.ClientTimeout] = {}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Transport:
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def post(self, path: str, body: bytes) -> HttpReply:
        """Send `body` to `base + path`.

        Raises:
            Interrupted: no whole reply came.
            ConfigError: the variable of `api_key_env` is empty, or `ca_file` or the proxy is unusable.
        """
        return await self._request("POST", self.base + path, body, self._config.timeout_s)

    async def get(self, url: str, body: bytes | None = None) -> HttpReply:
        """Ask a URL of the same server for facts, with POST when there is a body. Raises as `post` does."""
        return await self._request("GET" if body is None else "POST", url, body, FACTS_SECONDS)

    def _open(self) -> aiohttp.ClientSession:
        config = self._config
        self.secret = read_key(config)
        self._proxy = _proxy_for(config.endpoint)
        headers = {
            "User-Agent": f"labtune/{__version__}",
            "Accept": "application/json",
            "Content-Type": "application/json",
        }
        if self.secret is not None:
            headers["Authorization"] = f"Bearer {self.secret}"
        secure = self.base.startswith("https") or (self._proxy or "").startswith("https")
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                # The limiter bounds the connections.
                limit=0,
                ssl=_tls_context(config.ca_file) if secure else True,
                ttl_dns_cache=300,
            ),
            headers=headers,
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    @asynccontextmanager
    async def stream(self, path: str, body: bytes) -> AsyncIterator[HttpStream]:
        """Send `body` to `base + path` and read the reply line by line while it is being written.

        Raises:
            Interrupted, ConfigError: as `post` does, also while lines are read.
        """
        if self._session is None:
            self._session = self._open()
        seconds = self._config.timeout_s
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=seconds)
        try:
            async with self._session.post(
                self.base + path, data=body, proxy=self._proxy, timeout=timeout, allow_redirects=False
            ) as reply:
                yield HttpStream(reply.status, reply.headers, reply.content)
        except (TimeoutError, aiohttp.ClientError) as error:
            raise self._interruption(error, seconds) from None

    async def _request(self, method: str, url: str, body: bytes | None, seconds: float) -> HttpReply:
        if self._session is None:
            self._session = self._open()
        target = self._urls.get(url) or self._urls.setdefault(url, URL(url))
        timeout = self._timeouts.get(seconds) or self._timeouts.setdefault(
            seconds, aiohttp.ClientTimeout(total=seconds, sock_connect=CONNECT_SECONDS)
        )
        try:
            async with self._session.request(
                method, target, data=body, proxy=self._proxy, timeout=timeout, allow_redirects=False
            ) as reply:
                return HttpReply(reply.status, reply.headers, await reply.read())
        except (TimeoutError, aiohttp.ClientError) as error:
            # The cause is left out: it holds the request's headers, and with them the key.
            raise self._interruption(error, seconds) from None

    def _interruption(self, error: TimeoutError | aiohttp.ClientError, seconds: float) -> Interrupted:
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            what = f"{self.base} cannot be reached: no connection in {CONNECT_SECONDS:g} s"
            hint = "check the network, proxy and firewall, and host and port of `endpoint`"
            return Unreachable(EndpointError(what, hint=hint), fatal=False)
        if isinstance(error, TimeoutError):
            return TimedOut(f"no reply in {seconds:g} s")
        return self._explained(error)

    def _explained(self, error: aiohttp.ClientError) -> Interrupted:
        found = self._unreachable(error)
        if found is not None:
            return found
        return Interrupted("the connection broke" if isinstance(error, OSError) else _short(error))

    def _unreachable(self, error: aiohttp.ClientError) -> Unreachable | None:
        where, host = self.base, urlsplit(self.base).hostname
        if isinstance(error, aiohttp.ClientHttpProxyError):
            what = f"the proxy refused the way to {where} with status {error.status}"
            mend = "check HTTPS_PROXY and its user and password, or add the host to NO_PROXY"
            return Unreachable(EndpointError(what, hint=mend), fatal=True)
        if isinstance(error, aiohttp.ClientProxyConnectionError):
            proxy = urlsplit(self._proxy or "")
            what = f"the proxy {proxy.hostname}:{proxy.port or 80} cannot be reached on the way to {where}"
            mend = "check HTTP_PROXY and HTTPS_PROXY, or add the host to NO_PROXY"
            return Unreachable(EndpointError(what, hint=mend), fatal=False)
        if isinstance(error, (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError)):
            return Unreachable(_tls_error(where, error), fatal=True)
        if isinstance(error, aiohttp.ClientConnectorDNSError):
            mend = "check the spelling of `endpoint` and the network"
            what = f"the name {host} of {where} cannot be resolved"
            return Unreachable(EndpointError(what, hint=mend), fatal=False)
        if isinstance(error, aiohttp.ClientConnectorError):
            return Unreachable(_connection_error(where, error), fatal=False)
        if isinstance(error, aiohttp.InvalidURL):
            what = f"{where} is not a usable URL"
            return Unreachable(EndpointError(what, hint="mend `endpoint`"), fatal=True)
        if isinstance(error, aiohttp.ClientResponseError):
            what = f"what answers at {where} does not speak HTTP"
            return Unreachable(
                EndpointError(what, hint="check port and http/https of `endpoint`"), fatal=False
            )
        return None


def read_key(config: EndpointConfig) -> str | None:
    """The API key, from the environment only; None when none is configured.

    Raises:
        ConfigError: the variable is unset or empty, or holds what no header can carry.
    """
    if config.api_key_env is None:
        return None
    value = os.environ.get(config.api_key_env, "").strip()
    if not value:
        raise ConfigError(
            f"the environment variable {config.api_key_env} with the key of {config.endpoint} is not set",
            hint=f"export {config.api_key_env}=...",
        )
    if not value.isascii() or not value.isprintable():
        raise ConfigError(f"the key in {config.api_key_env} holds characters that no HTTP header can carry")
    return value


def _proxy_for(url: str) -> str | None:
    # Read once, since aiohttp's own look-up for each request reads the whole environment and a file.
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host in {"localhost", "127.0.0.1", "::1"} or urllib.request.proxy_bypass(parts.netloc):
        return None
    proxies = urllib.request.getproxies()
    found = proxies.get(parts.scheme) or proxies.get("all")
    if found is None:
        return None
    found = found if "://" in found else f"http://{found}"
    if urlsplit(found).scheme not in {"http", "https"}:
        raise ConfigError(
            "the proxy that the environment names is not an HTTP proxy",
            hint="set HTTPS_PROXY to an http:// proxy, or add the endpoint's host to NO_PROXY",
        )
    return found


def _tls_context(ca_file: str | None) -> ssl.SSLContext:
    # The default context verifies certificate and host name and reads SSL_CERT_FILE and SSL_CERT_DIR.
    context = ssl.create_default_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(cafile=Path(ca_file).expanduser())
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"ca_file {ca_file} holds no certificates that can be read", hint="a PEM file is needed"
            ) from error
    return context


def _tls_error(where: str, error: aiohttp.ClientError) -> EndpointError:
    certificate = getattr(error, "certificate_error", None)
    if isinstance(certificate, ssl.SSLCertVerificationError):
        return EndpointError(
            f"the TLS certificate of {where} is not trusted: {certificate.verify_message}",
            hint="name your organisation's CA: ca_file: ca.pem, or export SSL_CERT_FILE=ca.pem",
        )
    return EndpointError(
        f"no TLS connection can be made with {where}",
        hint="is it a plain http:// server? then write http:// in `endpoint`",
    )


def _connection_error(where: str, error: aiohttp.ClientConnectorError) -> EndpointError:
    cause = error.os_error
    if isinstance(cause, ConnectionRefusedError):
        return EndpointError(
            f"nothing listens at {where}", hint="start the server, or mend host and port of `endpoint`"
        )
    if isinstance(cause, socket.gaierror):
        return EndpointError(
            f"the host of {where} cannot be resolved", hint="check the spelling of `endpoint`"
        )
    reason = cause.strerror or type(cause).__name__
    return EndpointError(
        f"{where} cannot be reached: {reason}", hint="check the network, proxy and `endpoint`"
    )


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
