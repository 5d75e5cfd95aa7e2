"""The file server (msfs), which keeps the sounds: upload with POST, download with GET. Any thread."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
from types import TracebackType
from typing import Any, Final, NamedTuple

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from dbproxy.errors import FileServerError
from dbproxy.stores.backend_calls import UNTRACKED, BackendCalls, Wait
from dbproxy.stores.resolver import Resolver

MAX_ANSWER = 64 * 1024
"""Bytes of the answer to an upload; what is longer is none."""

_of_thread = threading.local()
"""``current``: the ``_TimedRequest`` that this thread carries out."""


class FileServerReport(NamedTuple):
    """Requests sent, seconds for which threads waited for them, and how many failed: no answer, or a status of 500 and above."""

    calls: int
    seconds: float
    failures: int


class _TimedRequest:
    """One request and its answer: when they take longer than ``timeout`` seconds in all, the connection is shut down, which ends the
    wait. The timeouts of the library are for every single read, so a server that sends a byte now and then could hold a thread for good.
    """

    def __init__(self, timeout: float, resolver: Resolver) -> None:
        self._timeout = timeout
        self._resolver = resolver
        self._timer = self._timer_for(timeout)
        self._lock = threading.Lock()
        self._done = False
        self.connection: HTTPConnection | None = None

    def __enter__(self) -> None:
        _of_thread.current = self
        self._timer.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        _of_thread.current = None
        with self._lock:
            self._done = True
            self._timer.cancel()

    def connect(self, connection: HTTPConnection) -> socket.socket:
        """Connect to the host of a connection, as the library would do it, but with a limit for the lookup of its name too."""
        host = connection.host.strip("[]")
        try:
            sock = self._resolver.connect(host, connection.port, self._timeout)
        except socket.gaierror as error:
            raise urllib3.exceptions.NameResolutionError(host, connection, error) from error
        except TimeoutError as error:
            raise urllib3.exceptions.ConnectTimeoutError(connection, f"no connection to {host} within {self._timeout:g} s") from error
        except OSError as error:
            raise urllib3.exceptions.NewConnectionError(connection, f"no connection to {host}: {error}") from error
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def _timer_for(self, seconds: float) -> threading.Timer:
        timer = threading.Timer(seconds, self._shut_down)
        timer.name = "file-server-deadline"
        timer.daemon = True
        return timer

    def _shut_down(self) -> None:
        with self._lock:
            if self._done:
                return
            sock = None if self.connection is None else self.connection.sock
            if sock is None:  # still connecting, which has a limit of its own
                self._timer = self._timer_for(0.1)
                self._timer.start()
                return
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


class _Connection(HTTPConnection):
    """A connection that belongs to the request of its thread. It replaces ``_new_conn``, which urllib3 does not publish: there is a test
    in ``tests/unit/test_driver_contracts.py``.
    """

    def request(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - what the library takes
        _of_thread.current.connection = self
        super().request(*args, **kwargs)

    def _new_conn(self) -> socket.socket:
        sock: socket.socket = _of_thread.current.connect(self)
        return sock


class _TlsConnection(_Connection, HTTPSConnection):
    """The same over TLS."""


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


def _connections(timeout: float, count: int) -> urllib3.PoolManager:
    manager = urllib3.PoolManager(maxsize=count, timeout=urllib3.Timeout(connect=timeout, read=timeout), retries=False)
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
    return manager


class FileServer:
    """Uploads to ``site`` (a URL that ends in a slash) and downloads from where an upload went; each within ``timeout`` seconds.

    ``max_length`` bounds a sound, in bytes, both ways: the path of a download comes from a database row, so the answer is not trusted.
    """

    def __init__(self, site: str, timeout: float, connections: int, max_length: int, calls: BackendCalls = UNTRACKED) -> None:
        self._calls: Final = calls
        self._resolver: Final = Resolver()
        self._lock: Final = threading.Lock()
        self._requests = self._failures = 0
        self._seconds = 0.0
        self._site, self._timeout, self._max_length = site, timeout, max_length
        self._http = _connections(timeout, connections)

    def configure(self, site: str, timeout: float, connections: int, max_length: int) -> None:
        """Change the settings for requests that begin from now on; kept connections are closed."""
        self._site, self._timeout, self._max_length = site, timeout, max_length
        former, self._http = self._http, _connections(timeout, connections)
        former.clear()  # one that is in use is closed when its request is done

    def upload(self, sound: bytes) -> str:
        """Store ``sound`` and return the URL under which it can be fetched.

        Raises:
            FileServerError: the sound is too long, or the server cannot be reached, refused, or answered what is not understood.

        """
        if len(sound) > self._max_length:
            raise FileServerError(f"a sound of {len(sound)} bytes is longer than MaxAudioLength")
        fields = {"file": ("sound", sound, "application/octet-stream")}
        status, body = self._request("POST", self._site, MAX_ANSWER, fields)
        if status != 200:
            raise FileServerError(f"upload to {self._site}: HTTP status {status}")
        try:
            answer = json.loads(body)
            code, url = answer["error_code"], answer.get("url")
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise FileServerError(f"upload to {self._site}: the answer is not understood") from error
        if code != 0 or not isinstance(url, str) or not url:
            raise FileServerError(f"upload to {self._site}: error_code {code!r}")
        return url

    def download(self, url: str, size: int) -> bytes:
        """Fetch a sound of ``size`` bytes.

        Raises:
            FileServerError: it is not there, or not of this size.

        """
        if size > self._max_length:
            raise FileServerError(f"{url}: {size} bytes are more than MaxAudioLength")
        status, sound = self._request("GET", url, size + 1)
        if status != 200:
            raise FileServerError(f"download of {url}: HTTP status {status}")
        if len(sound) != size:
            raise FileServerError(f"download of {url}: not the {size} bytes that were stored")
        return sound

    def _request(self, method: str, url: str, limit: int, fields: dict[str, Any] | None = None) -> tuple[int, bytes]:
        """Return the status and at most ``limit`` bytes of the answer."""
        failed = True
        self._calls.begin()
        try:
            with _TimedRequest(self._timeout, self._resolver):
                response = self._http.request(method, url, fields=fields, preload_content=False)
                try:
                    answer = response.status, response.read(limit)
                    failed = response.status >= 500
                    return answer
                finally:
                    response.close()  # one that was read to its end has given its connection back already
        except urllib3.exceptions.HTTPError as error:
            # some texts of the library begin with the connection object, and so with the name of a class of ours
            reason = re.sub(r"^_(?:Tls)?Connection\(.*?\): ", "", str(error))
            raise FileServerError(f"{method} {url} failed: {reason}") from error
        finally:
            seconds = self._calls.end(Wait(method))
            with self._lock:
                self._requests += 1
                self._failures += failed
                self._seconds += seconds

    def report(self) -> FileServerReport:
        """What has been asked of the server since the start."""
        with self._lock:
            return FileServerReport(self._requests, self._seconds, self._failures)

    def close(self) -> None:
        """Close the kept connections."""
        self._http.clear()
