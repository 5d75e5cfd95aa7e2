"""CacheState: the server, the connections and the limits of a pool of connections to Redis. Any thread."""

from __future__ import annotations

from collections import deque

from dbproxy.config import CacheInstance, Config
from dbproxy.stores.backend_calls import BackendCalls
from dbproxy.stores.pool_counters import PoolCounters
from dbproxy.stores.pools import PoolState
from dbproxy.stores.redis.address import Address, FixedAddress
from dbproxy.stores.redis.driver import DriverConnection
from dbproxy.stores.redis.service_master import ServiceMaster
from dbproxy.stores.resolver import Resolver
from dbproxy.stores.tls import tls_context


class CacheState(PoolState):
    """The connections to one server, or to the master of a service."""

    def __init__(self, instance: CacheInstance, config: Config, resolver: Resolver, calls: BackendCalls) -> None:
        label = f"Redis instance {instance.name} at {instance.address} db {instance.db}"
        server = instance.service or instance.address
        super().__init__(label, server, instance.maxconncnt, config.cache_pool_timeout, instance.tls, PoolCounters())
        self.instance = instance
        self.config = config
        self.tls = None if instance.tls is None else tls_context(instance.name, instance.tls)
        self.master = ServiceMaster(instance, config, self.tls, resolver, calls) if instance.sentinels else None
        self.address: Address = self.master or FixedAddress()
        self.idle: deque[DriverConnection] = deque()  # last in, first out; append and pop are atomic
        self.connections: list[DriverConnection] = []
        """All that were ever made, at most ``maxconncnt`` until ``close``: a lost one is connected again."""
        self.given_up = 0
        self.run_id: bytes | None = None
        """Of the server that was last connected to; None: not known."""

    def has_data_of(self, other: CacheState) -> bool:
        """Whether both lead to the same data, as far as is known."""
        if self.instance.db != other.instance.db:
            return False
        if self.run_id is None or other.run_id is None:
            return self.server == other.server
        return self.run_id == other.run_id

    def show_server(self, connection: DriverConnection) -> None:
        """Name the server that a connection leads to in ``server`` and ``label`` from now on."""
        self.server = f"{connection.host}:{connection.port}"
        self.label = f"Redis instance {self.instance.name} at {self.server} (service {self.instance.service}) db {self.instance.db}"

    def leave(self, run_id: bytes | None) -> None:
        """Have the connections to all servers but the one with this run id (None: to all) made anew: idle ones are closed now."""
        for connection in self.connections.copy():
            if run_id is None or connection.server_id != run_id:
                connection.outdated = True

    def close_outdated(self) -> None:
        """Close those idle connections that lead to a server that was left."""
        for _ in range(len(self.idle)):
            if not self.free.acquire(blocking=False):
                return  # none is idle
            try:
                connection = self.idle.popleft()
                if connection.outdated:
                    connection.disconnect()
                self.idle.append(connection)
            except IndexError:
                return
            finally:
                self.free.release()

    def close_idle(self) -> None:
        """Close the idle connections."""
        while True:
            try:
                connection = self.idle.pop()
            except IndexError:
                return
            connection.disconnect()
            self.given_up += 1
