"""Redis: connections (redis-py) in pools by purpose, one CachePool per instance of the configuration, one CacheManager for all.

Any thread may use a pool. Commands go out as one pipeline and are never sent a second time: after a lost connection it is unknown
whether an INCR has happened. redis-py retries by default, so its retries are disabled; its timeouts, which default to none, are set.
A connection that died while it was idle is detected, for the price of one system call, and replaced when it is checked out.

The pool is a stack and a semaphore of our own: a checkout from redis-py's BlockingConnectionPool costs as much CPU as a small
pipeline.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import redis

from dbproxy.config import CacheInstance, Config
from dbproxy.errors import BackendNotReadyError, StartupError, StoreUnavailableError
from dbproxy.stores.backend_calls import UNTRACKED, BackendCalls
from dbproxy.stores.pools import LimitedPool, PoolManager
from dbproxy.stores.redis.address import may_get_ready
from dbproxy.stores.redis.commands import BrokenKey, CacheCommand, not_executed
from dbproxy.stores.redis.driver import DriverConnection
from dbproxy.stores.redis.master_watch import MasterWatch
from dbproxy.stores.redis.pool_state import CacheState
from dbproxy.stores.redis.service_master import ServiceMaster
from dbproxy.stores.resolver import Resolver
from dbproxy.stores.tls import tls_keys

if TYPE_CHECKING:
    from typing_extensions import Self

logger = logging.getLogger(__name__)

WATCH_JOIN = 1.0
"""Seconds that the thread which asks Sentinels has to end."""

MOVES = 3
"""How often the commands that a former master has refused are sent to another one."""


class CachePool(LimitedPool[CacheState]):
    """The connections to one Redis instance and database number, up to ``maxconncnt``; with none free, a thread waits up to
    ``CachePoolTimeout``.
    """

    kind = "redis"

    def __init__(self, instance: CacheInstance, config: Config, resolver: Resolver, calls: BackendCalls = UNTRACKED) -> None:
        super().__init__(instance.name, calls, CacheState(instance, config, resolver, calls))
        self._resolver = resolver
        self._run_id_lock = threading.Lock()
        self._failovers = 0
        self.restarts = 0
        """How often the server turned out to be another one than before: started again, a replica that took over, or another address after
        a reload. It rises before anything is asked of the new one, whose data may be older than what was written."""

    @property
    def service(self) -> str:
        """The service whose master the Sentinels name; empty: the address is fixed."""
        return self._state.instance.service

    @property
    def failovers(self) -> int:
        """How often another server was found to be the master of the Sentinel service than before."""
        return self._failovers

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
            keys = self._keys()
            kind = BackendNotReadyError if may_get_ready(error.__cause__) else StartupError
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
        with self._connection() as (state, connection, began):
            replies, refused = connection.exchange(commands)
            if refused is not None and state.address.moves:
                return self._send_again(state, connection, began, commands, replies)
            return replies, refused

    def _send_again(
        self, state: CacheState, connection: DriverConnection, began: float, commands: Sequence[CacheCommand], replies: list[Any]
    ) -> tuple[list[Any], redis.ResponseError | None]:
        """Send the commands that a former master has refused, and no others, to the one that has taken its place, and put their replies
        into ``replies``. See ``_exchange``.
        """
        for _ in range(MOVES):
            places = not_executed(commands, replies)
            if not places:
                break
            connection.disconnect()
            self._connect(state, connection, began)
            for place, reply in zip(places, connection.exchange([commands[place] for place in places])[0], strict=True):
                replies[place] = reply
        return replies, next((reply for reply in reversed(replies) if isinstance(reply, redis.ResponseError)), None)

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
    def _connection(self) -> Iterator[tuple[CacheState, DriverConnection, float]]:
        """Check out a connection for the length of the block; it is closed after any error, because replies that were not read must not be
        taken for those to the next commands. Yields its state too, and, for an address that moves, the time at which this began.
        """
        self._calls.before_call()
        state = self._state
        began = time.monotonic() if state.address.moves else 0.0
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
                if not connection.usable:
                    self._connect(state, connection, began)
                connected = True
                yield state, connection, began
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

    def _failed(self, state: CacheState, error: redis.RedisError | OSError, connected: bool) -> StoreUnavailableError:
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

    def _connect(self, state: CacheState, connection: DriverConnection, began: float) -> None:
        """Connect a connection, and notice when it leads to other data than the one before; with an account that may not use INFO no
        restart is noticed.
        """
        run_id = state.address.connect(connection, began)
        while not self._notice_server(state, connection, run_id):  # the pool has left that server meanwhile
            run_id = state.address.connect(connection, began)
        self.counters.connected()

    def _notice_server(self, state: CacheState, connection: DriverConnection, run_id: bytes | None) -> bool:
        """Note which server a new connection leads to; returns whether it may be used."""
        moves = state.address.moves
        with self._run_id_lock:
            if moves and connection.outdated:
                return False
            connection.server_id = run_id
            former, state.run_id = state.run_id, run_id or state.run_id
            is_other = run_id is not None and former not in (None, run_id)
            if is_other and moves:
                state.leave(run_id)
            if is_other and not state.retired:
                self.restarts += 1
                self._failovers += moves
        if moves:
            state.show_server(connection)
        if is_other:
            if moves:
                state.close_outdated()
            if not state.retired:
                logger.warning("%s was started again, or replaced by another", state.label)
        return True

    def _keys(self) -> str:
        """The keys to look at when the server cannot be used."""
        instance = self._state.instance
        if not instance.sentinels:
            return self._connection_keys("db", instance.tls)
        ends = ("sentinels", "service", "sentinel_password", "db", "username", "password", *tls_keys(instance.tls))
        return ", ".join(f"{self.name}_{end}" for end in ends)

    # for the thread that watches what the Sentinels say

    @property
    def master(self) -> ServiceMaster | None:
        """The master that Sentinels name; None: the address is fixed."""
        return self._state.master

    def leave(self, reason: str) -> None:
        """Close the connections, those in use when they come back: whoever needs one asks the Sentinels. ``reason`` is for the log."""
        with self._run_id_lock:
            self._state.leave(None)
        self._state.close_outdated()
        logger.info("%s: %s", self, reason)

    def distrust(self) -> None:
        """Count as restarted once more: what was read or written lately may have been data of a former master."""
        with self._run_id_lock:
            self.restarts += 1


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
        self._watch = MasterWatch(self.pools.values())

    def follow_masters(self) -> None:
        """Have the pools with Sentinels follow planned failovers at once, until ``close``; may be called once."""
        self._watch.start()

    def close(self) -> None:
        """See PoolManager."""
        self._watch.stop(WATCH_JOIN)
        super().close()

    def candidate(self, name: str, config: Config) -> CachePool:
        """See PoolManager."""
        return CachePool(config.cache_instances[name], config, self._resolver, self._calls)

    def settings(self, name: str, config: Config) -> object:
        """See PoolManager."""
        return config.cache_instances[name], (config.cache_connect_timeout, config.cache_timeout, config.cache_pool_timeout)
