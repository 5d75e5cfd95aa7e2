"""A network that drops everything, is slow, or loses the answer to a commit: requests end, and nothing stays locked afterwards."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from dbproxy.testing import ProxyProcess, Stack
from dbproxy.testing.faulty_link import FaultyLink
from dbproxy.testing.waiting import eventually
from dbproxy.wire.pb import base_define_pb2 as base
from dbproxy.wire.pb import buddy_pb2, message_pb2
from devtools.traffic import Traffic

KEYS = {
    "ThreadNum": 12,
    "RequestTimeout": 2,
    "DBTimeout": 2,
    "DBLockTimeout": 1,
    "DBConnectTimeout": 1,
    "DBPoolTimeout": 1,
    "CacheTimeout": 1,
    "CacheConnectTimeout": 1,
    "CachePoolTimeout": 1,
}

POOLS = ("unread", "group_set", "sync", "token", "group_member")

CONVERSATIONS = [(1, 2, False), (2, 1, False), (3, 4, False), (1, 9, True), (2, 9, True)]

pytestmark = [pytest.mark.watchdog(90), pytest.mark.data(users=["alice", "bob", "carol", "dave"], groups={9: [1, 2, 3]})]


@pytest.fixture
def mysql(stack: Stack) -> Iterator[FaultyLink]:
    with FaultyLink(stack.mariadb.address) as link:
        yield link


@pytest.fixture
def redis(stack: Stack) -> Iterator[FaultyLink]:
    with FaultyLink(stack.redis_server.address) as link:
        yield link


@pytest.fixture
def proxy(stack: Stack, mysql: FaultyLink, redis: FaultyLink) -> Iterator[ProxyProcess]:
    ports = {f"{pool}_port": redis.port for pool in POOLS}
    with ProxyProcess(stack, {**KEYS, **ports, "teamtalk_master_port": mysql.port, "teamtalk_slave_port": mysql.port}) as proxy:
        yield proxy


def test_transactions_that_a_dead_network_left_open_block_nobody(stack: Stack, mysql: FaultyLink, proxy: ProxyProcess) -> None:
    """The server is not told that the connections are gone: its ends hold their row locks until somebody ends them."""
    with Traffic(lambda _: proxy.client(), CONVERSATIONS) as traffic:
        for _ in range(2):
            traffic.wait_for(30)
            mysql.blackhole()
            time.sleep(0.5)
            mysql.restore()
            traffic.wait_for(30)
    assert traffic.verify(stack) == []


@pytest.mark.parametrize("backend", ["mysql", "redis"])
def test_requests_end_while_the_network_drops_everything(
    backend: str, stack: Stack, mysql: FaultyLink, redis: FaultyLink, proxy: ProxyProcess
) -> None:
    """RequestTimeout to wait for a thread, and then few waits, each with a limit of its own: 10 s are more than all of them."""
    link = {"mysql": mysql, "redis": redis}[backend]
    with proxy.client(timeout=10) as client, proxy.client(timeout=10) as other:
        assert client.send_message(1, 2).msg_id == 1
        link.blackhole()
        try:
            for number in range(30):  # never answered: dropped, with a line in the log
                other.send(buddy_pb2.IMUsersInfoReq(user_id=1, user_id_list=[1 + number]))
                other.send(message_pb2.IMUnreadMsgCntReq(user_id=1 + number))
            assert client.send_message(1, 2).msg_id == 0
            assert client.send_message(3, 4).msg_id == 0
            assert client.send_group_message(1, 9).msg_id == 0
            assert client.create_group(1, [1, 2]).result_code == 1
            if backend == "mysql":
                assert client.login("alice").result_code == 2
                assert client.remove_session(1, 2).result_code == 1
                assert client.change_sign_info(1, "new").result_code == 1
                assert client.add_members(1, 9, [4]).result_code == 1
            else:
                assert client.login("alice").result_code == 0
                assert client.shield_group(1, 9).result_code == 1
        finally:
            link.restore()
        assert eventually(lambda: client.send_message(1, 2).msg_id > 0, True)
        assert client.send_group_message(1, 9).msg_id
        assert client.login("alice").result_code == 0
        assert client.add_members(1, 9, [4]).result_code == 0
        assert [info.user_id for info in client.user_info([1]).user_info_list] == [1]
        assert eventually(lambda: "ERROR" in proxy.log(), True)


def test_a_slow_network_costs_only_time(stack: Stack, mysql: FaultyLink, redis: FaultyLink, proxy: ProxyProcess) -> None:
    mysql.delay = redis.delay = 0.03
    with Traffic(lambda _: proxy.client(), CONVERSATIONS) as traffic:
        traffic.wait_for(20)
    assert traffic.verify(stack) == []
    assert traffic.refused == 0


@pytest.mark.parametrize("pass_on", [True, False], ids=["after the server got it", "before the server got it"])
def test_a_lost_commit_of_a_change_of_members_is_looked_up(pass_on: bool, stack: Stack, mysql: FaultyLink, proxy: ProxyProcess) -> None:
    """What has happened is reported as done; what has not is reported as failed; Redis and MySQL agree in both cases."""
    with proxy.client() as client:
        mysql.cut_at(b"update IMGroup set version", pass_on=pass_on)
        reply = client.add_members(1, 9, [4, 5])
        assert mysql.cuts == 1
        if pass_on:
            assert (reply.result_code, list(reply.chg_user_id_list)) == (0, [4, 5])
        else:
            assert reply.result_code == 1
        members = [1, 2, 3, 4, 5] if pass_on else [1, 2, 3]
        assert client.group_info({9: 0}).group_info_list[0].group_member_list == members
        assert stack.rows("select version,userCnt from IMGroup") == [{"version": 2 if pass_on else 1, "userCnt": len(members)}]
        mysql.cut_at(b"update IMGroup set version", pass_on=pass_on)
        assert client.remove_members(1, 9, [2]).result_code == (0 if pass_on else 1)
        members = [member for member in members if member != 2 or not pass_on]
        assert client.group_info({9: 0}).group_info_list[0].group_member_list == members


@pytest.mark.parametrize("pass_on", [True, False], ids=["after the server got it", "before the server got it"])
def test_a_lost_commit_of_a_new_group_is_looked_up(pass_on: bool, stack: Stack, mysql: FaultyLink, proxy: ProxyProcess) -> None:
    with proxy.client() as client:
        mysql.cut_at(b"\x03commit", pass_on=pass_on)
        reply = client.create_group(1, [1, 2], name="new", group_type=base.GROUP_TYPE_NORMAL)
        assert mysql.cuts == 1
        rows = stack.rows("select id from IMGroup where name='new'")
        if pass_on:
            assert reply.result_code == 0
            assert rows == [{"id": reply.group_id}]
            assert client.send_group_message(2, reply.group_id).msg_id == 1
        else:
            assert (reply.result_code, rows) == (1, [])
