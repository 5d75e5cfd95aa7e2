"""The topologies of the soak test: which servers there are, how the two proxies reach them, and what may happen. One thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from dbproxy.testing.cluster import ClusterStack
from dbproxy.testing.galera import GaleraStack
from dbproxy.testing.galera_node import missing_for_galera
from dbproxy.testing.group_replication import GroupStack, missing_for_group_replication
from dbproxy.testing.replica_stack import ReplicaStack
from dbproxy.testing.sentinel import SentinelStack
from dbproxy.testing.several_writers import SeveralWriters
from dbproxy.testing.stack import POOLS, Stack
from devtools.soak.faults import Fault, Scene
from devtools.soak.proxy_faults import ProxyFaults
from devtools.soak.redis_cluster_faults import RedisClusterFaults
from devtools.soak.replica_faults import ReplicaFaults
from devtools.soak.sentinel_faults import SentinelFaults
from devtools.soak.server_faults import MySQLFaults, RedisData, RedisFaults
from devtools.soak.several_writers_faults import GaleraFaults, GroupFaults

DATABASES = ("teamtalk_master", "teamtalk_slave")

POOL_SIZE = 16
"""maxconncnt of each pool."""

Keys = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Topology:
    """One way to set up the servers."""

    make_stack: Callable[[Path], Stack]
    faults: Callable[[Scene], Sequence[Fault]]
    links: tuple[str, ...]
    """Names of the instances that the proxy that is restarted reaches over the links."""
    connections: int = 7 * POOL_SIZE + 4
    """Connections to backends that a proxy may have: the pools, and the file server."""
    missing: Callable[[], str] = lambda: ""
    """Why it cannot be run here; empty: it can."""
    keys: Callable[[Stack], tuple[Keys, Keys]] = lambda _: ({}, {})
    """Further keys of the two proxies, the steady one first."""
    left_to_proxies: frozenset[str] = frozenset()
    """Kinds of findings that a repair of the audit leaves to the proxies."""
    reads_what_others_commit: bool = True
    """Whether a proxy must read at once what one at another server has acknowledged."""
    settle: Callable[[Stack], None] = lambda _: None
    """Wait until all servers have what has been written, before it is checked."""


def link_keys(topology: Topology, mysql_port: int, redis_port: int) -> dict[str, object]:
    """Return the keys that lead the instances in ``links`` over the links."""
    ports = {name: mysql_port if name in DATABASES else redis_port for name in topology.links}
    return {f"{name}_{key}": value for name, port in ports.items() for key, value in (("host", "127.0.0.1"), ("port", port))}


def _pool_moves(scene: Scene, names: Sequence[str]) -> dict[str, Sequence[object]]:
    """The port of each instance: that of the link and that of the server."""
    mysql = scene.mysql_link.port, scene.stack.mariadb.port
    redis = scene.redis_link.port, scene.stack.redis_server.port
    return {f"{name}_port": mysql if name in DATABASES else redis for name in names}


def _stock_faults(scene: Scene) -> Sequence[Fault]:
    moves = _pool_moves(scene, (*DATABASES, *POOLS))
    return [*MySQLFaults(scene).all(), *RedisFaults(scene).all(), *RedisData(scene).all(), *ProxyFaults(scene, moves).all()]


StackType = TypeVar("StackType", bound=Stack)


def _as(kind: type[StackType], stack: Stack) -> StackType:
    """Return a stack as what the topology has made it."""
    if not isinstance(stack, kind):
        raise TypeError(f"{type(stack).__name__} is no {kind.__name__}")
    return stack


def _galera_faults(scene: Scene) -> Sequence[Fault]:
    own = GaleraFaults(scene, _as(GaleraStack, scene.stack)).all()
    moves = _pool_moves(scene, tuple(POOLS))
    return [*own, *RedisFaults(scene).all(), *RedisData(scene).all(), *ProxyFaults(scene, moves).all()]


def _group_faults(scene: Scene) -> Sequence[Fault]:
    own = GroupFaults(scene, _as(GroupStack, scene.stack)).all()
    moves = _pool_moves(scene, tuple(POOLS))
    return [*own, *RedisFaults(scene).all(), *RedisData(scene).all(), *ProxyFaults(scene, moves).all()]


def _on_different_nodes(stack: Stack) -> tuple[Keys, Keys]:
    cluster = _as(SeveralWriters, stack)
    size = len(cluster.nodes)

    def beginning_with(first: int) -> Keys:
        return {f"{name}_host": cluster.hosts(*((first + index) % size for index in range(size))) for name in DATABASES}

    return beginning_with(0), beginning_with(1)


def _sentinel_faults(scene: Scene) -> Sequence[Fault]:
    own = SentinelFaults(scene, _as(SentinelStack, scene.stack)).all()
    moves = _pool_moves(scene, DATABASES)
    return [*own, *MySQLFaults(scene).all(), *RedisData(scene).all(), *ProxyFaults(scene, moves).all()]


def _cluster_faults(scene: Scene) -> Sequence[Fault]:
    own = RedisClusterFaults(scene, _as(ClusterStack, scene.stack)).all()
    moves = _pool_moves(scene, DATABASES)
    return [*own, *MySQLFaults(scene).all(), *RedisData(scene).all(), *ProxyFaults(scene, moves).all()]


def _replica_faults(scene: Scene) -> Sequence[Fault]:
    own = ReplicaFaults(scene, _as(ReplicaStack, scene.stack)).all()
    moves = _pool_moves(scene, tuple(POOLS))
    of_primary = MySQLFaults(scene).of_server()
    return [*own, *of_primary, *RedisFaults(scene).all(), *RedisData(scene).all(), *ProxyFaults(scene, moves).all()]


TOPOLOGIES: Mapping[str, Topology] = {
    "stock": Topology(make_stack=Stack, faults=_stock_faults, links=(*DATABASES, *POOLS)),
    "sentinel": Topology(
        make_stack=SentinelStack,
        faults=_sentinel_faults,
        links=DATABASES,
        settle=lambda stack: _as(SentinelStack, stack).settle(),
    ),
    "cluster": Topology(
        make_stack=ClusterStack,
        faults=_cluster_faults,
        links=DATABASES,
        connections=2 * POOL_SIZE + 4 + 6 * len(POOLS) * POOL_SIZE,  # a pool may have so many to each node
        settle=lambda stack: _as(ClusterStack, stack).wait_until_ok(),
    ),
    "replica": Topology(
        # without semi-synchronous commits the crash of a primary may lose what was acknowledged, and nobody promises otherwise
        make_stack=lambda directory: ReplicaStack(
            directory, replicas=2, list_hosts=True, semi_sync=True, semi_sync_timeout=60, mysql_options=("--sync-binlog=1",)
        ),
        faults=_replica_faults,
        links=tuple(POOLS),
        connections=9 * POOL_SIZE + 4,
        settle=lambda stack: _as(ReplicaStack, stack).wait_for_replicas(),
    ),
    "galera": Topology(
        make_stack=lambda directory: GaleraStack(directory, nodes=3),
        faults=_galera_faults,
        links=tuple(POOLS),
        missing=missing_for_galera,
        keys=_on_different_nodes,
        left_to_proxies=frozenset(("members-lost",)),
        settle=lambda stack: _as(GaleraStack, stack).wait_until_equal(),
    ),
    "group": Topology(
        make_stack=lambda directory: GroupStack(directory, nodes=3),
        faults=_group_faults,
        links=tuple(POOLS),
        missing=missing_for_group_replication,
        keys=_on_different_nodes,
        left_to_proxies=frozenset(("members-lost",)),
        reads_what_others_commit=False,
        settle=lambda stack: _as(GroupStack, stack).wait_until_equal(),
    ),
}
"""By the name that ``--topology`` takes."""
