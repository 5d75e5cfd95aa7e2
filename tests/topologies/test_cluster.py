"""A Redis Cluster that moves slots, fails over, loses nodes or gets old ones back under load: no id is given twice, and nothing that was
acknowledged is lost.

Traffic sends one message after the other on several connections and remembers what was acknowledged; ``verify`` compares that with MySQL.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from redis.crc import key_slot
from reloading import ReloadingProxy

from dbproxy.testing import Client, ClusterStack, ProxyProcess, seed
from dbproxy.testing.cluster_node import ClusterNode
from dbproxy.testing.requests import GROUP
from dbproxy.testing.waiting import eventually
from devtools.traffic import Traffic

CONVERSATIONS = [(1, 2, False), (2, 1, False), (3, 4, False), (5, 6, False), (1, 9, True), (2, 9, True), (3, 10, True)]
GROUPS = {9: [1, 2, 3], 10: [3, 4, 5]}
KEYS = {"ThreadNum": 16, "StopGrace": 1}

pytestmark = pytest.mark.watchdog(180)


@pytest.fixture
def stack(dbproxy_cluster: ClusterStack) -> Iterator[ClusterStack]:
    dbproxy_cluster.reset()
    for group_id, members in GROUPS.items():
        seed.group(dbproxy_cluster, group_id, members)
    yield dbproxy_cluster
    dbproxy_cluster.reset()


@pytest.fixture
def proxies(stack: ClusterStack) -> Iterator[list[ProxyProcess]]:
    """Two proxies on the same cluster."""
    with ExitStack() as exits:
        yield [exits.enter_context(ProxyProcess(stack, KEYS)) for _ in range(2)]


def traffic_on(proxies: list[ProxyProcess]) -> Traffic:
    def connect(number: int) -> Client:
        return proxies[number % len(proxies)].client(timeout=20)

    return Traffic(connect, CONVERSATIONS)


def unread_of(client: Client, user_id: int) -> dict[int, int]:
    return {entry.session_id: entry.unread_cnt for entry in client.unread(user_id).unreadinfo_list}


def stored(traffic: Traffic, sender: int, receiver: int) -> int:
    return sum(len(writer.history.acknowledged) for writer in traffic.writers if (writer.sender, writer.receiver) == (sender, receiver))


def assert_nothing_was_refused(traffic: Traffic, proxies: list[ProxyProcess]) -> None:
    logs = "\n".join(line for proxy in proxies for line in proxy.log().splitlines() if "WARNING" in line or "ERROR" in line)
    assert (traffic.refused, traffic.unanswered) == (0, 0), logs


def test_planned_failovers_of_all_masters_under_load_refuse_nothing(stack: ClusterStack, proxies: list[ProxyProcess]) -> None:
    with traffic_on(proxies) as traffic:
        for master in stack.masters():
            traffic.wait_for(40)
            stack.fail_over(master)
        traffic.wait_for(40)
    assert traffic.verify(stack) == []
    assert_nothing_was_refused(traffic, proxies)
    with proxies[0].client() as client:
        assert unread_of(client, 4)[3] == stored(traffic, 3, 4)
        assert unread_of(client, 6)[5] == stored(traffic, 5, 6)


def test_slots_that_move_with_their_keys_under_load_refuse_nothing(stack: ClusterStack, proxies: list[ProxyProcess]) -> None:
    with traffic_on(proxies) as traffic:
        traffic.wait_for(40)
        with stack.redis() as client:
            keys = [key for key in client.scan_iter() if stack.owner(key) is not stack.masters()[0]]
        assert stack.reshard([key_slot(key.encode()) for key in keys], stack.masters()[0]) >= len(keys)
        traffic.wait_for(40)
        assert stack.reshard([key_slot(key.encode()) for key in keys], stack.masters()[1]) >= len(keys)
        traffic.wait_for(40)
    assert traffic.verify(stack) == []
    assert_nothing_was_refused(traffic, proxies)
    with proxies[0].client() as client:
        assert unread_of(client, 4)[3] == stored(traffic, 3, 4)
        assert unread_of(client, 6)[5] == stored(traffic, 5, 6)


def test_commands_follow_keys_through_a_slot_that_is_half_moved(stack: ClusterStack) -> None:
    """Keys that are not there yet or any more are asked for at the other node; a transaction goes as a whole."""
    with ProxyProcess(stack, KEYS) as proxy, proxy.client() as client, ExitStack() as moves:
        assert client.send_message(1, 2).msg_id == 1
        assert client.send_group_message(1, 9).msg_id == 1
        for key in ("unread_2", "msg_id_1", "group_member_9", "9_im_group_msg", "1_9_im_user_group", "device_1", "device_token"):
            source = stack.owner(key)
            target = next(master for master in stack.masters() if master is not source)
            move_keys = moves.enter_context(stack.moving(key_slot(key.encode()), target))
            if not key.startswith("group"):
                move_keys()
        assert client.send_message(1, 2).msg_id == 2
        assert client.send_group_message(1, 9).msg_id == 2
        assert client.add_members(1, 9, [4]).result_code == 0  # deletes the hash, which makes the slot's owner ask elsewhere, and writes it
        assert client.send_group_message(4, 9).msg_id == 3
        assert unread_of(client, 2) == {1: 2, 9: 3}
        client.set_device_token(1, "token")
        assert [token.token for token in client.device_tokens([1, 2]).user_token_info] == ["token"]
        client.read_ack(2, 9, GROUP)
        assert eventually(lambda: unread_of(client, 2), {1: 2}) == {1: 2}
    assert sorted(stack.redis().hkeys("group_member_9")) == ["1", "2", "3", "4"]


def test_a_master_killed_under_load_is_replaced(stack: ClusterStack, proxies: list[ProxyProcess]) -> None:
    with traffic_on(proxies) as traffic:
        traffic.wait_for(40)
        master = stack.owner("group_member_9")
        replica = stack.replica_of(master)
        stack.kill(master)
        stack.wait_for_master(replica)
        traffic.wait_for(100)
    assert traffic.verify(stack) == []
    assert traffic.unanswered == 0
    with proxies[0].client() as client, proxies[1].client() as other:
        assert unread_of(client, 4).get(3, 0) <= stored(traffic, 3, 4)
        assert other.add_members(1, 9, [4]).result_code == 0
        assert client.send_group_message(4, 9).msg_id


def test_a_node_that_comes_back_with_old_data_does_not_let_those_write_who_have_left(stack: ClusterStack) -> None:
    with ProxyProcess(stack, KEYS) as proxy, proxy.client() as client:
        assert client.send_group_message(3, 9).msg_id == 1
        node = stack.owner("group_member_9")
        node.ask("SAVE")
        assert client.remove_members(1, 9, [3]).result_code == 0
        assert client.send_group_message(1, 9).msg_id == 2
        restart(node)
        with pytest.raises(TimeoutError), proxy.client(timeout=0.5) as former:
            former.send_group_message(3, 9)
        assert client.send_group_message(1, 9).msg_id == 3
        assert "was started again" in proxy.log()


def restart(node: ClusterNode) -> None:
    """Faster than the others would take its place."""
    node.kill()
    node.start()
    (node.directory / "dump.rdb").unlink()


def test_the_proxy_needs_the_first_node_only_to_start(stack: ClusterStack) -> None:
    with ReloadingProxy(stack, KEYS) as proxy, proxy.client() as client:
        assert client.send_message(1, 2).msg_id == 1
        first = stack.nodes[0]
        if first in stack.masters():
            stack.fail_over(first)
        stack.kill(first)
        assert client.send_message(1, 2).msg_id == 2
        for node in stack.masters():
            node.ask("CLIENT", "KILL", "TYPE", "normal")
        assert client.send_message(1, 2).msg_id == 3
        assert proxy.reload({"unread_maxconncnt": 8}).startswith("configuration reloaded")
        assert client.send_message(1, 2).msg_id == 4
        assert "ERROR" not in proxy.log()
