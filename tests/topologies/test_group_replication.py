"""A replication group of MySQL with several primaries: members leave, crash and freeze while proxies write to two of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cluster_rows import pairs, store
from steady_load import SteadyLoad, assert_nothing_is_twice, stored

from dbproxy.testing import GroupStack, ProxyProcess, seed
from dbproxy.testing.waiting import eventually

pytestmark = pytest.mark.watchdog(300)


def test_a_killed_member_comes_back_with_what_was_stored_without_it(dbproxy_group: GroupStack) -> None:
    dbproxy_group.reset()
    store(dbproxy_group, 0, (1, 2))
    dbproxy_group.kill(2)
    store(dbproxy_group, 1, (3, 4))
    dbproxy_group.repair()
    assert [pairs(dbproxy_group, member) for member in range(3)] == [[(1, 2), (3, 4)]] * 3


def test_a_group_whose_members_were_all_killed_begins_again_with_all_that_was_stored(dbproxy_group: GroupStack) -> None:
    dbproxy_group.reset()
    dbproxy_group.kill(0)
    store(dbproxy_group, 1, (1, 2))
    for member in dbproxy_group.nodes[1:]:
        member.kill()
    dbproxy_group.repair()
    assert [pairs(dbproxy_group, member) for member in range(3)] == [[(1, 2)]] * 3


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(lambda stack: stack.nodes[0].leave(), id="left"),
        pytest.param(lambda stack: stack.kill(0), id="killed"),
        pytest.param(lambda stack: stack.nodes[0].freeze(), id="frozen"),
    ],
)
def test_proxies_go_on_at_another_member_and_nothing_acknowledged_is_lost(
    fault: Callable[[GroupStack], None], dbproxy_group: GroupStack
) -> None:
    stack = dbproxy_group
    stack.reset()
    seed.users(stack, "alice", "bob", "carol", "dave")
    waits = {"StopGrace": 1, "DBTimeout": 6, "DBConnectTimeout": 15, "RequestTimeout": 40, "DBLockTimeout": 4}
    keys = [{"teamtalk_master_host": stack.hosts(*order), "teamtalk_slave_host": stack.hosts(1), **waits} for order in ((0, 1, 2), (1, 2))]
    with ProxyProcess(stack, keys[0]) as one, ProxyProcess(stack, keys[1]) as two:
        with SteadyLoad([one, two]) as load:
            load.more(40)
            fault(stack)
            load.more(60)
            assert eventually(lambda: "another server answers now" in one.log(), True, 60)
            load.more(40)
        assert load.errors == []
        stack.repair()
    stack.wait_until_equal()
    rows = stored(stack)
    assert_nothing_is_twice(load, rows)
    assert set(load.acknowledged) - set(rows) == set()
    assert [pairs(stack, member) for member in (1, 2)] == [pairs(stack, 0)] * 2
