"""A proxy that freezes, or whose host vanishes, while it holds locks in the database: others get them before long."""

from __future__ import annotations

import contextlib
import time

import pymysql
import pytest

from dbproxy.backends import Backends
from dbproxy.config import load_config
from dbproxy.models.group_members import GroupMembers
from dbproxy.stores.mysql import DBConn
from dbproxy.testing import InProcessProxy, ProxyProcess, Stack, seed
from dbproxy.testing.faulty_link import FaultyLink
from dbproxy.testing.requests import message
from dbproxy.testing.waiting import eventually
from dbproxy.wire.pb import base_define_pb2 as base
from dbproxy.wire.pb import group_pb2

LONGEST = 25
"""Seconds after which whoever is frozen is in nobody's way, with the default configuration."""

pytestmark = pytest.mark.watchdog(120)


def row_is_locked(stack: Stack, group_id: int) -> bool:
    """Whether a transaction holds the row of a group."""
    with contextlib.closing(stack.mysql()) as connection, connection.cursor() as cursor:
        connection.begin()
        try:
            cursor.execute("select id from IMGroup where id=%s for update nowait", (group_id,))
        except pymysql.err.OperationalError:
            return True
        connection.rollback()
        return False


def named_lock_is_taken(stack: Stack, group_id: int) -> bool:
    return stack.rows(f"select is_used_lock('dbproxy.group.{group_id}') as session")[0]["session"] is not None


def test_the_locks_of_a_frozen_proxy_are_released(stack: Stack) -> None:
    """One transaction of it holds the row of group 9, one session the named lock of group 10; both wait for Redis when it freezes."""
    for group_id in (9, 10):
        seed.group(stack, group_id, [1, 2, 3])
    with (
        FaultyLink(stack.redis_server.address) as link,
        ProxyProcess(stack, {"unread_port": link.port}) as frozen,
        ProxyProcess(stack) as proxy,
        frozen.client() as other,
        proxy.client(timeout=30) as client,
    ):
        assert other.send_group_message(1, 9, "first").msg_id == 1
        assert client.send_group_message(2, 9, "second").msg_id == 2
        link.blackhole()
        try:
            other.send(message(1, 9, "lost", msg_type=base.MSG_TYPE_GROUP_TEXT))
            other.send(group_pb2.IMGroupChangeMemberReq(user_id=1, change_type=base.GROUP_MODIFY_TYPE_ADD, group_id=10, member_id_list=[4]))
            with stack.redis("group_member") as redis:
                assert eventually(lambda: redis.hexists("group_member_10", "4"), True)  # it has committed that, and goes on to the counters
            assert eventually(lambda: (row_is_locked(stack, 9), named_lock_is_taken(stack, 10)), (True, True)) == (True, True)
            frozen.freeze()
            deadline = time.monotonic() + LONGEST
            assert client.send_group_message(2, 9, "refused").msg_id == 0
            stored = eventually(lambda: client.send_group_message(2, 9, "third").msg_id > 0, True, deadline - time.monotonic())
            added = eventually(lambda: client.add_members(1, 10, [5]).result_code, 0, max(1, deadline - time.monotonic()))
        finally:
            link.restore()
            frozen.thaw()
        assert (stored, added) == (True, 0)
        with frozen.client() as again:
            assert again.send_group_message(1, 9, "fourth").msg_id > 3
            assert again.add_members(1, 10, [6]).result_code == 0
    rows = stack.rows("select content from IMGroupMessage_1 order by id")
    assert [row["content"] for row in rows] == ["first", "second", "third", "fourth"]
    members = stack.rows("select userId from IMGroupMember where groupId=10 and status=0 order by userId")
    assert [row["userId"] for row in members] == [1, 2, 3, 4, 5, 6]
    with stack.redis("group_member") as redis:
        assert sorted(redis.hkeys("group_member_10")) == ["1", "2", "3", "4", "5", "6"]


@pytest.mark.parametrize("stands_still", ["before it writes", "after it has looked"])
def test_a_proxy_that_was_suspended_writes_no_outdated_members(stack: Stack, stands_still: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lock was given to others, who have changed the members; what it writes into Redis afterwards must not be believed."""
    seed.group(stack, 10, [1, 2])
    with Backends(load_config(stack.write_config())) as backends:
        members = GroupMembers(backends.master, backends.caches.group_member)
        with (
            InProcessProxy(stack) as proxy,
            proxy.client() as client,
            backends.master.connection() as connection,
            members.locked(connection, 10),
        ):
            fields = members.read_hash(connection, 10)
            stack.rows(f"kill {connection.thread_id()}")
            assert client.add_members(1, 10, [3]).result_code == 0
            if stands_still == "after it has looked":
                monkeypatch.setattr(DBConn, "is_lost", False)
            members.write_hash(connection, 10, fields)
        assert members.get_many([10]) == {10: [1, 2, 3]}
