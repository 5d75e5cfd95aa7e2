"""redis-py: the only file that touches a name which this library does not publish, ``Connection._connect``, which is replaced.

``tests/unit/test_driver_contracts.py`` has tests for it; ``setup.cfg`` excludes releases that it has not been run with.
"""

from __future__ import annotations

import math
import select
import socket
import ssl
from collections.abc import Iterable, Sequence
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.connection import Connection, DefaultParser
from redis.retry import Retry

from dbproxy.config import CacheInstance, Config
from dbproxy.stores.backend_calls import CONNECTING, BackendCalls
from dbproxy.stores.kernel_socket import set_kernel_timeouts, still_connected
from dbproxy.stores.redis.commands import CacheCommand, pack
from dbproxy.stores.resolver import Resolver

try:
    import hiredis
except ImportError:
    hiredis = None  # type: ignore[assignment]

_RECEIVE_SIZE = 64 * 1024
_INCOMPLETE = object()
"""What hiredis returns when more bytes have to arrive."""


class DriverConnection(Connection):
    """A connection to Redis: redis-py logs in and selects the database, replies are read by hiredis if it is installed.

    Commands and replies pass by redis-py, which takes several calls of its own for each: that would be most of what a pipeline of small
    commands costs. A connection belongs to one thread at a time.
    """

    def __init__(
        self, instance: CacheInstance, config: Config, context: ssl.SSLContext | None, resolver: Resolver, calls: BackendCalls
    ) -> None:
        self.socket_timeout: float
        self.socket_connect_timeout: float
        super().__init__(  # type: ignore[no-untyped-call]
            host=instance.host,
            port=instance.port,
            db=instance.db,
            username=instance.username or None,
            password=instance.password or None,
            socket_connect_timeout=config.cache_connect_timeout,
            socket_timeout=config.cache_timeout,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
        self._context = context
        self._resolver = resolver
        self._calls = calls
        self._connected: socket.socket | None = None
        self._buffer = bytearray(_RECEIVE_SIZE)
        self._replies: Any = None
        """hiredis' parser of this connection's replies, if hiredis is installed."""
        self._call: object = CONNECTING
        self._within = math.inf
        self.outdated = False
        """Whether it leads to a server that its pool has left: it is connected again before it is used."""
        self.server_id: bytes | None = None
        """Run id of the server that it was last connected to, if that is known."""
        self.calls = 0
        """Pipelines sent."""
        self.seconds = 0.0
        """For which the server was waited for."""

    @property
    def open(self) -> bool:
        """Whether it is connected, as far as is known."""
        return self._connected is not None

    @property
    def usable(self) -> bool:
        """Whether it may be used as it is: connected, not closed by the server, and to a server that the pool has not left."""
        return self._connected is not None and not self.outdated and still_connected(self._connected)

    def ensure_connected(self, within: float = math.inf) -> bool:
        """Connect if there is no connection, or if the server has closed it: nothing is sent to an idle one. Returns whether the
        connection is a new one. ``within``: seconds that connecting, and each reply to the login, may take at most, if that is less than
        is configured.

        Raises:
            redis.RedisError, OSError: connecting failed.

        """
        if self.usable:
            return False
        if self._connected is not None:
            self.disconnect()
        self.outdated = False
        self._within = within
        self._calls.begin()
        try:
            self.connect()  # type: ignore[no-untyped-call]
        finally:
            self.seconds += self._calls.end(CONNECTING)
        if self._connected is not None and self._context is None:
            set_kernel_timeouts(self._connected, self.socket_timeout)
        elif self._connected is not None:
            self._connected.settimeout(self.socket_timeout)
        if hiredis is not None:
            self._replies = hiredis.Reader(
                protocolError=redis.InvalidResponse, replyError=DefaultParser.parse_error, notEnoughData=_INCOMPLETE
            )
        return True

    def set_reply_timeout(self, seconds: float) -> None:
        """Wait for each reply no longer than this from now on."""
        self.socket_timeout = seconds
        if self._connected is not None and self._context is None:
            set_kernel_timeouts(self._connected, seconds)
        elif self._connected is not None:
            self._connected.settimeout(seconds)

    def _connect(self) -> socket.socket:
        """Connect as redis-py would, but with a time limit that includes the lookup of the host's name, and with a TLS context made once:
        redis-py would read all certificates of the system for every connection, and trust them beside the configured ones.
        """
        sock = self._resolver.connect(self.host, self.port, min(self.socket_connect_timeout, self._within))
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            sock.settimeout(min(self.socket_timeout, self._within))
            self._connected = sock if self._context is None else self._context.wrap_socket(sock, server_hostname=self.host)
        except OSError:
            sock.close()
            raise
        return self._connected

    def disconnect(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - what redis-py takes
        """Close the connection, if there is one."""
        self._connected = None
        super().disconnect(*args, **kwargs)  # type: ignore[no-untyped-call]

    def exchange(self, commands: Sequence[CacheCommand]) -> tuple[list[Any], redis.ResponseError | None]:
        """Send commands, at least one, and return their replies, those to refused ones as ResponseErrors, and the last of these.

        Raises:
            redis.RedisError, OSError: the connection is lost, or a reply did not come in time; the connection has to be closed then.

        """
        self.send(commands)
        replies, refused = self.receive(len(commands))
        if isinstance(refused, redis.BusyLoadingError):
            raise refused
        return replies, refused

    def send(self, commands: Sequence[CacheCommand]) -> None:
        """Send commands, whose replies have to be received before others are sent. Raises as ``exchange``."""
        sock = self._connected
        if sock is None:
            raise redis.ConnectionError("the connection is closed")
        self.calls += 1
        self._call = commands
        try:
            sock.sendall(pack(commands))
        except BlockingIOError as error:
            raise redis.TimeoutError("it did not take the commands in time") from error

    def receive(self, count: int) -> tuple[list[Any], redis.ResponseError | redis.BusyLoadingError | None]:
        """Return the replies to ``count`` commands that were sent, those to refused ones as errors, and one of these: a BusyLoadingError
        if the server was loading its data. Raises as ``exchange``.
        """
        sock = self._connected
        if sock is None:
            raise redis.ConnectionError("the connection is closed")
        replies: list[Any] = []
        refused: redis.ResponseError | redis.BusyLoadingError | None = None
        try:
            while len(replies) < count:
                for reply in self._receive(sock):
                    if isinstance(reply, Exception):
                        if not isinstance(reply, (redis.ResponseError, redis.BusyLoadingError)):  # it requires another login
                            raise reply
                        if not isinstance(refused, redis.BusyLoadingError):
                            refused = reply
                    replies.append(reply)
        except BlockingIOError as error:
            raise redis.TimeoutError("it did not answer in time") from error
        except redis.ConnectionError as error:
            if isinstance(error.__context__, BlockingIOError):  # older releases of redis-py do not tell it from other errors
                raise redis.TimeoutError("it did not answer in time") from error
            raise
        return replies, refused

    def has_replies(self, within: float) -> bool:
        """Wait at most so many seconds until there is something to receive, or the connection is lost."""
        sock = self._connected
        if sock is None or (isinstance(sock, ssl.SSLSocket) and sock.pending()):
            return True
        waiter = select.poll()
        waiter.register(sock, select.POLLIN)
        self._calls.begin()
        try:
            return bool(waiter.poll(max(0.0, within) * 1000))
        finally:
            self.seconds += self._calls.end(self._call)

    def _receive(self, sock: socket.socket) -> Iterable[Any]:
        """Wait for bytes, and return the replies that they complete; without hiredis, wait for one reply."""
        self._calls.begin()
        try:
            if self._replies is None:
                return (self.read_response(),)
            received = sock.recv_into(self._buffer)
        except redis.ResponseError as error:
            return (error,)
        finally:
            self.seconds += self._calls.end(self._call)
        if not received:
            raise redis.ConnectionError("the server closed the connection")
        self._replies.feed(self._buffer, 0, received)
        return iter(self._replies.gets, _INCOMPLETE)
