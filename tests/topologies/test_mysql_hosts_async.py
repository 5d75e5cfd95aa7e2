"""What asynchronous replication loses with its primary is lost; nothing that is left contradicts itself, and no id is given twice."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest
from steady_load import SteadyLoad, assert_nothing_is_twice, stored

from dbproxy.testing import Client, ProxyProcess, ReplicaStack, seed
from dbproxy.testing.waiting import eventually

pytestmark = pytest.mark.watchdog(90)

KEYS: dict[str, object] = {"StopGrace": 1}


@pytest.fixture(scope="module")
def servers() -> Iterator[ReplicaStack]:
    with ReplicaStack(list_hosts=True) as stack:
        yield stack


@pytest.fixture
def stack(servers: ReplicaStack) -> ReplicaStack:
    servers.reset()
    seed.users(servers, "alice", "bob", "carol", "dave")
    seed.group(servers, 9, [1, 2])
    servers.wait_for_replicas()
    return servers


def lose_the_primary(stack: ReplicaStack) -> None:
    """What was written since the replication was stopped is lost."""
    stack.servers[0].kill()
    stack.promote()


@pytest.mark.long
def test_lost_messages_leave_a_gap_and_no_id_is_given_twice(stack: ReplicaStack) -> None:
    with ProxyProcess(stack, KEYS) as one, ProxyProcess(stack, KEYS) as two:
        with SteadyLoad([one, two]) as load:
            load.more(40)
            stack.stop_replication()
            load.more(40)
            lose_the_primary(stack)
            load.more(80)
        assert load.errors == []
    rows = stored(stack)
    assert_nothing_is_twice(load, rows)
    lost = set(load.acknowledged) - set(rows)
    assert len(lost) >= 40
    for pair in ((1, 2), (3, 4)):
        ids = sorted(row.msg_id for row in rows if row.pair == pair)
        missing = {ack.msg_id for ack in lost if ack.pair == pair}
        assert missing <= set(range(ids[0], ids[-1])) - set(ids)  # one gap, in the middle


def test_rows_that_are_given_again_are_not_taken_for_those_that_were_lost(stack: ReplicaStack) -> None:
    """The lost relation, sessions and messages had row ids that others get on the new primary."""
    with ProxyProcess(stack, KEYS) as proxy, proxy.client() as client:
        assert client.send_message(1, 2, "kept").msg_id == 1
        assert client.send_group_message(1, 9, "kept").msg_id == 1
        stack.wait_for_replicas()
        stack.stop_replication()
        assert [client.send_message(1, 2, f"lost {number}").msg_id for number in range(3)] == [2, 3, 4]
        assert client.send_message(3, 4, "lost").msg_id == 1
        assert client.send_group_message(1, 9, "lost").msg_id == 2
        lose_the_primary(stack)
        assert client.send_message(1, 4, "new").msg_id == 1
        assert client.send_message(3, 4, "new").msg_id > 0
        assert client.send_message(1, 2, "new").msg_id == 5
        assert client.send_group_message(1, 9, "new").msg_id == 3
        found = sorted((row.pair, row.msg_id, row.text) for row in stored(stack))
        assert [(pair, text) for pair, _, text in found] == [((1, 2), "kept"), ((1, 2), "new"), ((1, 4), "new"), ((3, 4), "new")]
        for sender, receiver in ((1, 2), (1, 4), (3, 4)):
            assert [message.msg_data.decode() for message in client.messages(sender, receiver).msg_list][:1] == ["new"]
    twice = "select userId,peerId,type,count(*) as n from IMRecentSession group by userId,peerId,type having n>1"
    assert stack.rows(twice) == []


def sends(client: Client) -> bool:
    return client.send_message(1, 2).msg_id > 0


def test_members_are_those_of_the_new_primary(stack: ReplicaStack) -> None:
    """The change that was lost was answered, and is in Redis."""
    with ProxyProcess(stack, KEYS) as one, ProxyProcess(stack, KEYS) as two, one.client() as client, two.client() as other:
        stack.stop_replication()
        assert client.add_members(1, 9, [3]).result_code == 0
        lost = client.create_group(1, [1, 2, 3, 4]).group_id
        lose_the_primary(stack)
        for asked in (client, other):
            # the first request finds the new primary, and everything is judged after that
            assert eventually(partial(sends, asked), True)
            infos = asked.group_info({9: 0}).group_info_list
            assert [sorted(info.group_member_list) for info in infos] == [[1, 2]]
        again = other.create_group(2, [2, 4]).group_id
        assert again == lost  # AUTO_INCREMENT gives it once more
        for asked in (client, other):
            assert [sorted(info.group_member_list) for info in asked.group_info({again: 0}).group_info_list] == [[2, 4]]
        assert other.send_group_message(2, again, "first").msg_id == 1
