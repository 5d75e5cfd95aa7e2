"""For tests of the control socket: dbproxy-ctl as a process, and the socket itself."""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import dbproxy
from dbproxy.testing import ProxyProcess
from dbproxy.testing.waiting import poll

SOCKET = "dbproxy.sock"


class Finished(NamedTuple):
    """What a command has left behind."""

    code: int
    out: str
    err: str


def command(*arguments: str) -> list[str]:
    """Return the command line of dbproxy-ctl."""
    return [sys.executable, "-m", "dbproxy.ops.ctl", *arguments]


def environment() -> dict[str, str]:
    """Return an environment in which dbproxy-ctl is found from any directory."""
    return {**os.environ, "PYTHONPATH": str(Path(dbproxy.__file__).parents[1]), "PYTHONUNBUFFERED": "1"}


def ctl(directory: Path, *arguments: str, prefix: Sequence[str] = ()) -> Finished:
    """Run dbproxy-ctl in a directory and wait for its end."""
    done = subprocess.run(
        [*prefix, *command(*arguments)], cwd=directory, env=environment(), capture_output=True, text=True, timeout=60, check=False
    )
    return Finished(done.returncode, done.stdout, done.stderr)


def connect(proxy: ProxyProcess, timeout: float = 20) -> socket.socket:
    """Return a connection to the control socket of a proxy."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(timeout)
    poll(lambda: sock.connect_ex(str(proxy.directory / SOCKET)), lambda error: error != errno.EAGAIN, timeout)
    assert sock.getpeername()
    return sock


def answer_of(sock: socket.socket) -> list[dict[str, Any]]:
    """Read every line until the proxy closes."""
    received = b""
    try:
        while part := sock.recv(65536):
            received += part
    except ConnectionResetError:
        pass  # it closed with something of ours unread
    return [json.loads(line) for line in received.splitlines()]


def ask(proxy: ProxyProcess, request: bytes) -> list[dict[str, Any]]:
    """Send these bytes and return all lines of the answer."""
    with connect(proxy) as sock:
        sock.sendall(request)
        return answer_of(sock)
