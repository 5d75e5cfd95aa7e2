"""A Galera cluster and a Redis: :class:`GaleraStack`."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pymysql

from dbproxy.testing.galera_node import GaleraNode
from dbproxy.testing.several_writers import SeveralWriters


class GaleraStack(SeveralWriters[GaleraNode]):
    """``nodes`` MariaDB servers in a Galera cluster, all of which take writes, and one Redis.

    ``mariadb`` is the first node, and configurations lead to it unless they are made with :meth:`on`::

        with GaleraStack(nodes=2) as stack:
            first, second = ProxyProcess(stack, stack.on(0)), ProxyProcess(stack, stack.on(1))

    A cluster goes on while more than half of the nodes of its last state are there: of three one may be killed, of two none.
    ``missing_for_galera`` says whether such a cluster can be run here. For the other arguments see :class:`Stack`.
    """

    def isolate(self, node: int) -> None:
        """Cut a node off from the others and wait until it has noticed: clients still reach it, but it refuses what they ask (1047)."""
        self.nodes[node].isolate()
        self._await(lambda: self.nodes[node].status("wsrep_cluster_status") != "Primary", "the node has noticed")

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
        self.redis_server = self._started_redis(directory)

    def _repair(self) -> None:
        for server in self._servers:
            if server.running:
                server.thaw()
        running = [node for node in self.nodes if node.running]
        for node in running:
            node.rejoin()
        # a node that comes back before the others have noticed that it was gone may be in their way
        size = str(len(running))
        self._await(lambda: all(node.status("wsrep_cluster_size") == size for node in running), "the nodes that run have found each other")
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

        self._await(is_complete, "all nodes are in the cluster")
        self._await(lambda: all(map(_commits, self.nodes)), "each node commits")


def _commits(node: GaleraNode) -> bool:
    """Whether a node executes what all nodes have to agree on; it changes nothing."""
    try:
        with contextlib.closing(node.connect(None)) as connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE IF NOT EXISTS `{node.database}`")
    except (OSError, pymysql.MySQLError):
        return False
    return True
