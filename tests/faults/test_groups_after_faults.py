"""Members and counters of groups after a backend died, froze, or came back with an old snapshot: they are right by themselves."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from dbproxy.testing import Client, ProxyProcess, Stack, seed
from dbproxy.testing.requests import GROUP
from dbproxy.testing.waiting import eventually
from devtools.traffic import Traffic

KEYS = {"DBTimeout": 4, "DBLockTimeout": 2, "CacheTimeout": 4, "DBConnectTimeout": 2, "CacheConnectTimeout": 2}

pytestmark = [pytest.mark.watchdog(60), pytest.mark.data(groups={9: [1, 2, 3]})]


@pytest.fixture(autouse=True)
def snapshot_removed(stack: Stack) -> Iterator[None]:
    """Remove the snapshot of Redis afterwards."""
    yield
    (stack.redis_server.directory / "dump.rdb").unlink(missing_ok=True)


def redis_comes_back_empty(stack: Stack) -> None:
    (stack.redis_server.directory / "dump.rdb").unlink()
    stack.redis_server.kill()
    stack.redis_server.start()


def redis_comes_back_as_it_was(stack: Stack) -> None:
    stack.redis_server.kill()
    stack.redis_server.start()


def mysql_is_killed(stack: Stack) -> None:
    stack.mariadb.kill()
    stack.mariadb.start()


def both_are_killed(stack: Stack) -> None:
    stack.redis_server.kill()
    mysql_is_killed(stack)
    stack.redis_server.start()


def redis_freezes(stack: Stack) -> None:
    stack.redis_server.freeze()
    time.sleep(1)
    stack.redis_server.thaw()


def unread_in_group(client: Client, user_id: int) -> int:
    return sum(entry.unread_cnt for entry in client.unread(user_id).unreadinfo_list if entry.session_id == 9)


@pytest.mark.parametrize(
    "fault", [redis_comes_back_empty, redis_comes_back_as_it_was, mysql_is_killed, both_are_killed, redis_freezes], ids=lambda f: f.__name__
)
def test_members_and_counters_of_a_group_are_right_after_a_fault(stack: Stack, fault: Callable[[Stack], None]) -> None:
    """The snapshot is of a time when 3 was in the group and 4 was not."""
    with ExitStack() as exits:
        proxies = [exits.enter_context(ProxyProcess(stack, KEYS)) for _ in range(2)]
        one, other = (exits.enter_context(proxy.client()) for proxy in proxies)
        with Traffic(lambda number: proxies[number % 2].client(), [(1, 9, True), (2, 9, True), (1, 2, False)]) as traffic:
            traffic.wait_for(40)
            with stack.redis() as redis:
                redis.save()
            assert one.remove_members(1, 9, [3]).result_code == 0
            assert other.add_members(1, 9, [4]).result_code == 0
            traffic.wait_for(40)
            fault(stack)
            traffic.wait_for(40)
        assert traffic.verify(stack) == []
        assert_members(stack, [one, other])
        assert_counting_goes_on(stack, one, other)


def assert_members(stack: Stack, clients: list[Client]) -> None:
    """Who has left is out, who has joined is in, on every proxy."""
    for client in clients:
        assert [list(info.group_member_list) for info in client.group_info({9: 0}).group_info_list] == [[1, 2, 4]]
        assert list(client.messages(3, 9, GROUP).msg_list) == []
        assert client.send_group_message(4, 9).msg_id
    with stack.redis("group_member") as redis:
        assert sorted(redis.hkeys("group_member_9")) == ["1", "2", "4"]
    assert stack.rows("select userCnt from IMGroup") == [{"userCnt": 3}]


def assert_counting_goes_on(stack: Stack, one: Client, other: Client) -> None:
    """No number is above all that was ever written; and from the next read on every number is exact."""
    rows = int(str(stack.rows("select count(*) as n from IMGroupMessage_1")[0]["n"]))
    with stack.redis() as redis:
        assert 2 * int(str(redis.hget("9_im_group_msg", "count"))) > rows
    for user_id in (1, 2, 4):
        assert 0 <= unread_in_group(one, user_id) <= rows
        one.read_ack(user_id, 9, GROUP)
    assert eventually(lambda: [unread_in_group(one, user_id) for user_id in (1, 2, 4)], [0, 0, 0]) == [0, 0, 0]
    for client in (one, other, one):
        assert client.send_group_message(1, 9).msg_id > rows
    for client in (one, other):
        assert [unread_in_group(client, user_id) for user_id in (1, 2, 4)] == [0, 3, 3]


def test_a_snapshot_does_not_let_those_write_who_have_left(stack: Stack) -> None:
    with ProxyProcess(stack, KEYS) as proxy, proxy.client() as client:
        assert client.send_group_message(3, 9, create_time=seed.T0 + 10).msg_id == 1
        with stack.redis() as redis:
            redis.save()
        assert client.remove_members(1, 9, [3]).result_code == 0
        redis_comes_back_as_it_was(stack)
        with pytest.raises(TimeoutError), proxy.client(timeout=0.5) as former:
            former.send_group_message(3, 9)
        assert client.add_members(1, 9, [3]).result_code == 0  # they are not in it, so they can be added
        assert client.send_group_message(3, 9).msg_id == 2
        assert [stored.msg_id for stored in client.messages(3, 9, GROUP).msg_list] == [2]


def test_an_account_that_may_not_ask_redis_who_it_is_works_all_the_same(stack: Stack) -> None:
    with stack.redis() as redis:
        redis.execute_command("ACL", "SETUSER", "plain", "on", ">plain", "~*", "&*", "+@all", "-info")
    keys: dict[str, object] = {f"{pool}_username": "plain" for pool in ("unread", "group_set", "sync", "token", "group_member")}
    keys |= {f"{pool}_password": "plain" for pool in ("unread", "group_set", "sync", "token", "group_member")}
    try:
        with ProxyProcess(stack, {**KEYS, **keys}) as proxy, proxy.client() as client:
            assert client.send_group_message(3, 9).msg_id == 1
            assert client.send_message(1, 2).msg_id == 1
    finally:
        with stack.redis() as redis:
            redis.execute_command("ACL", "DELUSER", "plain")
