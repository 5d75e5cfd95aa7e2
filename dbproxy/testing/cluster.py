"""A Redis Cluster and a MariaDB: :class:`ClusterStack`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import redis
from redis.cluster import ClusterNode as StartupNode
from redis.crc import key_slot

from dbproxy.errors import StartupError
from dbproxy.testing.cluster_node import ClusterNode, NodeEntry
from dbproxy.testing.observe import Snapshot, snapshot
from dbproxy.testing.servers import SCHEMA, PrivateMariaDB
from dbproxy.testing.stack import Stack
from dbproxy.testing.waiting import poll

if TYPE_CHECKING:
    from typing_extensions import Self

SLOTS = 16384


class ClusterStack(Stack):
    """A Redis Cluster of ``masters`` masters with ``replicas`` replicas each, which all cache pools share, and one MariaDB.

    ``nodes`` are all its servers, the masters of the beginning first; who is master now say :meth:`owner` and :meth:`masters`.
    ``redis_server`` is the first node, which configurations name. ``node_timeout`` is the time in seconds after which a node that is silent
    counts as dead. For the other arguments see :class:`Stack`. Tests may change the cluster from one thread at a time.
    """

    def __init__(
        self,
        directory: Path | str | None = None,
        *,
        masters: int = 3,
        replicas: int = 1,
        node_timeout: float = 2.0,
        schema: Path | str = SCHEMA,
        persistent: bool = False,
        redis_password: str | None = None,
        mysql_options: Sequence[str] = (),
        redis_options: Sequence[str] = (),
    ) -> None:
        super().__init__(directory, schema=schema, persistent=persistent, redis_password=redis_password, mysql_options=mysql_options)
        self._master_count = masters
        self._replica_count = replicas
        self._node_timeout = node_timeout
        self._redis_options = tuple(redis_options)
        self.nodes: list[ClusterNode] = []

    def _start_servers(self, directory: Path) -> None:
        self.mariadb = self._started(
            PrivateMariaDB(directory / "mariadb", schema=self._schema, keep=self._keep, options=self._mysql_options)
        )
        self.nodes = [self._new_node(directory, number) for number in range(self._master_count * (1 + self._replica_count))]
        self.redis_server = self.nodes[0]
        if self.nodes[0].entries()[0].slots == 0:  # otherwise the directory has a cluster already
            self._create()
        self.wait_until_ok()

    def _new_node(self, directory: Path, number: int) -> ClusterNode:
        return self._started(
            ClusterNode(
                directory / f"redis-{number}",
                node_timeout=self._node_timeout,
                keep=self._keep,
                persistent=self._persistent,
                password=self._redis_password,
                options=self._redis_options,
            )
        )

    def _create(self) -> None:
        first, masters = self.nodes[0], self.nodes[: self._master_count]
        ids = [node.node_id for node in masters]
        for number, node in enumerate(masters):
            begin, end = (SLOTS * part // len(masters) for part in (number, number + 1))
            node.ask("CLUSTER", "ADDSLOTSRANGE", begin, end - 1)
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for node in self.nodes[1:]:
            first.ask("CLUSTER", "MEET", "127.0.0.1", node.port, node.bus_port)
        for number, node in enumerate(self.nodes[self._master_count :]):
            _await(lambda node=node: len(node.entries()) == len(self.nodes), "all nodes have met")  # type: ignore[misc]
            node.ask("CLUSTER", "REPLICATE", ids[number % len(masters)])

    def add_node(self) -> ClusterNode:
        """Start another node, which joins as a master without slots."""
        node = self._new_node(self.directory, len(self.nodes))
        self.nodes.append(node)
        self._any().ask("CLUSTER", "MEET", "127.0.0.1", node.port, node.bus_port)
        self.wait_until_ok()
        return node

    # who is who

    def masters(self) -> list[ClusterNode]:
        """Return the nodes that serve slots."""
        return [self._at(entry.port) for entry in self._entries() if entry.is_master and entry.slots and not entry.failed]

    def owner(self, key: str | bytes) -> ClusterNode:
        """Return the node that serves a key."""
        slot = key_slot(key if isinstance(key, bytes) else key.encode())
        for first, last, master, *_ in self._any().ask("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return self._at(int(master[1]))
        raise LookupError(f"no node serves slot {slot}")

    def replica_of(self, master: ClusterNode) -> ClusterNode:
        """Return a replica of this master that runs; LookupError when it has none."""
        entries = self._entries()
        master_id = next(entry.node_id for entry in entries if entry.port == master.port)
        for entry in entries:
            if entry.master_id == master_id and self._at(entry.port).running:
                return self._at(entry.port)
        raise LookupError(f"no replica of {master.port} runs")

    def _entries(self) -> list[NodeEntry]:
        return self._any().entries()

    def _any(self) -> ClusterNode:
        """A node that runs and works."""
        return next(node for node in self.nodes if node.running and node.cluster_is_ok())

    def _at(self, port: int) -> ClusterNode:
        return next(node for node in self.nodes if node.port == port)

    # what happens to it

    def kill(self, node: ClusterNode) -> None:
        """Kill a node, as a crash would; ``reset`` starts it again."""
        node.kill()

    def fail_over(self, master: ClusterNode) -> ClusterNode:
        """Let a replica take the place of a master that runs, without losing anything (CLUSTER FAILOVER), and return it."""
        replica = self.replica_of(master)
        _await(lambda: "master_link_status:up" in str(replica.ask("INFO", "replication")), "the replica is connected")
        replica.ask("CLUSTER", "FAILOVER")
        self.wait_for_master(replica)
        return replica

    def wait_for_master(self, node: ClusterNode, timeout: float = 30) -> None:
        """Wait until this node serves slots, and says that the cluster works."""
        _await(lambda: any(e.port == node.port and e.is_master and e.slots for e in node.entries()), "it is a master", timeout)
        _await(node.cluster_is_ok, "the cluster works", timeout)

    def wait_until_ok(self, timeout: float = 30) -> None:
        """Wait until every node that runs says that the cluster works, knows all the others, and every replica is connected."""
        running = [node for node in self.nodes if node.running]
        ports = {node.port for node in running}

        def is_ok() -> bool:
            replication = {node.port: str(node.ask("INFO", "replication")) for node in running}
            replicas = {port for port, text in replication.items() if "role:slave" in text}
            if any("link_status:down" in text for text in replication.values()):
                return False
            for node in running:
                alive = [entry for entry in node.entries() if entry.port in ports and entry.is_linked and not entry.failed]
                shown = {int(replica[1]) for _, _, _, *others in node.ask("CLUSTER", "SLOTS") for replica in others}
                if not node.cluster_is_ok() or len(alive) < len(running) or shown != replicas:
                    return False
            return True

        _await(is_ok, "all nodes agree that the cluster works", timeout)

    @contextlib.contextmanager
    def moving(self, slot: int, target: ClusterNode) -> Iterator[Callable[[], int]]:
        """Move a slot to another master: inside of the block it is half moved, so that keys that its owner does not have are answered with
        ASK. The function that the block gets moves the keys that are there (MIGRATE) and returns how many; it is called at the end, too.
        """
        source = next(node for node in self.masters() if _serves(node, slot))
        target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source.node_id)
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", target.node_id)
        password = ("AUTH", self._redis_password) if self._redis_password else ()

        def move_keys() -> int:
            moved = 0
            while keys := source.ask("CLUSTER", "GETKEYSINSLOT", slot, 100):
                source.ask("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "REPLACE", *password, "KEYS", *keys)
                moved += len(keys)
            return moved

        try:
            yield move_keys
        finally:
            move_keys()
            for node in (target, source):
                node.ask("CLUSTER", "SETSLOT", slot, "NODE", target.node_id)

    def reshard(self, slots: Sequence[int], target: ClusterNode) -> int:
        """Move slots with all their keys to a master, as ``redis-cli --cluster reshard`` does; returns how many keys were moved."""
        moved = 0
        for slot in slots:
            if not _serves(target, slot):
                with self.moving(slot, target) as move_keys:
                    moved += move_keys()
        return moved

    # what proxies and tests need

    def _cache_keys(self, name: str) -> dict[str, object]:
        host, port = self.redis_server.address
        return {f"{name}_cluster": "on", f"{name}_host": host, f"{name}_port": port}

    def redis(self, pool: str = "unread", *, decode_responses: bool = True) -> redis.Redis:
        """Return a new client of the whole cluster, which all pools share; the caller closes it."""
        del pool
        seeds = [StartupNode("127.0.0.1", node.port) for node in self.nodes if node.running]  # type: ignore[no-untyped-call]
        client = redis.RedisCluster(
            startup_nodes=seeds, protocol=2, decode_responses=decode_responses, password=self._redis_password, socket_timeout=10
        )
        return cast("redis.Redis", client)

    def snapshot(self) -> Snapshot:
        """Return all rows and keys; see :class:`Stack`."""
        with contextlib.closing(self.mysql()) as connection, contextlib.ExitStack() as exits:
            clients = [exits.enter_context(node.connect(decode_responses=False)) for node in self.masters()]
            return snapshot(connection, clients)

    def _repair(self) -> None:
        super()._repair()
        self.wait_until_ok()
        self._give_replicas()
        self.wait_until_ok()

    def _give_replicas(self) -> None:
        """Give every master that has none a replica: a node without slots, or one of several that another has. A master that lost its
        slots to several others comes back as a replica of any of them.
        """
        entries = self._entries()
        masters = [entry.node_id for entry in entries if entry.slots]
        replicas: dict[str, list[NodeEntry]] = {node_id: [] for node_id in masters}
        spare = [entry for entry in entries if entry.is_master and not entry.slots]
        for entry in entries:
            if entry.master_id in replicas:
                replicas[entry.master_id].append(entry)
        spare += [entry for node_id in masters for entry in replicas[node_id][self._replica_count :]]
        for node_id in masters:
            if len(replicas[node_id]) < self._replica_count and spare:
                node = self._at(spare.pop().port)
                _await(lambda node=node, node_id=node_id: node.ask("CLUSTER", "REPLICATE", node_id) is not None, "it replicates")  # type: ignore[misc]

    def _flush_caches(self) -> None:
        for node in self.masters():
            node.ask("FLUSHALL")

    def __enter__(self) -> Self:
        return self.start()


def _serves(node: ClusterNode, slot: int) -> bool:
    for first, last, master, *_ in node.ask("CLUSTER", "SLOTS"):
        if first <= slot <= last:
            return int(master[1]) == node.port
    return False


def _await(check: Callable[[], bool], what: str, timeout: float = 30) -> None:
    def passes() -> bool:
        with contextlib.suppress(redis.RedisError):
            return check()
        return False

    if not poll(passes, bool, timeout):
        raise StartupError(f"the Redis Cluster did not get there within {timeout:g} s: {what}")
