"""Redis: connections (redis-py) in pools by purpose, one CachePool per instance of the configuration, one CacheManager for all.

Any thread may use a pool. Commands go out as one pipeline and are never sent a second time: after a lost connection it is unknown
whether an INCR has happened. redis-py retries by default, so its retries are disabled; its timeouts, which default to none, are set.
A connection that died while it was idle is detected, for the price of one system call, and replaced when it is checked out.

The pool is a stack and a semaphore of our own: a checkout from redis-py's BlockingConnectionPool costs as much CPU as a small
pipeline.
"""

from __future__ import annotations

import logging
import re
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import redis

from dbproxy.config import CacheInstance, Config
from dbproxy.errors import BackendNotReadyError, StartupError, StoreUnavailableError
from dbproxy.stores.backend_calls import UNTRACKED, BackendCalls
from dbproxy.stores.pool_counters import PoolCounters
from dbproxy.stores.pools import LimitedPool, PoolManager, PoolState
from dbproxy.stores.redis.commands import BrokenKey, CacheCommand
from dbproxy.stores.redis.driver import DriverConnection
from dbproxy.stores.resolver import Resolver
from dbproxy.stores.tls import is_tls_refusal, tls_context

if TYPE_CHECKING:
    from typing_extensions import Self

logger = logging.getLogger(__name__)

_RUN_ID = re.compile(rb"run_id:(\w+)")


def _may_get_ready(error: BaseException | None) -> bool:
    """Whether connecting failed because the server is not up, or is still loading its data; and not because it does not let us in."""
    if isinstance(error, (redis.AuthenticationError, redis.exceptions.AuthorizationError)):
        return False
    lost = (redis.ConnectionError, redis.TimeoutError, OSError)  # BusyLoadingError is a ConnectionError
    return isinstance(error, lost) and not is_tls_refusal(error)


class _State(PoolState):
    """The connections to one server."""

    def __init__(self, instance: CacheInstance, config: Config) -> None:
        server = f"{instance.host}:{instance.port}"
        label = f"Redis instance {instance.name} at {server} db {instance.db}"
        super().__init__(label, server, instance.maxconncnt, config.cache_pool_timeout, instance.tls, PoolCounters())
        self.instance = instance
        self.config = config
        self.tls = None if instance.tls is None else tls_context(instance.name, instance.tls)
        self.idle: deque[DriverConnection] = deque()  # last in, first out; append and pop are atomic
        self.connections: list[DriverConnection] = []
        """All that were ever made, at most ``maxconncnt`` until ``close``: a lost one is connected again."""
        self.given_up = 0
        self.run_id: bytes | None = None
        """Of the server that was last connected to; None: not known."""

    def has_data_of(self, other: _State) -> bool:
        """Whether both lead to the same data, as far as is known."""
        if self.instance.db != other.instance.db:
            return False
        if self.run_id is None or other.run_id is None:
            return self.server == other.server
        return self.run_id == other.run_id

    def close_idle(self) -> None:
        """Close the idle connections."""
        while True:
            try:
                connection = self.idle.pop()
            except IndexError:
                return
            connection.disconnect()
            self.given_up += 1


class CachePool(LimitedPool[_State]):
    """The connections to one Redis instance and database number, up to ``maxconncnt``; with none free, a thread waits up to
    ``CachePoolTimeout``.
    """

    kind = "redis"

    def __init__(self, instance: CacheInstance, config: Config, resolver: Resolver, calls: BackendCalls = UNTRACKED) -> None:
        super().__init__(instance.name, calls, _State(instance, config))
        self._resolver = resolver
        self._run_id_lock = threading.Lock()
        self.restarts = 0
        """How often the server turned out to be another one than before: started again, a replica that took over, or another address after
        a reload. It rises before anything is asked of the new one, whose data may be older than what was written."""

    def adopt(self, other: Self) -> None:
        """See LimitedPool."""
        with self._run_id_lock:
            if not other._state.has_data_of(self._state):
                self.restarts += 1
            super().adopt(other)

    def open(self) -> None:
        """Connect once and check that the database answers.

        Raises:
            StartupError: naming instance, host, port and the keys to look at; BackendNotReadyError if waiting may help. It may be
                called again then.

        """
        try:
            self.execute([("PING",)])
        except StoreUnavailableError as error:
            keys = self._connection_keys("db", self._state.instance.tls)
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
            raise self._refused(refused) from refused
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
            logger.warning("%s: %s; treated as missing", self, reply)
            replies[index] = None
        return replies

    def write_or_reset(self, commands: Sequence[CacheCommand]) -> list[Any]:
        """As ``execute``, for commands that write keys whose loss does no harm: one that holds something that the command cannot work with
        is deleted (of a hash, only the field), and the command is sent again.
        """
        replies, broken = self._execute_with_errors(commands)
        if broken:
            for reply in broken.values():
                logger.warning("%s: %s; deleted and written again", self, reply)
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
                        raise self._refused(reply) from reply
                    replies[index] = broken[index] = found
        return replies, broken

    def _refused(self, reply: redis.ResponseError) -> StoreUnavailableError:
        text = f"{self}: {reply}"
        self.counters.failed("refused", text)
        return StoreUnavailableError(text)

    def _exchange(self, commands: Sequence[CacheCommand]) -> tuple[list[Any], redis.ResponseError | None]:
        """The replies, those to refused commands as ResponseErrors, and the last of these."""
        if not commands:
            return [], None
        with self._connection() as connection:
            return connection.exchange(commands)

    def ask(self, commands: Sequence[CacheCommand]) -> list[Any]:
        """As ``execute``, for questions about the server: a command that is refused has a redis.ResponseError as its reply."""
        return self._exchange(commands)[0]

    def check(self) -> None:
        """Send PING; see LimitedPool."""
        self.execute([("PING",)])

    def close(self) -> None:
        """Close the idle connections; see LimitedPool."""
        self._state.close_idle()

    @contextmanager
    def _connection(self) -> Iterator[DriverConnection]:
        """Check out a connection for the length of the block; it is closed after any error, because replies that were not read must not be
        taken for those to the next commands.
        """
        self._calls.before_call()
        state = self._state
        if not state.free.acquire(blocking=False):
            self._wait_for_free(state)
        try:
            try:
                connection = state.idle.pop()
            except IndexError:
                connection = DriverConnection(state.instance, state.config, state.tls, self._resolver, self._calls)
                state.connections.append(connection)
            connected = False
            try:
                if connection.ensure_connected():
                    self._notice_restart(state, connection)
                    self.counters.connected()
                connected = True
                yield connection
                if not self.counters.works:
                    self.counters.works = True
            except (redis.RedisError, OSError) as error:
                connection.disconnect()
                raise self._failed(state, error, connected) from error
            except BaseException:
                connection.disconnect()
                raise
            finally:
                state.idle.append(connection)
                if state.retired:
                    state.close_idle()
        finally:
            state.free.release()

    def _failed(self, state: _State, error: redis.RedisError | OSError, connected: bool) -> StoreUnavailableError:
        text = f"{state.label}: {error}"
        in_time = not isinstance(error, (redis.TimeoutError, TimeoutError))
        self.counters.failed("connect" if not connected else "lost" if in_time else "timeout", text)
        return StoreUnavailableError(text)

    def _connections_and_calls(self) -> tuple[int, int, int, float]:
        state = self._state
        made, idle = state.connections.copy(), state.idle.copy()
        open_idle = sum(connection.open for connection in idle)
        calls, seconds = sum(connection.calls for connection in made), sum(connection.seconds for connection in made)
        in_use = max(0, len(made) - state.given_up - len(idle))
        return in_use, open_idle, self._former_calls + calls, self._former_seconds + seconds

    def _notice_restart(self, state: _State, connection: DriverConnection) -> None:
        """Ask a new connection's server for its run id; with an account that may not ask no restart is noticed."""
        (reply,), refused = connection.exchange([("INFO", "server")])
        if refused is not None:
            logger.debug("%s does not tell its run id: %s", self, refused)
            return
        found = _RUN_ID.search(reply)
        if found is None:
            return
        with self._run_id_lock:
            former, state.run_id = state.run_id, found[1]
            if former not in (None, found[1]) and not state.retired:
                self.restarts += 1
                logger.warning("%s was started again, or replaced by another", state.label)


class CacheManager(PoolManager[CachePool]):
    """The pools by purpose. Several may lead to the same server; that is the operator's choice."""

    def __init__(self, config: Config, calls: BackendCalls = UNTRACKED) -> None:
        self._resolver = Resolver()
        self._calls = calls
        super().__init__({name: self.candidate(name, config) for name in config.cache_instances})
        self.unread = self.pools["unread"]
        self.group_set = self.pools["group_set"]
        self.token = self.pools["token"]
        self.group_member = self.pools["group_member"]

    def candidate(self, name: str, config: Config) -> CachePool:
        """See PoolManager."""
        return CachePool(config.cache_instances[name], config, self._resolver, self._calls)

    def settings(self, name: str, config: Config) -> object:
        """See PoolManager."""
        return config.cache_instances[name], (config.cache_connect_timeout, config.cache_timeout, config.cache_pool_timeout)
