"""Redis: connections (redis-py) in pools by purpose, one CachePool per instance of the configuration, one CacheManager for all.

Any thread may use a pool. Commands go out as one pipeline and are never sent a second time: after a lost connection nobody knows
whether an INCR has happened. redis-py retries by default, so it is told not to; its timeouts, which default to none, are set.
A connection that died while it was idle is noticed, for the price of one system call, and replaced when it is taken.

The pool is a stack and a semaphore of our own: taking a connection from redis-py's BlockingConnectionPool costs as much CPU as a small
pipeline.
"""

from __future__ import annotations

import logging
import re
import socket
import ssl
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import redis
from redis.backoff import NoBackoff
from redis.connection import Connection
from redis.retry import Retry

from dbproxy.config import CacheInstance, Config
from dbproxy.errors import BackendNotReadyError, StartupError, StoreUnavailableError
from dbproxy.stores.backend_calls import UNTRACKED, BackendCalls
from dbproxy.stores.kernel_socket import set_kernel_timeouts, still_connected
from dbproxy.stores.redis.commands import CacheCommand, pack, take_arrived
from dbproxy.stores.resolver import Resolver
from dbproxy.stores.tls import is_tls_refusal, tls_context, tls_keys

logger = logging.getLogger(__name__)

_RUN_ID = re.compile(rb"run_id:(\w+)")

_WRONG_TYPE = "WRONGTYPE"
_NO_NUMBER = ("value is not an integer", "increment or decrement would overflow")  # of a string or of a field of a hash


@dataclass(frozen=True, slots=True)
class BrokenKey:
    """The reply to a command that cannot work with what its key holds: no proxy has written that."""

    key: str
    why: str
    removal: CacheCommand
    """The command that takes away what is in the way."""

    @classmethod
    def from_error(cls, error: redis.ResponseError, command: CacheCommand) -> BrokenKey | None:
        """What is broken according to an error; None when the error says something else."""
        why = str(error)
        key = command[1]
        if why.startswith(_WRONG_TYPE):
            removal: CacheCommand = ("DEL", key)
        elif any(text in why for text in _NO_NUMBER):
            removal = ("HDEL", key, command[2]) if command[0] == "HINCRBY" else ("DEL", key)
        else:
            return None
        return cls(key.decode(errors="backslashreplace") if isinstance(key, bytes) else str(key), why, removal)

    def __str__(self) -> str:
        return f"{self.key} is broken ({self.why})"


class PooledConnection(Connection):
    """A connection whose host is looked up with a limit, which ``socket_connect_timeout`` includes."""

    def __init__(self, resolver: Resolver, **options: Any) -> None:  # noqa: ANN401 - what redis-py takes
        super().__init__(**options)  # type: ignore[no-untyped-call]
        self._resolver = resolver
        self._connect_timeout: float = options["socket_connect_timeout"]

    def _connect(self) -> socket.socket:
        sock = self._resolver.connect(self.host, self.port, self._connect_timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.settimeout(self.socket_timeout)
        return sock


class TlsConnection(PooledConnection):
    """A connection that uses a context made once. redis-py's own would read all certificates of the system for every connection, and
    trust them beside those that it is told to trust.
    """

    def __init__(self, context: ssl.SSLContext, resolver: Resolver, **options: Any) -> None:  # noqa: ANN401
        super().__init__(resolver, **options)
        self._context = context

    def _connect(self) -> socket.socket:
        sock = super()._connect()
        try:
            return self._context.wrap_socket(sock, server_hostname=self.host)
        except OSError:
            sock.close()
            raise


def _may_get_ready(error: BaseException | None) -> bool:
    """Whether connecting failed because the server is not up, or is still loading its data; and not because it does not let us in."""
    if isinstance(error, (redis.AuthenticationError, redis.exceptions.AuthorizationError)):
        return False
    lost = (redis.ConnectionError, redis.TimeoutError, OSError)  # BusyLoadingError is a ConnectionError
    return isinstance(error, lost) and not is_tls_refusal(error)


def _socket_of(connection: Connection) -> socket.socket | None:
    """The socket of a connection, None while it has none; for the type checker redis-py's attribute would always be None."""
    return cast("Any", connection)._sock  # type: ignore[no-any-return]


class CachePool:
    """The connections to one Redis instance and database number, up to ``maxconncnt``; who finds none waits, but not forever."""

    def __init__(self, instance: CacheInstance, config: Config, resolver: Resolver, calls: BackendCalls = UNTRACKED) -> None:
        self.name = instance.name
        self._calls = calls
        self._instance = instance
        self._options: dict[str, Any] = {
            "host": instance.host,
            "port": instance.port,
            "db": instance.db,
            "username": instance.username or None,
            "password": instance.password or None,
            "socket_connect_timeout": config.cache_connect_timeout,
            "socket_timeout": config.cache_timeout,
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,
        }
        self._tls = None if instance.tls is None else tls_context(instance.name, instance.tls)
        self._resolver = resolver
        self._timeout = config.cache_pool_timeout
        self._free = threading.BoundedSemaphore(instance.maxconncnt)
        self._idle: deque[Connection] = deque()  # the last one used is the next one taken; append and pop are atomic
        self._run_id: bytes | None = None
        self._run_id_lock = threading.Lock()
        self.restarts = 0
        """How often the server turned out to be another one than before: started again, or a replica that took over. It rises before
        anything is asked of the new one, whose data may be older than what was written."""

    def __str__(self) -> str:
        return f"Redis instance {self.name} at {self._instance.host}:{self._instance.port} db {self._instance.db}"

    def open(self) -> None:
        """Connect once and look whether the database answers.

        Raises:
            StartupError: naming instance, host, port and the keys to look at; BackendNotReadyError if waiting may help. It may be
                called again then.

        """
        try:
            self.execute([("PING",)])
        except StoreUnavailableError as error:
            ends = ("host", "port", "db", "username", "password", *tls_keys(self._instance.tls))
            keys = ", ".join(f"{self.name}_{end}" for end in ends)
            kind = BackendNotReadyError if _may_get_ready(error.__cause__) else StartupError
            raise kind(f"{error} (keys {keys})") from error

    def execute(self, commands: Sequence[CacheCommand]) -> list[Any]:
        """Send these commands with one round trip and return their replies in order: bytes, int, None, or a list of such.

        They are not a transaction. No command gives an empty list without asking.

        Raises:
            StoreUnavailableError: no connection in time, no reply in time, the connection was lost, or a command was refused; some
                of the commands may have been executed.

        """
        replies, refused = self._exchange(commands)
        if refused is not None:
            raise StoreUnavailableError(f"{self}: {refused}") from refused
        return replies

    def execute_with_errors(self, commands: Sequence[CacheCommand]) -> list[Any]:
        """As ``execute``, but a command that Redis refuses because of what its key holds gets a BrokenKey as its reply, and spoils
        nothing for the others.
        """
        return self._execute_with_errors(commands)[0]

    def read(self, commands: Sequence[CacheCommand]) -> list[Any]:
        """As ``execute``, for commands that only read: what a key of a wrong type holds reads as if it was not there, as None."""
        replies, broken = self._execute_with_errors(commands)
        for index, reply in broken.items():
            logger.warning("%s: %s; taken for nothing", self, reply)
            replies[index] = None
        return replies

    def write_or_reset(self, commands: Sequence[CacheCommand]) -> list[Any]:
        """As ``execute``, for commands that write keys whose loss does no harm: one that holds something that the command cannot work with
        is deleted (of a hash, only the field), and the command gets another chance.
        """
        replies, broken = self._execute_with_errors(commands)
        if broken:
            for reply in broken.values():
                logger.warning("%s: %s; deleted, to begin anew", self, reply)
            self.execute(list(dict.fromkeys(reply.removal for reply in broken.values())))
            for index, again in zip(broken, self.execute([commands[index] for index in broken]), strict=True):
                replies[index] = again
        return replies

    def _execute_with_errors(self, commands: Sequence[CacheCommand]) -> tuple[list[Any], dict[int, BrokenKey]]:
        """The replies, and those of them that are broken keys by their place."""
        replies, refused = self._exchange(commands)
        broken: dict[int, BrokenKey] = {}
        if refused is not None:
            for index, reply in enumerate(replies):
                if isinstance(reply, redis.ResponseError):
                    found = BrokenKey.from_error(reply, commands[index])
                    if found is None:
                        raise StoreUnavailableError(f"{self}: {reply}") from reply
                    replies[index] = broken[index] = found
        return replies, broken

    def _exchange(self, commands: Sequence[CacheCommand]) -> tuple[list[Any], redis.ResponseError | None]:
        """The replies, those to refused commands as ResponseErrors, and the last of these."""
        if not commands:
            return [], None
        with self._connection() as connection:
            connection.send_packed_command([pack(commands)])  # type: ignore[no-untyped-call]
            refused: redis.ResponseError | None = None
            replies: list[Any] = []
            while len(replies) < len(commands):
                self._calls.begin()
                try:
                    replies.append(connection.read_response())
                except redis.ResponseError as error:
                    refused = error
                    replies.append(error)
                finally:
                    self._calls.end()
                refused = take_arrived(connection, replies, len(commands)) or refused
        return replies, refused

    def close(self) -> None:
        """Close the idle connections; one that is in use is closed when the process ends."""
        while self._idle:
            self._idle.pop().disconnect()  # type: ignore[no-untyped-call]

    def _new_connection(self) -> Connection:
        if self._tls is None:
            return PooledConnection(self._resolver, **self._options)
        return TlsConnection(self._tls, self._resolver, **self._options)

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        """Take a connection that works for the length of the block; it is closed when anything goes wrong, because replies that nobody
        has read must not be taken for those of the next one.
        """
        self._calls.before_call()
        if not self._free.acquire(blocking=False) and not self._wait_for_free():
            raise StoreUnavailableError(f"{self}: no connection became free within {self._timeout:g} s ({self.name}_maxconncnt)")
        try:
            try:
                connection = self._idle.pop()
            except IndexError:
                connection = self._new_connection()
            try:
                self._ensure_connected(connection)
                yield connection
            except (redis.RedisError, OSError) as error:
                connection.disconnect()  # type: ignore[no-untyped-call]
                raise StoreUnavailableError(f"{self}: {error}") from error
            except BaseException:
                connection.disconnect()  # type: ignore[no-untyped-call]
                raise
            finally:
                self._idle.append(connection)
        finally:
            self._free.release()

    def _wait_for_free(self) -> bool:
        self._calls.begin()
        try:
            return self._free.acquire(timeout=self._timeout)
        finally:
            self._calls.end()

    def _ensure_connected(self, connection: Connection) -> None:
        """Connect, or connect anew if the server has closed the connection meanwhile: an idle one has nothing to say."""
        sock = _socket_of(connection)
        if sock is not None:
            if still_connected(sock):
                return
            connection.disconnect()  # type: ignore[no-untyped-call]
        self._calls.begin()
        try:
            connection.connect()  # type: ignore[no-untyped-call]
        finally:
            self._calls.end()
        sock = _socket_of(connection)
        if sock is not None and not isinstance(connection, TlsConnection):
            set_kernel_timeouts(sock, self._options["socket_timeout"])
        self._notice_restart(connection)

    def _notice_restart(self, connection: Connection) -> None:
        """Ask a new connection's server who it is; an account that may not ask will never notice."""
        connection.send_packed_command([pack([("INFO", "server")])])  # type: ignore[no-untyped-call]
        try:
            found = _RUN_ID.search(connection.read_response())
        except redis.ResponseError as error:
            logger.debug("%s does not say who it is: %s", self, error)
            return
        if found is None:
            return
        with self._run_id_lock:
            former, self._run_id = self._run_id, found[1]
            if former not in (None, found[1]):
                self.restarts += 1
                logger.warning("%s was started again, or replaced by another", self)


class CacheManager:
    """The pools by purpose. Several may lead to the same server; that is the operator's choice and nobody else's concern."""

    def __init__(self, config: Config, calls: BackendCalls = UNTRACKED) -> None:
        resolver = Resolver()
        self.pools: Mapping[str, CachePool] = {
            name: CachePool(instance, config, resolver, calls) for name, instance in config.cache_instances.items()
        }
        self.unread = self.pools["unread"]
        self.group_set = self.pools["group_set"]
        self.token = self.pools["token"]
        self.group_member = self.pools["group_member"]

    def open(self) -> None:
        """Connect every pool once.

        Raises:
            StartupError: a server that cannot be reached or does not let us in; see ``CachePool.open``.

        """
        for pool in self.pools.values():
            pool.open()

    def close(self) -> None:
        """Close all pools."""
        for pool in self.pools.values():
            pool.close()


def pairs(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    """Turn the flat reply of HGETALL into a dict."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


LARGEST = 2**32 - 1
"""What the protocol's uint32 can say."""


def number(value: bytes | None) -> int:
    """Read a counter; what is not there or is no number counts as 0, nothing counts as less, and nothing as more than ``LARGEST``."""
    if value is None or not value.isdigit():
        return 0
    return int(value) if len(value) < 10 else min(int(value[:20]), LARGEST)
