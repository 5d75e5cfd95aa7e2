"""The client side of the control socket: finds it, asks, and says in plain words why a proxy does not answer. Any thread."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

from dbproxy.config import load_optional_key
from dbproxy.config_options import DEFAULT_CONFIG
from dbproxy.errors import ConfigError, ControlRefusedError, DbproxyError
from dbproxy.ops.control_protocol import encode
from dbproxy.ops.control_server import user_name

DEFAULT_SOCKET = "dbproxy.sock"

CONNECT_TIMEOUT = 5.0
"""Seconds to connect and to send the request."""

MAX_LINE = 64 * 1024 * 1024
"""Bytes of a line of an answer: what is longer comes from no proxy."""


class NoProxyError(DbproxyError):
    """No proxy listens there, or it is not one that we may speak to; the message says where and why."""


class NoAnswerError(DbproxyError):
    """The proxy has accepted the connection and does not answer, or no longer."""


def find_socket(socket_path: str | None, config_path: str | None) -> str:
    """Return the path of the control socket: ``socket_path``, or what ``AdminSocket`` says in the configuration file, or in that of the
    working directory if there is one. A relative path in a file is looked for beside the file, and then in the working directory.

    Raises:
        NoProxyError: the file switches the control socket off, or nothing says where it is.
        ConfigError: the file was named and cannot be read, or its ``AdminSocket`` cannot be used.

    """
    if socket_path:
        return socket_path
    if config_path is None and not Path(DEFAULT_CONFIG).exists():
        if not Path(DEFAULT_SOCKET).exists():
            raise NoProxyError(
                f"neither {DEFAULT_CONFIG} nor {DEFAULT_SOCKET} is in the working directory {Path.cwd()}; "
                "--socket or --config says where the proxy is"
            )
        return DEFAULT_SOCKET
    file = Path(config_path or DEFAULT_CONFIG)
    try:
        path: str = load_optional_key(file, "AdminSocket")
    except ConfigError:
        if config_path is None:
            return DEFAULT_SOCKET
        raise
    if not path:
        raise NoProxyError(f"{file}: AdminSocket=off, so its proxy has no control socket")
    beside = file.parent / path
    return str(beside) if beside.exists() or not Path(path).exists() else path


def ask(path: str, request: Mapping[str, Any], silence: float) -> Generator[dict[str, Any], None, None]:
    """Send a request and yield the items of the answer as they come. ``silence``: seconds to wait for each.

    Raises:
        NoProxyError: nobody listens there, or it is not allowed to connect.
        ControlRefusedError: the command was not carried out.
        NoAnswerError: the proxy stopped answering, or what it says is no answer.

    """
    with _connect(path) as sock:
        with contextlib.suppress(OSError):  # it may have closed already, and said why
            sock.sendall(encode(request))
        sock.settimeout(silence)
        for line in _lines(sock, path, silence):
            try:
                answer = json.loads(line)
                if "item" in answer:
                    yield answer["item"]
                    continue
                if answer["ok"]:
                    return
                raise ControlRefusedError(str(answer["error"]))
            except (ValueError, KeyError, TypeError):
                raise NoAnswerError(f"{path}: what listens there is no control socket of a proxy") from None
    raise NoAnswerError(f"{path}: the proxy closed the connection before the end of its answer")


def _connect(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(CONNECT_TIMEOUT)
    try:
        _connect_in_time(sock, path)
    except PermissionError:
        sock.close()
        raise NoProxyError(f"{path}: permission denied: {_owner(path)}") from None
    except (FileNotFoundError, NotADirectoryError):
        sock.close()
        raise NoProxyError(f"no proxy listens at {path}: there is no such file") from None
    except ConnectionRefusedError:
        sock.close()
        raise NoProxyError(f"no proxy listens at {path}: the file was left by one that is gone") from None
    except OSError as error:
        sock.close()
        raise NoProxyError(f"{path}: {error.strerror or error}") from None
    return sock


def _connect_in_time(sock: socket.socket, path: str) -> None:
    deadline = time.monotonic() + CONNECT_TIMEOUT
    while True:
        try:
            return sock.connect(path)
        except BlockingIOError:  # others connect at the moment, more than the system lets wait
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _owner(path: str) -> str:
    try:
        owner = Path(path).stat().st_uid
    except OSError:
        return "the directory of the socket cannot be entered"
    return f"the proxy runs as user {user_name(owner)}, you are {user_name(os.geteuid())}"


def _lines(sock: socket.socket, path: str, silence: float) -> Iterator[bytes]:
    buffer = bytearray()
    while True:
        try:
            part = sock.recv(65536)
        except TimeoutError:
            raise NoAnswerError(f"{path}: the proxy has said nothing for {silence:g} s") from None
        except ConnectionResetError:
            part = b""
        if not part:
            return
        buffer += part
        *lines, rest = buffer.split(b"\n")
        if len(rest) > MAX_LINE:
            raise NoAnswerError(f"{path}: a line of more than {MAX_LINE} bytes")
        buffer = bytearray(rest)
        yield from map(bytes, lines)
