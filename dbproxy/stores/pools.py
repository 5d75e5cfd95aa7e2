"""What the pools of MySQL and Redis have in common: the limit on connections, and the pools by name."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Generic, TypeVar

from dbproxy.config import TlsSettings
from dbproxy.errors import StoreUnavailableError
from dbproxy.stores.backend_calls import BackendCalls
from dbproxy.stores.tls import tls_keys


class LimitedPool(ABC):
    """Lets ``size`` threads have a connection at a time; another one waits, at most ``timeout`` seconds. Any thread.

    A subclass takes ``_free`` without waiting if it can, calls ``_wait_for_free`` if not, and releases it afterwards.
    """

    def __init__(self, name: str, size: int, timeout: float, calls: BackendCalls) -> None:
        self.name = name
        self._timeout = timeout
        self._calls = calls
        self._free = threading.BoundedSemaphore(size)

    @abstractmethod
    def open(self) -> None:
        """Connect the first connections."""

    @abstractmethod
    def close(self) -> None:
        """Close the idle connections."""

    def _connection_keys(self, database: str, tls: TlsSettings | None) -> str:
        """Name the configuration keys to look at when the server cannot be used; ``database``: how the key of the database ends."""
        return ", ".join(f"{self.name}_{end}" for end in ("host", "port", database, "username", "password", *tls_keys(tls)))

    def _wait_for_free(self) -> None:
        """Wait until a connection is free, and take it.

        Raises:
            StoreUnavailableError: none became free in time.

        """
        self._calls.begin()
        try:
            if not self._free.acquire(timeout=self._timeout):
                raise StoreUnavailableError(f"{self}: no connection became free within {self._timeout:g} s ({self.name}_maxconncnt)")
        finally:
            self._calls.end()


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
