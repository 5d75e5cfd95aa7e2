"""Reads follow the master, also when nobody writes, and when a reload moves it."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from dbproxy.config import load_config
from dbproxy.stores.moves import PoolMoves
from dbproxy.stores.mysql import DBManager
from dbproxy.stores.redis import CacheManager
from dbproxy.testing import ProxyProcess, ReplicaStack, seed
from dbproxy.testing.waiting import eventually

DEPARTMENT = "insert into IMDepart (departName,priority,parentId,status,created,updated) values ('new',1,0,0,1,1)"


@pytest.mark.watchdog(120)
def test_a_proxy_that_only_reads_leaves_a_former_primary_that_does_not_follow_any_more() -> None:
    with ReplicaStack(replicas=1, list_hosts=True) as stack, ProxyProcess(stack) as proxy, proxy.client() as client:
        seed.users(stack, "alice", "bob")
        stack.wait_for_replicas()
        assert client.login("alice").result_code == 0
        former = stack.primary
        stack.promote()
        former.run_as_root("stop replica")
        with stack.mysql() as connection, connection.cursor() as cursor:
            cursor.execute("update IMUser set password='another' where name='alice'")
        assert eventually(lambda: client.login("alice").result_code, 1, 20) == 1
        assert eventually(lambda: "another server answers now" in proxy.log(), expected=True)


@pytest.mark.watchdog(120)
def test_reads_follow_a_master_that_a_reload_moves_though_the_only_replica_was_the_same_server_under_another_name(tmp_path: Path) -> None:
    with ReplicaStack(replicas=1) as stack:
        former, new = stack.primary.port, stack.replicas[0].port
        keys: dict[str, object] = {"teamtalk_master_host": "127.0.0.1", "teamtalk_slave_host": "localhost", "teamtalk_slave_port": former}
        running, wanted = (
            load_config(stack.write_config(tmp_path / f"{port}.conf", {**keys, "teamtalk_master_port": port})) for port in (former, new)
        )
        with contextlib.ExitStack() as ending:
            databases, caches = DBManager(running), CacheManager(running)
            ending.callback(databases.close)
            ending.callback(caches.close)
            databases.open()
            caches.open()
            assert databases.slave.replicas() == []  # one server for everything
            stack.promote()
            stack.servers[0].run_as_root("stop replica")
            moves = PoolMoves(databases, caches)
            assert moves.prepare(running, wanted) == []
            moves.switch()
            moves.close()
            databases.master.write(lambda connection: connection.execute(DEPARTMENT))
            assert len(databases.slave.select("select id from IMDepart")) == 1
