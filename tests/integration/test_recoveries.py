"""What was restored because Redis had lost it is counted."""

from __future__ import annotations

import pytest

from dbproxy.testing import Client, InProcessProxy, Stack

pytestmark = pytest.mark.data(users=("alice", "bob"), groups={9: (1, 2)})


def test_each_kind_of_recovery_is_counted(stack: Stack, dbproxy_proxy: InProcessProxy, dbproxy_client: Client) -> None:
    counts = dbproxy_proxy.application.observed.recoveries.counts
    for number in range(3):
        dbproxy_client.send_group_message(1, 9, f"message {number}")
        dbproxy_client.send_message(1, 2, f"message {number}")
    assert counts() == {"ids": 0, "members": 0, "counters": 0}
    for pool in ("unread", "group_member"):
        stack.redis(pool).flushdb()
    dbproxy_client.send_message(1, 2, "after the loss")
    assert counts() == {"ids": 1, "members": 0, "counters": 0}
    dbproxy_client.send_group_message(1, 9, "after the loss")
    assert counts() == {"ids": 2, "members": 1, "counters": 1}


def test_the_group_sync_says_when_it_was_last_complete(dbproxy_proxy: InProcessProxy) -> None:
    sync = dbproxy_proxy.application.observed.sync_center
    sync.sync()
    assert 0 <= sync.lag < 30
    assert sync.failures == 0
