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
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import redis

from dbproxy.config import CacheInstance, Config
from dbproxy.errors import BackendNotReadyError, StartupError, StoreUnavailableError
from dbproxy.stores.backend_calls import UNTRACKED, BackendCalls
from dbproxy.stores.pools import LimitedPool
from dbproxy.stores.redis.address import may_get_ready
from dbproxy.stores.redis.cluster import Cluster
from dbproxy.stores.redis.cluster_node import NodeFailedError, Notices
from dbproxy.stores.redis.cluster_slots import Address
from dbproxy.stores.redis.commands import BrokenKey, CacheCommand, not_executed
from dbproxy.stores.redis.driver import DriverConnection
from dbproxy.stores.redis.pool_state import CacheState
from dbproxy.stores.redis.service_master import ServiceMaster
from dbproxy.stores.resolver import Resolver

if TYPE_CHECKING:
    from typing_extensions import Self

logger = logging.getLogger(__name__)

_T = TypeVar("_T")

MOVES = 3
"""How often the commands that a former master has refused are sent to another one."""


class CachePool(LimitedPool[CacheState]):
    """The connections to one Redis instance and database number, up to ``maxconncnt``, or to one Redis Cluster, up to ``maxconncnt`` to
    each node; while as many threads use it, another one waits up to ``CachePoolTimeout``.
    """

    kind = "redis"

    def __init__(
        self,
        instance: CacheInstance,
        config: Config,
        resolver: Resolver,
        calls: BackendCalls = UNTRACKED,
        known_nodes: Iterable[Address] = (),
    ) -> None:
        """``known_nodes``: see CacheState."""
        super().__init__(instance.name, calls, CacheState(instance, config, resolver, calls, known_nodes))
        self._resolver = resolver
        self._notices = Notices(
            self.counters.connected,
            self.distrust,
            lambda text: logger.warning("%s: %s: its data may be older than what was written", self, text),
        )
        self._run_id_lock = threading.Lock()
        self._failovers = 0
        self.restarts = 0
        """How often the server turned out to be another one than before: started again, a replica that took over, or another address after
        a reload; of a cluster how often any node did, or slots moved (``cluster_map.py``). It rises before anything is asked of the new
        one, whose data may be older than what was written."""

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
            self.check()
        except StoreUnavailableError as error:
            keys = ", ".join(f"{self.name}_{end}" for end in self._state.keys)
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
        if self._state.cluster is not None:
            return self._with_cluster(lambda cluster: cluster.exchange(commands, self._notices))
        with self._connection() as (state, connection, began):
            replies, refused = connection.exchange(commands)
            if refused is not None and state.address.moves:
                return self._send_again(state, connection, began, commands, replies)
            return replies, refused

    def _send_again(
        self, state: CacheState, connection: DriverConnection, began: float, commands: Sequence[CacheCommand], replies: list[Any]
    ) -> tuple[list[Any], redis.ResponseError | None]:
        """Send what a former master has refused, and no more, to its successor; the replies go into ``replies``. See ``_exchange``."""
        for _ in range(MOVES):
            places = not_executed(commands, replies)
            if not places:
                break
            connection.disconnect()
            self._connect(state, connection, began)
            for place, reply in zip(places, connection.exchange([commands[place] for place in places])[0], strict=True):
                replies[place] = reply
        return replies, next((reply for reply in reversed(replies) if isinstance(reply, redis.ResponseError)), None)

    def check(self) -> None:
        """Send PING, to each master of a cluster; see LimitedPool."""
        if self._state.cluster is None:
            self.execute([("PING",)])
        else:
            self._with_cluster(lambda cluster: cluster.check(self._notices))

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Host and port of the servers that have keys of this pool, as far as they are known."""
        return self._state.addresses

    @property
    def known_nodes(self) -> frozenset[Address]:
        """See CacheState."""
        return self._state.known_nodes

    @property
    def is_cluster(self) -> bool:
        """Whether it leads to a Redis Cluster."""
        return self._state.cluster is not None

    @property
    def works_in_part(self) -> bool:
        """See CacheState."""
        return self._state.works_in_part

    def ask_at(self, address: Address, commands: Sequence[CacheCommand]) -> list[Any]:
        """Send commands to one of ``addresses``, wherever their keys are, and return the replies: a command that is refused has a
        redis.ResponseError as its reply. Raises as ``execute``; of one node of a cluster that does not count as a failure of the pool.
        """
        if self._state.cluster is None:
            return self._exchange(commands)[0]
        return self._with_cluster(lambda cluster: cluster.exchange_with(address, commands, self._notices), counts=False)

    def close(self) -> None:
        """Close the idle connections; see LimitedPool."""
        self._state.close_idle()

    def _with_cluster(self, use: Callable[[Cluster], _T], *, counts: bool = True) -> _T:
        """Call what uses the cluster, as one of ``maxconncnt`` threads. ``counts``: whether its outcome says how the pool works."""
        self._calls.before_call()
        state = self._state
        if state.cluster is None:
            raise StoreUnavailableError(f"{self}: it was a Redis Cluster before the configuration was changed")
        if not state.free.acquire(blocking=False):
            self._wait_for_free(state)
        try:
            result = use(state.cluster)
        except NodeFailedError as error:
            if not counts:
                raise StoreUnavailableError(f"{state.label}: {error}") from error.error
            raise self._failed(state, error.error, error.connected, str(error)) from error.error
        finally:
            state.free.release()
            if state.retired:
                state.close_idle()
        self.counters.works |= counts
        return result

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

    def _failed(self, state: CacheState, error: redis.RedisError | OSError, connected: bool, why: str = "") -> StoreUnavailableError:
        text = f"{state.label}: {why or error}"
        in_time = not isinstance(error, (redis.TimeoutError, TimeoutError))
        self.counters.failed("connect" if not connected else "lost" if in_time else "timeout", text)
        return StoreUnavailableError(text)

    def _connections_and_calls(self) -> tuple[int, int, int, float]:
        in_use, idle, calls, seconds = self._state.connections_and_calls()
        return in_use, idle, self._former_calls + calls, self._former_seconds + seconds

    def _connect(self, state: CacheState, connection: DriverConnection, began: float) -> None:
        """Connect a connection, and notice when it leads to other data than the one before; with an account that may not use INFO no
        restart is noticed.
        """
        while not self._notice_server(state, connection, state.address.connect(connection, began)):
            pass  # the pool has left that server meanwhile
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
                self._failovers += moves and state.server != f"{connection.host}:{connection.port}"
            if moves:
                state.show_server(connection)
        if is_other:
            if moves:
                state.close_outdated()
            if not state.retired:
                logger.warning("%s was started again, or replaced by another", state.label)
        return True

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
