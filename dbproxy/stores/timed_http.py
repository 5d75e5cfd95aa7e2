"""HTTP requests that take no longer than they may in all, whatever the server does: the parts of urllib3 that are replaced for that.

Any thread.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from types import TracebackType
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from dbproxy.stores.resolver import Resolver

_of_thread = threading.local()
"""``current``: the ``TimedRequest`` that this thread carries out."""


class TimedRequest:
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
        timer.name = "http-deadline"
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


def timed_connections(timeout: float, count: int) -> urllib3.PoolManager:
    """Return a pool of ``count`` kept connections for requests that are made within a ``TimedRequest``; no request is sent twice."""
    manager = urllib3.PoolManager(maxsize=count, timeout=urllib3.Timeout(connect=timeout, read=timeout), retries=False)
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
    return manager


def reason_of(error: Exception) -> str:
    """Return what the library says of a failure, without the connection object with which some of its texts begin: that names a class
    of this file.
    """
    return re.sub(r"^_(?:Tls)?Connection\(.*?\): ", "", str(error))
