"""A Galera cluster and a Redis: :class:`GaleraStack`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

import pymysql

from dbproxy.errors import StartupError
from dbproxy.testing.galera_node import GaleraNode
from dbproxy.testing.servers import SCHEMA, PrivateRedis
from dbproxy.testing.several_writers import SeveralWriters
from dbproxy.testing.waiting import eventually


class GaleraStack(SeveralWriters):
    """``nodes`` MariaDB servers in a Galera cluster, all of which take writes, and one Redis.

    ``mariadb`` is the first node, and configurations lead to it unless they are made with :meth:`on`::

        with GaleraStack(nodes=2) as stack:
            first, second = ProxyProcess(stack, stack.on(0)), ProxyProcess(stack, stack.on(1))

    A cluster goes on while more than half of the nodes of its last state are there: of three one may be killed, of two none.
    ``missing_for_galera`` says whether such a cluster can be run here. For the other arguments see :class:`Stack`.
    """

    def __init__(
        self,
        directory: Path | str | None = None,
        *,
        nodes: int = 2,
        schema: Path | str = SCHEMA,
        persistent: bool = False,
        redis_password: str | None = None,
        mysql_options: Sequence[str] = (),
    ) -> None:
        self.nodes: list[GaleraNode] = []
        super().__init__(
            directory,
            writers=self.nodes,
            size=nodes,
            schema=schema,
            persistent=persistent,
            redis_password=redis_password,
            mysql_options=mysql_options,
        )

    def kill(self, node: int) -> None:
        """Kill a node, as a crash would; ``repair`` starts it again."""
        self.nodes[node].kill()

    def isolate(self, node: int) -> None:
        """Cut a node off from the others and wait until it has noticed: clients still reach it, but it refuses what they ask (1047)."""
        self.nodes[node].isolate()
        _await(lambda: self.nodes[node].status("wsrep_cluster_status") != "Primary", "the node has noticed")

    def repair(self) -> None:
        """Start the nodes that were killed, resume frozen ones, end isolation, and wait until all nodes take writes again."""
        self._repair()

    def wait_until_equal(self) -> None:
        """Wait until each node has applied what all have committed before."""
        for node in self.nodes:
            if node.running:
                with contextlib.closing(node.connect()) as connection, connection.cursor() as cursor:
                    cursor.execute("SET STATEMENT wsrep_sync_wait=1 FOR SELECT 1")

    def _start_servers(self, directory: Path) -> None:
        peers: list[str] = []
        for number in range(self._size):
            node = GaleraNode(directory / f"node{number}", number, peers, schema=self._schema, keep=self._keep, options=self._mysql_options)
            self.nodes.append(node)
            self._servers.append(node)
        first = self.mariadb = self.nodes[0]
        first.bootstrap()
        if self._size > 1:
            first.stop()
            for node in self.nodes[1:]:
                first.copy_to(node)
            first.bootstrap()
            for node in self.nodes[1:]:
                node.start()
        self._await_cluster()
        self.redis_server = self._started(
            PrivateRedis(directory / "redis", persistent=self._persistent, password=self._redis_password, keep=self._keep)
        )

    def _repair(self) -> None:
        for server in self._servers:
            if server.running:
                server.thaw()
        running = [node for node in self.nodes if node.running]
        for node in running:
            node.rejoin()
        # a node that comes back before the others have noticed that it was gone may be in their way
        size = str(len(running))
        _await(lambda: all(node.status("wsrep_cluster_size") == size for node in running), "the nodes that run have found each other")
        if not any(node.is_primary for node in running):
            self._bootstrap_again()
        for server in self._servers:
            if not server.running:
                self._drop_admin()
                server.start()
        self._await_cluster()

    def _bootstrap_again(self) -> None:
        """Begin the cluster anew with the node that has the most, because too few are left for a majority."""
        self._drop_admin()
        running = [node for node in self.nodes if node.running]
        for node in running:
            node.stop()
        (running or self.nodes)[0].bootstrap()

    def _await_cluster(self) -> None:
        def is_complete() -> bool:
            return all(node.is_primary and node.status("wsrep_cluster_size") == str(self._size) for node in self.nodes)

        _await(is_complete, "all nodes are in the cluster")
        _await(lambda: all(map(_commits, self.nodes)), "each node commits")

    def close(self) -> None:
        """Stop the servers; see :class:`Stack`."""
        super().close()
        self.nodes.clear()


def _commits(node: GaleraNode) -> bool:
    """Whether a node executes what all nodes have to agree on; it changes nothing."""
    try:
        with contextlib.closing(node.connect(None)) as connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE IF NOT EXISTS `{node.database}`")
    except (OSError, pymysql.MySQLError):
        return False
    return True


def _await(check: Callable[[], bool], what: str) -> None:
    if not eventually(check, True, timeout=60):
        raise StartupError(f"Galera: waited in vain until {what}")
