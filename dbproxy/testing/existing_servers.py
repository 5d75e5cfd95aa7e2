"""What databases on servers that somebody else runs have in common: their URLs, and that the servers are not ours."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import NoReturn, TypeVar
from urllib.parse import unquote, urlsplit

from dbproxy.errors import DbproxyError, StartupError
from dbproxy.testing.private_server import PrivateServer

XDIST_WORKER = "PYTEST_XDIST_WORKER"
"""Environment variable of pytest-xdist: ``gw`` and the number of the worker."""

MARK = "made by dbproxy.testing"
"""Comment of the table IMUser of a database whose tables a test run has made, and the value of ``MARK_KEY`` in a database of Redis whose
keys it has made: both may be emptied.
"""

MARK_KEY = "dbproxy.testing"

_RETRY_INTERVAL = 0.25
_DEFAULT_PORTS = {"mysql": 3306, "redis": 6379}

T = TypeVar("T")


class NotOursError(DbproxyError):
    """A test wanted to kill, stop or freeze a server that somebody else runs."""


class NotYetError(Exception):
    """The server cannot be used yet; the message says why."""


class ServerUrl:
    """``mysql://user:password@host:port/database`` or ``redis://[user][:password@]host:port/number``."""

    def __init__(self, scheme: str, url: str) -> None:
        """StartupError when the text is no such URL; it never repeats the password."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        self.name = parts.path.strip("/")
        if parts.scheme != scheme or not parts.hostname or "/" in self.name or parts.query or parts.fragment:
            path = "user:password@host:port/database" if scheme == "mysql" else "[user:password@]host:port/number"
            raise StartupError(f"the URL of the {scheme} server for tests is not {scheme}://{path}")
        self.host = parts.hostname
        self.port = port or _DEFAULT_PORTS[scheme]
        self.user = unquote(parts.username or "")
        self.password = unquote(parts.password or "")

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def worker_number() -> int | None:
    """Return the number of this worker of pytest-xdist; None in a run without it."""
    name = os.environ.get(XDIST_WORKER, "")
    return int(name[2:]) if name.startswith("gw") and name[2:].isdigit() else None


class ExistingServer(PrivateServer):
    """A server that runs already: it is only connected to, and asked again while it is starting. Whatever would end or
    suspend it raises NotOursError.
    """

    is_private = False
    start_timeout: float = 30
    """Seconds for which a server that does not answer yet is asked again, because a CI starts its service containers and the tests at
    once.
    """

    _url: ServerUrl

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return self._url.host, self._url.port

    @property
    def port(self) -> int:
        """The TCP port."""
        return self._url.port

    def terminate(self) -> NoReturn:
        """NotOursError."""
        self._refuse()

    def freeze(self) -> NoReturn:
        """NotOursError."""
        self._refuse()

    def thaw(self) -> None:
        """Nothing: it cannot have been frozen."""

    def kill(self) -> NoReturn:
        """NotOursError."""
        self._refuse()

    def stop(self, timeout: float = 30) -> NoReturn:
        """NotOursError."""
        self._refuse()

    def _started(self) -> NoReturn:
        """Refuse ``pid``, ``signal`` and ``wait``, too."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        host, port = self.address
        raise NotOursError(
            f"the server at {host}:{port} is not ours: tests that kill, stop or freeze servers need private ones (without --dbproxy-mysql "
            "and --dbproxy-redis)"
        )

    def _patiently(self, attempt: Callable[[], T]) -> T:
        """Call ``attempt`` until it does not raise NotYetError any more; after ``start_timeout`` seconds it is a StartupError."""
        deadline = time.monotonic() + self.start_timeout
        while True:
            try:
                return attempt()
            except NotYetError as error:
                if time.monotonic() > deadline:
                    raise StartupError(str(error)) from None
                time.sleep(_RETRY_INTERVAL)
