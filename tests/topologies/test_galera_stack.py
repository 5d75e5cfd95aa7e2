"""The cluster that the tests of Galera run on: its nodes agree, leave, and come back."""

from __future__ import annotations

import pymysql
import pytest
from cluster_rows import pairs, store

from dbproxy.testing import GaleraStack


def test_what_one_node_stores_the_other_has_too(dbproxy_galera: GaleraStack) -> None:
    dbproxy_galera.reset()
    store(dbproxy_galera, 0, (1, 2))
    store(dbproxy_galera, 1, (3, 4))
    assert pairs(dbproxy_galera, 0) == pairs(dbproxy_galera, 1) == [(1, 2), (3, 4)]


def test_a_node_without_a_majority_refuses_and_works_again_after_the_repair(dbproxy_galera: GaleraStack) -> None:
    dbproxy_galera.reset()
    dbproxy_galera.isolate(1)
    with pytest.raises(pymysql.MySQLError, match="WSREP has not yet prepared"):
        store(dbproxy_galera, 1, (1, 2))
    dbproxy_galera.repair()
    store(dbproxy_galera, 1, (1, 2))
    assert pairs(dbproxy_galera, 0) == [(1, 2)]


@pytest.mark.long
def test_killed_nodes_come_back_with_what_was_stored_without_them() -> None:
    with GaleraStack(nodes=3) as stack:
        store(stack, 0, (1, 2))
        stack.kill(2)
        stack.nodes[0].wait_for_size(2)
        store(stack, 1, (3, 4))
        stack.repair()
        assert pairs(stack, 2) == [(1, 2), (3, 4)]
