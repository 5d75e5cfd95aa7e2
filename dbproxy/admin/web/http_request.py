"""How requests are read: stricter than cheroot, so that a reverse proxy and the application cannot read the same bytes in two ways, and
bounded in bytes and time. The thread of the request.
"""

from __future__ import annotations

import io
import re
import socket
import time
from typing import Any, cast

from cheroot.makefile import StreamReader, StreamWriter
from cheroot.server import HTTPConnection, HTTPRequest

SOCKET_TIMEOUT = 10
"""Seconds without a byte after which a request is given up."""

PATIENCE = 20.0
"""Seconds in which a request has to arrive, and one more for each ``LEAST_RATE`` bytes that came: each occupies a thread meanwhile."""

LEAST_RATE = 16 << 10

MOST_DRAINED = 64 << 10
"""Bytes of a body that nobody has read which are read to keep the connection; with more, it is closed."""

_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NO_VALUE = re.compile(rb"[\0\r\n]")
_ONCE = frozenset({b"Content-Length", b"Content-Type", b"Host", b"Transfer-Encoding"})
_LISTS = frozenset({b"Accept", b"Accept-Language", b"Cache-Control", b"Connection", b"X-Forwarded-For", b"X-Forwarded-Proto"})
"""Those of which two mean one with both values; of others that come twice, the last one counts."""


def read_headers(rfile: io.BufferedIOBase, headers: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """Read the lines of headers to the empty line, into ``headers``: name, as ``Content-Length``, → value.

    Names with an underscore are left out: WSGI takes ``X_Forwarded_For`` for the header with hyphens that a proxy has checked.

    Raises:
        ValueError: a line is none of RFC 9112, or there are two of what there may be one.

    """
    while (line := rfile.readline()) != b"\r\n":
        name, colon, value = line[:-2].partition(b":")
        if not line.endswith(b"\r\n") or not colon or not _NAME.fullmatch(name) or _NO_VALUE.search(value):
            raise ValueError("A line is no header.")
        if b"_" in name:
            continue
        name, value = name.title(), value.strip(b" \t")
        if name in headers:
            if name in _ONCE:
                raise ValueError(f"There are two headers {name.decode()}.")
            if name in _LISTS:
                value = headers[name] + b", " + value
            elif name == b"Cookie":
                value = headers[name] + b"; " + value
        headers[name] = value
    if not headers.get(b"Content-Length", b"0").isdigit():
        raise ValueError("Content-Length is no number.")
    return headers


class AdminRequest(HTTPRequest):
    """A request whose body has a length that is known. Browsers send no other; of one in chunks, cheroot would read a whole chunk into
    memory, and what is left of it after an error would be taken for the next request.
    """

    header_reader = staticmethod(read_headers)

    def read_request_headers(self) -> bool:
        """Read the headers; False: they were refused, and the connection ends."""
        if not super().read_request_headers():  # type: ignore[no-untyped-call]
            return False
        if b"Transfer-Encoding" in cast("Any", self).inheaders:
            self.simple_response("413 Request Entity Too Large", "Bodies in chunks are not accepted.")
            return False
        return True

    def send_headers(self) -> None:
        """Send the headers of the response; cheroot would read whatever is left of the body into memory before."""
        if getattr(self.rfile, "remaining", 0) > MOST_DRAINED:
            self.close_connection = True
        super().send_headers()


class AdminConnection(HTTPConnection):
    """A connection whose requests have to arrive in time."""

    RequestHandlerClass = AdminRequest

    def __init__(self, server: Any, sock: socket.socket, _makefile: Any = None) -> None:  # noqa: ANN401 - as cheroot calls it
        super().__init__(server, sock, _file)

    def communicate(self) -> bool:
        """Answer one request; return whether a further one may follow."""
        self.rfile.raw.begin()
        try:
            return bool(super().communicate())  # type: ignore[no-untyped-call]
        finally:
            self.server.finished(self)

    def close(self) -> None:
        """Close the socket."""
        super().close()
        self.server.turns.closed(self)


class _TimedSocket(socket.SocketIO):
    """Reads from a socket as long as bytes arrive fast enough."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock, "rb")
        self._connection = sock
        self.begin()

    def begin(self) -> None:
        """A request begins now."""
        self._began = time.monotonic()
        self._bytes = 0

    def readinto(self, buffer: Any) -> int | None:  # noqa: ANN401 - any buffer
        left = self._began + PATIENCE + self._bytes / LEAST_RATE - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")  # the text by which cheroot knows it
        self._connection.settimeout(min(SOCKET_TIMEOUT, left))
        try:
            count = super().readinto(buffer)
        finally:
            self._connection.settimeout(SOCKET_TIMEOUT)
        self._bytes += count or 0
        return count


class _Reader(StreamReader):
    """As cheroot's, on a ``_TimedSocket``."""

    def __init__(self, sock: socket.socket, size: int) -> None:
        super(StreamReader, self).__init__(cast("Any", _TimedSocket(sock)), size)
        self.bytes_read = 0


def _file(sock: socket.socket, mode: str, size: int) -> io.BufferedIOBase:
    return cast("io.BufferedIOBase", _Reader(sock, size) if "r" in mode else StreamWriter(sock, mode, size))
