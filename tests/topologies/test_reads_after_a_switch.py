"""A proxy that only reads learns of a planned switch of the primary, too."""

from __future__ import annotations

import pytest

from dbproxy.testing import ProxyProcess, ReplicaStack, seed
from dbproxy.testing.waiting import eventually


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
        assert "another server answers now" in proxy.log()
