"""teamtalk_master with the nodes of a Galera cluster: the next one is used when a node refuses, and nothing stands twice."""

from __future__ import annotations

import contextlib

import pytest
from steady_load import SteadyLoad, assert_nothing_is_twice, stored

from dbproxy.testing import GaleraStack, ProxyProcess, seed

pytestmark = pytest.mark.watchdog(120)


def run_as_root(stack: GaleraStack, node: int, statement: str) -> None:
    with contextlib.closing(stack.nodes[node].connect()) as connection, connection.cursor() as cursor:
        cursor.execute(statement)


def keys(stack: GaleraStack) -> dict[str, object]:
    hosts = {"teamtalk_master_host": stack.hosts(), "teamtalk_slave_host": stack.hosts(1)}
    return {**hosts, "StopGrace": 1, "DBConnectTimeout": 15, "RequestTimeout": 40, "DBLockTimeout": 20, "DBTimeout": 25}


def test_a_node_that_refuses_everything_is_left_for_the_next_one(dbproxy_galera: GaleraStack) -> None:
    stack = dbproxy_galera
    stack.reset()
    seed.users(stack, "alice", "bob", "carol", "dave")
    with ProxyProcess(stack, keys(stack)) as one, ProxyProcess(stack, keys(stack)) as two:
        with SteadyLoad([one, two]) as load:
            load.more(40)
            run_as_root(stack, 0, "set global wsrep_reject_queries=ALL")
            try:
                load.more(60)
            finally:
                run_as_root(stack, 0, "set global wsrep_reject_queries=NONE")
        assert load.errors == []
        assert load.refused == []
        assert "another server answers now" in one.log()
        assert "not only" not in one.log()  # all nodes of one cluster may take writes
    stack.wait_until_equal()
    rows = stored(stack)
    assert_nothing_is_twice(load, rows)
    assert set(load.acknowledged) == set(rows)


@pytest.mark.long
def test_a_node_that_is_cut_off_from_its_cluster_is_left_for_the_next_one() -> None:
    with GaleraStack(nodes=3) as stack:
        seed.users(stack, "alice", "bob", "carol", "dave")
        with ProxyProcess(stack, keys(stack)) as one, ProxyProcess(stack, keys(stack)) as two:
            with SteadyLoad([one, two]) as load:
                load.more(40)
                stack.isolate(0)
                load.more(60)
            assert load.errors == []
            stack.repair()
        stack.wait_until_equal()
        rows = stored(stack)
        assert_nothing_is_twice(load, rows)
        assert set(load.acknowledged) - set(rows) == set()
