"""PyMySQL and DBUtils: the only file that touches names which these libraries do not publish.

Of PyMySQL: ``_sock`` (with TLS it is another socket than the one that was given to ``connect``), ``_force_close``, and
``_request_authentication``, which is extended. Of DBUtils: ``_lock`` and ``_idle_cache`` of ``PooledDB``, and its ``cache``, which is
extended. ``tests/unit/test_driver_contracts.py`` tests each; ``setup.cfg`` excludes releases that it has not been run with.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pymysql
from dbutils.pooled_db import PooledDB
from pymysql.constants import CLIENT, CR

from dbproxy.config import DBInstance
from dbproxy.stores.resolver import Resolver

if TYPE_CHECKING:
    _Connection = pymysql.connections.Connection[Any]  # generic for the type checker only
else:
    _Connection = pymysql.connections.Connection


class DriverConnection(_Connection):
    """PyMySQL's part of a connection: handshake, TLS, authentication, ``session`` (a statement) and COM_QUIT.

    All other statements go over the socket that ``login`` returns. ``timeout`` is for each read and write of the login, in seconds.
    ``address``: host, for which with TLS the certificate has to be, and port; None: the first of the instance.
    """

    def __init__(
        self, instance: DBInstance, session: str, timeout: float, tls: ssl.SSLContext | None, address: tuple[str, int] | None = None
    ) -> None:
        host, port = address or instance.addresses[0]
        super().__init__(
            host=host,
            port=port,
            user=instance.username,
            password=instance.password.encode(),  # as the file has it; the driver would make Latin-1 of a text
            database=instance.dbname,
            charset="utf8mb4",
            autocommit=True,
            init_command=session,
            read_timeout=timeout,
            write_timeout=timeout,
            client_flag=CLIENT.MULTI_STATEMENTS,
            ssl=tls,
            ssl_disabled=tls is None,
            defer_connect=True,
        )

    if TYPE_CHECKING:  # what the stubs of the driver leave out
        _sock: socket.socket
        server_capabilities: int
        server_status: int
        server_version: str
        ssl: bool

        def thread_id(self) -> int: ...  # noqa: D102
        def _force_close(self) -> None: ...

    def login(self, sock: socket.socket) -> socket.socket:
        """Log in over a connected socket and return the one for statements: ``sock``, or with TLS the one that wraps it.

        Raises:
            pymysql.err.Error: the login failed; the socket is closed.

        """
        self.connect(sock)
        return self._sock

    def discard(self) -> None:
        """Close the socket without COM_QUIT."""
        self._force_close()

    def _request_authentication(self) -> None:
        """Refuse to send the password in plain text where TLS is configured: PyMySQL before 1.2 does it if the server, or somebody between,
        says that there is no TLS.
        """
        if self.ssl and not self.server_capabilities & CLIENT.SSL:
            raise pymysql.err.OperationalError(CR.CR_SSL_CONNECTION_ERROR, "TLS is required but the server does not offer it")
        super()._request_authentication()  # type: ignore[misc]


def connect_socket(resolver: Resolver, host: str, port: int, timeout: float) -> socket.socket:
    """Connect as the driver would, within ``timeout`` seconds, the lookup of the host's name included.

    Raises:
        pymysql.err.OperationalError: the server cannot be reached.

    """
    try:
        sock = resolver.connect(host, port, timeout)
    except OSError as error:
        text = f"Can't connect to MySQL server on {host!r} ({error})"
        raise pymysql.err.OperationalError(CR.CR_CONN_HOST_ERROR, text) from error
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return sock


class _Creator:
    """What DBUtils takes for a driver: ``connect`` makes connections that are not connected yet."""

    threadsafety = 1

    def __init__(self, connect: Callable[[], Any]) -> None:
        self.connect = connect


class DriverPool(PooledDB):  # type: ignore[misc]  # the library has no types
    """DBUtils' pool of ``minimum`` to ``size`` connections, which have ``close()``, ``open``, ``is_expired``, ``calls`` and
    ``seconds``. Any thread.

    The connection that was checked in last but one is checked out first, and one that has expired is closed when another is checked in.
    Not the very last one: after a commit the server is busy on that connection for a moment, and a statement would have to wait for it. If
    all of them took turns, each would have expired at a low rate when its turn comes.

    DBUtils neither pings nor resets, which it would do under its lock. Nor does it execute a statement again: for that it wraps cursors,
    which ``dbapi_connection`` goes past, and ``failures`` names the one error that PyMySQL raises before it sends anything.
    """

    def __init__(self, connect: Callable[[], Any], minimum: int, size: int) -> None:
        self._made: list[Any] = []  # all that ``connect`` has made and that have not expired, be they open or not
        self._connect: Callable[[], Any] = connect
        self._expired_calls = 0
        self._expired_seconds = 0.0
        super().__init__(
            _Creator(self._make),
            mincached=minimum,
            maxcached=size,
            maxconnections=size,
            blocking=False,
            reset=False,
            ping=0,
            failures=(pymysql.err.InterfaceError,),
        )

    def usage(self) -> tuple[int, int, int, float]:
        """Return how many connections are checked out, how many others are open, and the sums of ``calls`` and of ``seconds``, those of
        connections that have expired included.
        """
        with self._lock:
            made, idle = self._made, self._idle_cache
            calls = self._expired_calls + sum(connection.calls for connection in made)
            seconds = self._expired_seconds + sum(connection.seconds for connection in made)
            return len(made) - len(idle), sum(steady.dbapi_connection.open for steady in idle), calls, seconds

    def _make(self) -> Any:  # noqa: ANN401
        made = self._connect()
        self._made.append(made)
        return made

    def cache(self, con: Any) -> None:  # noqa: ANN401
        """Check in a connection; DBUtils calls it."""
        with self._lock:
            super().cache(con)
            idle = self._idle_cache
            if idle and idle[-1] is con:
                idle.insert(1, idle.pop())
            expired = idle.pop() if idle and idle[-1].dbapi_connection.is_expired else None
            if expired is not None:
                self._give_up(expired.dbapi_connection)
        if expired is not None:
            expired.close()

    def close(self) -> None:
        """Close the idle connections; the pool can be used on."""
        with self._lock:
            idle, self._idle_cache[:] = list(self._idle_cache), []
            for steady in idle:
                self._give_up(steady.dbapi_connection)
            super().close()
        for steady in idle:
            steady.close()

    def _give_up(self, connection: Any) -> None:  # noqa: ANN401
        """Count what a connection has done that is about to be closed, and forget it. Under the lock."""
        self._made.remove(connection)
        self._expired_calls += connection.calls
        self._expired_seconds += connection.seconds
