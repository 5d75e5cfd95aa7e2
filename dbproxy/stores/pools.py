"""What the pools of MySQL and Redis have in common: the limit on connections, and the pools by name."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Generic, Literal, TypeVar

from dbproxy.config import TlsSettings
from dbproxy.errors import StoreUnavailableError
from dbproxy.stores.backend_calls import FREE_CONNECTION, BackendCalls
from dbproxy.stores.pool_counters import PoolCounters, PoolReport
from dbproxy.stores.tls import tls_keys


class LimitedPool(ABC):
    """Lets ``size`` threads have a connection at a time; another one waits, at most ``timeout`` seconds. Any thread.

    A subclass takes ``_free`` without waiting if it can, calls ``_wait_for_free`` if not, and releases it afterwards.
    """

    kind: ClassVar[Literal["mysql", "redis"]]

    def __init__(self, name: str, server: str, size: int, timeout: float, calls: BackendCalls) -> None:
        """``server``: host:port."""
        self.name = name
        self.server = server
        self.size = size
        self.counters = PoolCounters()
        self._timeout = timeout
        self._calls = calls
        self._free = threading.BoundedSemaphore(size)

    @abstractmethod
    def open(self) -> None:
        """Connect the first connections."""

    @abstractmethod
    def close(self) -> None:
        """Close the idle connections."""

    @abstractmethod
    def check(self) -> None:
        """Ask the server for a sign of life, with a connection of the pool.

        Raises:
            StoreError: there is none.

        """

    @abstractmethod
    def _connections_and_calls(self) -> tuple[int, int, int, float]:
        """Connections in use, open ones that are idle, calls, and the seconds for which threads waited for the server."""

    def report(self) -> PoolReport:
        """The state of the pool; it asks no server."""
        counters = self.counters
        in_use, idle, calls, seconds = self._connections_and_calls()
        return PoolReport(
            kind=self.kind,
            name=self.name,
            server=self.server,
            in_use=in_use,
            idle=idle,
            limit=self.size,
            waiting=counters.waiting,
            waits=counters.waits,
            wait_seconds=counters.wait_seconds,
            connects=counters.connects,
            calls=calls,
            seconds=seconds,
            failures=counters.failures,
            works=counters.works,
            last_failure=counters.last_failure,
        )

    def _connection_keys(self, database: str, tls: TlsSettings | None) -> str:
        """Name the configuration keys to look at when the server cannot be used; ``database``: how the key of the database ends."""
        return ", ".join(f"{self.name}_{end}" for end in ("host", "port", database, "username", "password", *tls_keys(tls)))

    def _wait_for_free(self) -> None:
        """Wait until a connection is free, and take it.

        Raises:
            StoreUnavailableError: none became free in time.

        """
        began = time.monotonic()
        self.counters.begin_waiting()
        self._calls.begin()
        try:
            if not self._free.acquire(timeout=self._timeout):
                text = f"{self}: no connection became free within {self._timeout:g} s ({self.name}_maxconncnt)"
                self.counters.failed("no_connection", text)
                raise StoreUnavailableError(text)
        finally:
            self._calls.end(FREE_CONNECTION)
            self.counters.end_waiting(time.monotonic() - began)


Pool = TypeVar("Pool", bound=LimitedPool)


class PoolManager(Generic[Pool]):
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

    def close(self) -> None:
        """Close all pools."""
        for pool in self.pools.values():
            pool.close()
