"""A Redis Cluster that moves slots, fails over, loses nodes or gets old ones back under load: no id is given twice, and nothing that was
acknowledged is lost.

Traffic sends one message after the other on several connections and remembers what was acknowledged; ``verify`` compares that with MySQL.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from examined import examined
from redis.crc import key_slot
from reloading import ReloadingProxy

from dbproxy.audit.auditor import audit, open_stores
from dbproxy.config import load_config
from dbproxy.doctor.finding import Level
from dbproxy.doctor.kinds import Kind
from dbproxy.doctor.redis import check_caches
from dbproxy.doctor.redis.access import USAGE
from dbproxy.errors import StartupError
from dbproxy.testing import Client, ClusterStack, PrivateRedis, ProxyProcess, seed
from dbproxy.testing.cluster_node import ClusterNode
from dbproxy.testing.requests import GROUP
from dbproxy.testing.stack import POOLS
from dbproxy.testing.waiting import eventually
from devtools.traffic import Traffic

CONVERSATIONS = [(1, 2, False), (2, 1, False), (3, 4, False), (5, 6, False), (1, 9, True), (2, 9, True), (3, 10, True)]
GROUPS = {9: [1, 2, 3], 10: [3, 4, 5]}
KEYS = {"ThreadNum": 16, "StopGrace": 1}

pytestmark = pytest.mark.watchdog(180)


@pytest.fixture
def stack(dbproxy_cluster: ClusterStack) -> ClusterStack:
    """Empty stores with two groups; nodes that the test before has killed are there again."""
    dbproxy_cluster.reset()
    for group_id, members in GROUPS.items():
        seed.group(dbproxy_cluster, group_id, members)
    return dbproxy_cluster


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


def assert_the_start_says_what_the_nodes_are(stack: ClusterStack, proxy: ProxyProcess) -> None:
    pools = "(unread, group_set, sync, token, group_member)"
    for node in stack.masters():
        assert f"at 127.0.0.1:{node.port} {pools}: cluster node, master with 1 replica" in proxy.log()


def test_planned_failovers_of_all_masters_under_load_refuse_nothing(stack: ClusterStack, proxies: list[ProxyProcess]) -> None:
    assert_the_start_says_what_the_nodes_are(stack, proxies[0])
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


@pytest.mark.long
def test_a_reload_leads_to_a_cluster_and_back(stack: ClusterStack) -> None:
    with PrivateRedis() as single:
        fixed: dict[str, object] = {}
        for name, number in POOLS.items():
            fixed |= {f"{name}_cluster": None, f"{name}_port": single.port, f"{name}_db": number}
        cluster = {key: stack.config().get(key) for key in fixed}
        with ReloadingProxy(stack, {**KEYS, **fixed}) as proxy, proxy.client() as client:
            assert client.send_message(1, 2).msg_id == 1
            assert client.send_group_message(1, 9).msg_id == 1
            assert proxy.reload(cluster).startswith("configuration reloaded")
            assert client.send_message(1, 2).msg_id == 2
            assert client.send_group_message(1, 9).msg_id == 2
            assert unread_of(client, 2)[1] == 1  # the other one is in the other Redis
            assert client.remove_members(1, 9, [3]).result_code == 0
            assert proxy.reload(fixed).startswith("configuration reloaded")
            assert client.send_message(1, 2).msg_id == 3
            assert [list(info.group_member_list) for info in client.group_info({9: 0}).group_info_list] == [[1, 2]]


@pytest.mark.long
def test_a_server_that_is_no_node_of_a_cluster_is_refused_with_the_key_to_look_at(stack: ClusterStack) -> None:
    with PrivateRedis() as single, pytest.raises(StartupError, match=r"cluster support disabled.*token_cluster"):
        ProxyProcess(stack, {**KEYS, "token_port": single.port}).start()
    with pytest.raises(StartupError, match="token_db=4: expected 0"):
        ProxyProcess(stack, {**KEYS, "token_db": 4}).start()


def test_the_doctor_examines_the_cluster_and_every_master(stack: ClusterStack) -> None:
    before = stack.snapshot()
    found = examined(check_caches, stack)
    assert {kind for _, _, kind in found.problems} <= {"persistence"}
    masters = stack.masters()
    for name in USAGE:
        assert "3 masters and 3 replicas" in found.only(Kind.CLUSTER, f"Redis {name}").what
        for node in masters:
            subject = f"Redis {name} node 127.0.0.1:{node.port}"
            assert [found.only(kind, subject).level for kind in (Kind.COMMANDS, Kind.WRITABLE)] == [Level.OK, Level.OK]
    assert stack.snapshot() == before
    keys = {"token_cluster": "off", "token_db": 0}
    assert "token_cluster=on" in examined(check_caches, stack, keys).only(Kind.ROLE, "Redis token").remedy


def test_the_audit_finds_what_is_on_any_node(stack: ClusterStack) -> None:
    copies = [f"{user_id}_9_im_user_group" for user_id in range(100, 120)]
    assert len({stack.owner(key).port for key in copies}) == 3
    with stack.redis() as client, open_stores(load_config(stack.write_config()), recheck_delay=0) as stores:
        for key in copies:
            client.hset(key, "count", "7")
        assert audit(stores, repair=True).found == 1
        assert {client.hget(key, "count") for key in copies} == {"0"}
        assert audit(stores).found == 0


@pytest.mark.long
def test_a_frozen_master_is_replaced(stack: ClusterStack, proxies: list[ProxyProcess]) -> None:
    with traffic_on(proxies) as traffic:
        traffic.wait_for(40)
        master = stack.owner("9_im_group_msg")
        replica = stack.replica_of(master)
        master.freeze()
        stack.wait_for_master(replica)
        traffic.wait_for(100)
        master.thaw()
        traffic.wait_for(100)
    assert traffic.verify(stack) == []
    assert traffic.unanswered == 0


@pytest.mark.long
def test_a_cluster_that_loses_a_slot_refuses_what_needs_it_and_works_when_it_is_back(stack: ClusterStack) -> None:
    """Full coverage is off: the others go on."""
    for node in stack.nodes:
        node.ask("CONFIG", "SET", "cluster-require-full-coverage", "no")
    with ProxyProcess(stack, {**KEYS, "CacheTimeout": 1}) as proxy, proxy.client(timeout=20) as client:
        owners = []
        for relation in range(1, 6):
            assert client.send_message(relation, 100 + relation).msg_id == 1
            owners.append(stack.owner(f"msg_id_{relation}"))
        lost = owners[0]
        other = next(number for number, owner in enumerate(owners, start=1) if owner is not lost)
        stack.kill(stack.replica_of(lost))
        stack.kill(lost)
        assert client.send_message(1, 101).msg_id == 0
        assert client.send_message(other, 100 + other).msg_id == 2
        lost.start()
        assert eventually(lambda: client.send_message(1, 101).msg_id > 1, True, 30)


@pytest.mark.long
@pytest.mark.parametrize("number", range(10))
def test_masters_killed_again_and_again_while_slots_move(stack: ClusterStack, proxies: list[ProxyProcess], number: int) -> None:
    with traffic_on(proxies) as traffic:
        traffic.wait_for(20)
        master = stack.masters()[number % 3]
        replica = stack.replica_of(master)
        stack.kill(master)
        stack.wait_for_master(replica)
        traffic.wait_for(40)
        with stack.redis() as client:
            keys = sorted(client.scan_iter())[:10]
        stack.reshard([key_slot(key.encode()) for key in keys], stack.masters()[0])
        traffic.wait_for(40)
        master.start()
        stack.wait_until_ok()
        for node in stack.masters():
            with contextlib.suppress(LookupError):  # the one that came back replicates any of those that have its slots
                stack.fail_over(node)
        traffic.wait_for(40)
    assert traffic.verify(stack) == []
    assert traffic.unanswered == 0


@pytest.mark.long
def test_an_upgrade_on_a_cluster_with_a_password() -> None:
    with ClusterStack(redis_password="a word") as stack, ProxyProcess(stack, KEYS) as proxy, proxy.client() as client:
        assert client.send_message(1, 2).msg_id == 1
        proxy.upgrade()
        assert client.send_message(1, 2).msg_id == 2
        stack.fail_over(stack.owner("msg_id_1"))
        assert client.send_message(1, 2).msg_id == 3
        assert "a word" not in proxy.log()
