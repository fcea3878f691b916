"""Addresses to serve at: which hosts are this machine alone, which ports are free."""

from __future__ import annotations

import errno
import ipaddress
import socket

from labtune.errors import UserError

EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}
"""Hosts that stand for all interfaces, and where this machine reaches itself then."""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`; a name other than localhost is looked up nowhere."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def local_url(host: str, port: int) -> str:
    """Where this machine reaches a server that listens on `host`, without a path."""
    reached = EVERYWHERE.get(host, host)
    return f"http://[{reached}]:{port}" if ":" in reached else f"http://{reached}:{port}"


def claim_port(host: str, port: int) -> int:
    """The port itself when it is free, or a free one for 0.

    Raises:
        UserError: the port is taken or may not be used, or this machine has no such address.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM)[0]
    except (socket.gaierror, OverflowError) as error:
        raise UserError(f"{host}:{port} is no address of this machine", hint="--host 127.0.0.1") from error
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As servers do: a port whose last connections still linger is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            raise _explained(error, host, port) from error
        number: int = probe.getsockname()[1]
    return number


def _explained(error: OSError, host: str, port: int) -> UserError:
    if error.errno == errno.EADDRINUSE:
        return UserError(
            f"port {port} of {host} is taken by another process",
            hint="--port 0 takes a free one, or name another",
        )
    if error.errno in {errno.EACCES, errno.EPERM}:
        return UserError(f"port {port} may not be used", hint="ports from 1024 on need no special rights")
    return UserError(f"{host} is no address of this machine", hint="--host 127.0.0.1, or 0.0.0.0 for all")
