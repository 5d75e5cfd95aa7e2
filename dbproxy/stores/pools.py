"""What the pools of MySQL and Redis have in common: the limit on connections, and the pools by name."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Generic, Literal, TypeVar

from dbproxy.config import Config, TlsSettings
from dbproxy.errors import StoreUnavailableError
from dbproxy.stores.backend_calls import FREE_CONNECTION, BackendCalls
from dbproxy.stores.pool_counters import PoolCounters, PoolReport
from dbproxy.stores.tls import certificate_digests, tls_keys

if TYPE_CHECKING:
    from typing_extensions import Self


class PoolState:
    """The server, the connections and the limits of a pool. A reload replaces it as a whole; who takes a connection of a state gives it
    back to the same one. Any thread.
    """

    def __init__(self, label: str, server: str, size: int, timeout: float, tls: TlsSettings | None, counters: PoolCounters) -> None:
        """``label``: what errors call it; ``server``: host:port."""
        self.label = label
        self.server = server
        self.size = size
        self.timeout = timeout
        self.certificates = certificate_digests(tls)
        self.counters = counters
        self.free = threading.BoundedSemaphore(size)
        self.retired = False
        """Whether another one has taken its place: its connections are closed when they come back."""

    @property
    def limit(self) -> int:
        """How many connections there may be at most."""
        return self.size


State = TypeVar("State", bound=PoolState)


class BackendPool(ABC):
    """The connections of one instance of the configuration. It keeps its identity when a reload gives it other servers. Any thread."""

    kind: ClassVar[Literal["mysql", "redis"]]
    name: str

    @property
    @abstractmethod
    def certificates(self) -> Mapping[str, bytes]:
        """Digests of the files that its TLS context was made of; see ``certificate_digests``."""

    @abstractmethod
    def adopt(self, other: Self) -> None:
        """Take server, connections and limits of ``other`` from now on, without any I/O; ``other`` gets the former ones and has to be
        closed.
        """

    @abstractmethod
    def open(self) -> None:
        """Connect the first connections."""

    @abstractmethod
    def close(self) -> None:
        """Close the idle connections; after ``adopt`` also those that are in use, when they come back."""

    @abstractmethod
    def check(self) -> None:
        """Ask the server for a sign of life, with a connection of the pool.

        Raises:
            StoreError: there is none.

        """

    @abstractmethod
    def report(self) -> PoolReport:
        """The state of the pool; it asks no server."""


class LimitedPool(BackendPool, Generic[State]):
    """Lets a number of threads have a connection at a time; another one waits for a limited time. Any thread.

    A subclass reads ``_state`` once for each connection, takes its ``free`` without waiting if it can, calls ``_wait_for_free`` if not,
    and releases it afterwards.
    """

    def __init__(self, name: str, calls: BackendCalls, state: State) -> None:
        self.name = name
        self.counters = state.counters
        self._calls = calls
        self._state = state
        self._former_calls = 0
        self._former_seconds = 0.0

    def __str__(self) -> str:
        return self._state.label

    @property
    def certificates(self) -> Mapping[str, bytes]:
        """See BackendPool."""
        return self._state.certificates

    @property
    def failovers(self) -> int:
        """How often the pool has turned to another server by itself."""
        return 0

    def adopt(self, other: Self) -> None:
        """See BackendPool."""
        former, new = self._state, other._state
        _, _, calls, seconds = self._connections_and_calls()
        self._former_calls, self._former_seconds = calls, seconds
        self.counters.replaced(new.counters)
        new.counters = self.counters
        former.retired = True
        self._state, other._state = new, former

    @abstractmethod
    def _connections_and_calls(self) -> tuple[int, int, int, float]:
        """Connections in use, open ones that are idle, calls, and the seconds for which threads waited for the server. The last two are
        for all servers that the pool has had.
        """

    def report(self) -> PoolReport:
        """See BackendPool."""
        counters = self.counters
        in_use, idle, calls, seconds = self._connections_and_calls()
        return PoolReport(
            kind=self.kind,
            name=self.name,
            server=self._state.server,
            in_use=in_use,
            idle=idle,
            limit=self._state.limit,
            waiting=counters.waiting,
            waits=counters.waits,
            wait_seconds=counters.wait_seconds,
            connects=counters.connects,
            failovers=self.failovers,
            calls=calls,
            seconds=seconds,
            failures=counters.failures,
            works=counters.works,
            last_failure=counters.last_failure,
        )

    def _connection_keys(self, database: str, tls: TlsSettings | None) -> str:
        """Name the configuration keys to look at when the server cannot be used; ``database``: how the key of the database ends."""
        return ", ".join(f"{self.name}_{end}" for end in ("host", "port", database, "username", "password", *tls_keys(tls)))

    def _wait_for_free(self, state: PoolState) -> None:
        """Wait until a connection is free, and take it.

        Raises:
            StoreUnavailableError: none became free in time.

        """
        began = time.monotonic()
        self.counters.begin_waiting()
        self._calls.begin()
        try:
            if not state.free.acquire(timeout=state.timeout):
                text = f"{state.label}: no connection became free within {state.timeout:g} s ({self.name}_maxconncnt)"
                self.counters.failed("no_connection", text)
                raise StoreUnavailableError(text)
        finally:
            self._calls.end(FREE_CONNECTION)
            self.counters.end_waiting(time.monotonic() - began)


Pool = TypeVar("Pool", bound=BackendPool)


class PoolManager(ABC, Generic[Pool]):
    """Pools by the name of their instance in the configuration."""

    def __init__(self, pools: Mapping[str, Pool]) -> None:
        self.pools = pools

    def open(self) -> None:
        """Connect the first connections of every pool.

        Raises:
            StartupError: a server that cannot be reached or does not let us in; see ``open`` of the pool.

        """
        for pool in self.pools.values():
            pool.open()

    @abstractmethod
    def candidate(self, name: str, config: Config) -> Pool:
        """Make a pool with the settings of an instance in ``config``, for ``adopt`` of the pool with this name.

        Raises:
            StartupError: certificates that cannot be used.

        """

    @abstractmethod
    def settings(self, name: str, config: Config) -> object:
        """Everything in ``config`` that a pool depends on; to be compared."""

    def close(self) -> None:
        """Close all pools."""
        for pool in self.pools.values():
            pool.close()
