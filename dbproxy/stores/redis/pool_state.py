"""CacheState: the server, the connections and the limits of a pool of connections to Redis. Any thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from dbproxy.config import CacheInstance, Config
from dbproxy.stores.backend_calls import BackendCalls
from dbproxy.stores.pool_counters import PoolCounters
from dbproxy.stores.pools import PoolState
from dbproxy.stores.redis.address import Address, FixedAddress
from dbproxy.stores.redis.cluster import Cluster
from dbproxy.stores.redis.cluster_node import NodeSettings
from dbproxy.stores.redis.cluster_slots import Address as NodeAddress
from dbproxy.stores.redis.driver import DriverConnection
from dbproxy.stores.redis.service_master import ServiceMaster
from dbproxy.stores.resolver import Resolver
from dbproxy.stores.tls import tls_context, tls_keys


class CacheState(PoolState):
    """The connections to one server, to the master of a service, or to the nodes of a Redis Cluster."""

    def __init__(
        self, instance: CacheInstance, config: Config, resolver: Resolver, calls: BackendCalls, known_nodes: Iterable[NodeAddress] = ()
    ) -> None:
        """``known_nodes``: of a cluster, nodes that may be asked for the others beside the one of the configuration."""
        label = f"Redis instance {instance.name} at {instance.address} db {instance.db}"
        if instance.cluster:
            label = f"Redis Cluster instance {instance.name} at {instance.address}"
        server = instance.service or instance.address
        super().__init__(label, server, instance.maxconncnt, config.cache_pool_timeout, instance.tls, PoolCounters())
        self.instance = instance
        self.config = config
        self.tls = None if instance.tls is None else tls_context(instance.name, instance.tls)
        self.master = ServiceMaster(instance, config, self.tls, resolver, calls) if instance.sentinels else None
        self.address: Address = self.master or FixedAddress()
        self.cluster: Cluster | None = None
        """What has the connections instead of this, if it is a Redis Cluster."""
        if instance.cluster:
            self.cluster = Cluster(NodeSettings(instance, config, self.tls, resolver, calls), known_nodes)
        self.idle: deque[DriverConnection] = deque()  # last in, first out; append and pop are atomic
        self.connections: list[DriverConnection] = []
        """All that were ever made, at most ``maxconncnt`` until ``close``: a lost one is connected again."""
        self.given_up = 0
        self.run_id: bytes | None = None
        """Of the server that was last connected to; None: not known."""

    @property
    def limit(self) -> int:
        """See PoolState; of a cluster for all masters together."""
        return self.size if self.cluster is None else self.size * max(1, len(self.cluster.map.topology.masters))

    @property
    def addresses(self) -> tuple[NodeAddress, ...]:
        """Host and port of the servers that have the keys, as far as they are known."""
        if self.cluster is not None:
            return self.cluster.map.topology.masters
        host, _, port = self.server.rpartition(":")
        return ((host, int(port)),) if port.isdecimal() else ()

    @property
    def known_nodes(self) -> frozenset[NodeAddress]:
        """All nodes of the cluster, replicas included, and the address that the configuration names, which may be no node any more; empty
        if it is none.
        """
        if self.cluster is None:
            return frozenset()
        return frozenset({*self.cluster.map.topology.nodes, (self.instance.host, self.instance.port)})

    @property
    def works_in_part(self) -> bool:
        """Whether it is a Redis Cluster of which some master can be used, as far as is known."""
        return self.cluster is not None and self.cluster.map.works_in_part

    def connections_and_calls(self) -> tuple[int, int, int, float]:
        """Connections in use, open ones that are idle, pipelines sent, and the seconds for which servers were waited for."""
        if self.cluster is not None:
            return self.cluster.map.connections_and_calls()
        made, idle = self.connections.copy(), self.idle.copy()
        open_idle = sum(connection.open for connection in idle)
        calls, seconds = sum(connection.calls for connection in made), sum(connection.seconds for connection in made)
        return max(0, len(made) - self.given_up - len(idle)), open_idle, calls, seconds

    @property
    def keys(self) -> tuple[str, ...]:
        """Ends of the keys to look at when the server cannot be used."""
        instance = self.instance
        where: tuple[str, ...] = ("sentinels", "service", "sentinel_password") if instance.sentinels else ("host", "port")
        return (*where, "cluster" if instance.cluster else "db", "username", "password", *tls_keys(instance.tls))

    def has_data_of(self, other: CacheState) -> bool:
        """Whether both lead to the same data, as far as is known."""
        if self.cluster is not None and other.cluster is not None:
            return self.cluster.map.has_data_of(other.cluster.map)
        if self.instance.cluster != other.instance.cluster or self.instance.db != other.instance.db:
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
        if self.cluster is not None:
            self.cluster.map.close_idle()
        while True:
            try:
                connection = self.idle.pop()
            except IndexError:
                return
            connection.disconnect()
            self.given_up += 1
