"""A replacement for the file server (msfs), which stores sound messages: :class:`FileServer`."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass
class Faults:
    """Faults to inject; by default there are none. Fields may be set from any thread at any time."""

    delay: float = 0
    """Seconds before each answer."""
    error_code: int = 0
    """``error_code`` in the JSON answer to an upload."""
    status: int = 0
    """HTTP status of every answer instead of the right one; 0: the right one."""
    garbage: bool = False
    """Answer uploads with something that is no JSON."""
    size_change: int = 0
    """Serve files with so many bytes more (or, negative, fewer) than were stored."""
    drop: bool = False
    """Close the connection without an answer."""


class FileServer:
    """An HTTP server on a free port of 127.0.0.1 that stores the part ``file`` of an upload and serves it at the URL in its answer.

    ``site`` is the value for MsfsSite. Runs in threads of this process; every method may be called from any thread. Start it with
    :meth:`start` or as a context manager. With a ``directory`` its files and its port are the same at the next start.
    """

    def __init__(self, port: int = 0, directory: Path | None = None) -> None:
        self.faults = Faults()
        self.files: dict[str, bytes] = {}
        """Name (md5 of the content) → content."""
        self.uploads = 0
        self.downloads = 0
        self._wanted_port = port
        self._directory = directory
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The port it listens on; RuntimeError before the start."""
        if self._server is None:
            raise RuntimeError("the file server was not started")
        return int(self._server.server_address[1])

    @property
    def site(self) -> str:
        """``127.0.0.1:port``, the value for MsfsSite."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> Self:
        """Listen; OSError when a port that was asked for is taken."""
        if self._server is None:
            if self._directory is not None:
                self._load(self._directory)
            self._server = _Server(("127.0.0.1", self._wanted_port), self)
            self._wanted_port = self.port  # stored URLs must be valid after a second start
            if self._directory is not None:
                (self._directory / "port").write_text(f"{self.port}\n")
            self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="file-server", daemon=True)
            self._thread.start()
        return self

    def store(self, name: str, content: bytes) -> None:
        """Keep a file under a name."""
        self.files[name] = content
        if self._directory is not None:
            (self._directory / f"{name}.file").write_bytes(content)

    def _load(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.files = {path.stem: path.read_bytes() for path in directory.glob("*.file")}
        port = directory / "port"
        if not self._wanted_port and port.exists():
            self._wanted_port = int(port.read_text())

    def close(self) -> None:
        """Stop listening; the files stay for a second start. May be called twice."""
        server, self._server = self._server, None
        if server is not None and self._thread is not None:
            server.shutdown()
            self._thread.join(10)
            server.server_close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a delayed answer must not delay the end of a test

    def __init__(self, address: tuple[str, int], owner: FileServer) -> None:
        super().__init__(address, _Handler)
        self.owner = owner

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore it: a proxy that stops waiting is no error of this server."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        owner = self.server.owner
        owner.uploads += 1
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self._failed():
            return
        content = _part(body, self.headers.get("Content-Type", ""))
        if content is None:
            self._send(400, b'{"error_code": 1, "error_msg": "no part named file"}')
            return
        name = hashlib.md5(content).hexdigest()
        faults = owner.faults
        if not faults.error_code:
            owner.store(name, content)
        answer: dict[str, object] = {"error_code": faults.error_code, "error_msg": "failed" if faults.error_code else "ok"}
        if not faults.error_code:
            answer |= {"path": f"g0/{name}", "url": f"http://{owner.site}/g0/{name}"}
        self._send(200, b"<html>oops" if faults.garbage else json.dumps(answer).encode())

    def do_GET(self) -> None:
        owner = self.server.owner
        owner.downloads += 1
        if self._failed():
            return
        content = owner.files.get(self.path.rsplit("/", 1)[-1])
        if content is None:
            self._send(404, b"")
            return
        change = owner.faults.size_change
        self._send(200, content + b"x" * change if change >= 0 else content[:change])

    def _failed(self) -> bool:
        faults = self.server.owner.faults
        if faults.delay:
            time.sleep(faults.delay)
        if faults.drop:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        elif faults.status:
            self._send(faults.status, b"")
        return faults.drop or bool(faults.status)

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: the output of a test does not list every request."""


def _part(body: bytes, content_type: str) -> bytes | None:
    """Return the content of the part named ``file`` of a multipart/form-data body, None when there is none."""
    _, found, boundary = content_type.partition("boundary=")
    if not found:
        return None
    mark = b"--" + boundary.split(";")[0].strip().strip('"').encode()
    # a delimiter is at the beginning of a line; with a line end before the first one all of them have the same form
    for part in (b"\r\n" + body).split(b"\r\n" + mark)[1:-1]:
        head, found_end, content = part.partition(b"\r\n\r\n")
        if found_end and b'name="file"' in head:
            return content
    return None
