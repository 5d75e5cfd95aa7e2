"""A node of a private Redis Cluster: :class:`ClusterNode`."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import redis

from dbproxy.testing.process import free_port
from dbproxy.testing.servers import PrivateRedis


class NodeEntry(NamedTuple):
    """What CLUSTER NODES says of one node."""

    node_id: str
    port: int
    is_master: bool
    master_id: str
    """Of a replica; ``-`` of a master."""
    slots: int
    """How many it serves."""
    failed: bool
    """Whether the others take it for dead, or may soon."""
    is_linked: bool
    """Whether the node that was asked is connected to it."""


class ClusterNode(PrivateRedis):
    """A Redis server in cluster mode, with a free port of its own for the bus. ``node_timeout`` is cluster-node-timeout in seconds."""

    def __init__(
        self,
        directory: Path | str | None = None,
        *,
        node_timeout: float = 2.0,
        keep: bool | None = None,
        persistent: bool = False,
        password: str | None = None,
        options: Sequence[str] = (),
    ) -> None:
        cluster = ["--cluster-enabled", "yes", "--cluster-node-timeout", str(int(node_timeout * 1000)), "--cluster-port", str(free_port())]
        # a master would wait 5 s for other replicas that want a copy, too; and a replica is shown when it has got something, such as a ping
        cluster += ["--cluster-config-file", "nodes.conf", "--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"]
        cluster += ["--masterauth", password] if password else []
        super().__init__(directory, keep=keep, persistent=persistent, password=password, options=(*cluster, *options))

    def ask(self, *command: str | int | bytes) -> Any:  # noqa: ANN401 - whatever Redis replies
        """Return the reply to a command that is sent to this node; raises redis.RedisError."""
        with self.connect(timeout=5) as client:
            client.response_callbacks.clear()  # redis-py would make dicts of some
            return client.execute_command(*command)

    @property
    def bus_port(self) -> int:
        """The port of the cluster bus."""
        return int(self._options[self._options.index("--cluster-port") + 1])

    @property
    def node_id(self) -> str:
        """What the cluster calls it."""
        return str(self.ask("CLUSTER", "MYID"))

    def cluster_is_ok(self) -> bool:
        """Whether this node says that the cluster works; False when it does not answer."""
        with contextlib.suppress(redis.RedisError):
            return "cluster_state:ok" in str(self.ask("CLUSTER", "INFO"))
        return False

    def entries(self) -> list[NodeEntry]:
        """Return all nodes of the cluster as this one sees them; raises redis.RedisError."""
        found = []
        for line in str(self.ask("CLUSTER", "NODES")).splitlines():
            node_id, address, flags, master_id, _, _, _, link, *slots = line.split()
            port = int(address.partition("@")[0].rpartition(":")[2])
            count = sum(_size(part) for part in slots)
            found.append(
                NodeEntry(
                    node_id, port, "master" in flags.split(","), master_id, count, "fail" in flags, "myself" in flags or link == "connected"
                )
            )
        return found


def _size(slots: str) -> int:
    if slots.startswith("["):  # one that is being moved
        return 0
    first, _, last = slots.partition("-")
    return int(last or first) - int(first) + 1
