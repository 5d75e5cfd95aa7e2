"""Backends that answer "no": read-only, full, locked, deadlocked, or without Redis. Refused is refused, nothing is half done, and as soon
as the reason is gone everything works again.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

import pytest
from pymysql.connections import Connection
from pymysql.cursors import DictCursor

from dbproxy.testing import Client, InProcessProxy, ProxyProcess, Stack, seed
from dbproxy.testing.requests import GROUP, message
from dbproxy.testing.waiting import eventually
from dbproxy.wire.pb import base_define_pb2

KEYS: dict[str, object] = {"DBLockTimeout": 1, "CacheTimeout": 2, "CacheConnectTimeout": 1, "StopGrace": 1}

GROUP_TEXT = base_define_pb2.MSG_TYPE_GROUP_TEXT

pytestmark = [pytest.mark.watchdog(60), pytest.mark.data(users=["alice", "bob", "carol", "dave"], groups={9: [1, 2, 3]})]


@contextlib.contextmanager
def other_client(stack: Stack) -> Iterator[Connection[DictCursor]]:
    """Somebody else's transaction; it is rolled back in the end."""
    with contextlib.closing(stack.mysql()) as connection:
        connection.begin()
        yield connection
        connection.rollback()


# Redis is away, MySQL is there


def test_a_session_is_removed_without_redis(stack: Stack) -> None:
    """Whether a session is there is in MySQL alone; so is the answer."""
    with InProcessProxy(stack, KEYS) as proxy, proxy.client() as client:
        assert client.send_message(2, 1).msg_id == 1
        assert client.send_group_message(1, 9).msg_id == 1
        stack.redis_server.kill()
        assert client.remove_session(1, 2).result_code == 0
        assert client.remove_session(1, 9, GROUP).result_code == 0
        assert list(client.recent_sessions(1).contact_session_list) == []
        assert client.remove_session(1, 2).result_code == 1  # there is none any more
        stack.redis_server.start()
        assert client.send_message(2, 1, "again").msg_id == 2
        assert [info.session_id for info in client.recent_sessions(1).contact_session_list] == [2]


def test_a_sign_info_is_changed_without_redis(stack: Stack) -> None:
    with InProcessProxy(stack, KEYS) as proxy, proxy.client() as client:
        stack.redis_server.kill()
        before = int(time.time())
        reply = client.change_sign_info(2, "away")
        assert (reply.result_code, reply.sign_info) == (0, "away")
        assert client.user_info([2]).user_info_list[0].sign_info == "away"
        assert [user.user_id for user in client.all_users(before).user_list] == [2]
        assert client.change_sign_info(77, "nobody").result_code == 1


def test_without_redis_nothing_else_is_half_done(stack: Stack) -> None:
    """Where Redis gives the ids or says who may, nothing is stored without it."""
    with InProcessProxy(stack, KEYS) as proxy, proxy.client() as client:
        assert client.send_message(1, 2).msg_id == 1
        stack.redis_server.kill()
        before = {table: stack.rows(f"select * from {table}") for table in stack.tables()}
        assert client.send_message(1, 2).msg_id == 0
        assert client.send_message(3, 4).msg_id == 0
        assert client.send_group_message(1, 9).msg_id == 0
        assert client.create_group(1, [1, 2]).result_code == 1
        assert client.add_members(1, 9, [4]).result_code == 1
        assert client.shield_group(1, 9).result_code == 1
        assert {table: stack.rows(f"select * from {table}") for table in stack.tables()} == before
        stack.redis_server.start()
        assert client.send_message(1, 2).msg_id == 2
        assert client.send_message(3, 4).msg_id == 1
        assert client.send_group_message(1, 9).msg_id == 1
        assert client.add_members(1, 9, [4]).result_code == 0


# MySQL takes no more


def refuses_every_write(client: Client) -> None:
    """Ask for everything that writes to MySQL and is answered."""
    assert client.send_message(1, 2, "x" * 4000).msg_id == 0
    assert client.send_message(1, 4).msg_id == 0
    assert client.send_group_message(1, 9).msg_id == 0
    assert client.create_group(1, [1, 2]).result_code == 1
    assert client.add_members(1, 9, [4]).result_code == 1
    assert client.remove_members(1, 9, [2]).result_code == 1
    assert client.remove_session(1, 2).result_code == 1
    assert client.change_sign_info(1, "new").result_code == 1
    assert client.set_push_shield(1).result_code == 1


def test_writes_are_refused_while_mysql_is_read_only(stack: Stack) -> None:
    """An account without SUPER gets error 1290; a failover that is not finished looks like this."""
    stack.rows("create user 'plain'@'127.0.0.1' identified by 'plain'")
    try:
        stack.rows("grant select,insert,update,delete on teamtalk.* to 'plain'@'127.0.0.1'")
        account = {f"{pool}_{key}": "plain" for pool in ("teamtalk_master", "teamtalk_slave") for key in ("username", "password")}
        with InProcessProxy(stack, {**KEYS, **account}) as proxy, proxy.client() as client:
            assert client.send_message(1, 2).msg_id == 1
            before = stack.snapshot()
            stack.rows("set global read_only=1")
            try:
                refuses_every_write(client)
                assert stack.snapshot() == before
                assert client.login("alice").result_code == 0
                assert len(client.messages(1, 2).msg_list) == 1
                assert list(client.group_info({9: 0}).group_info_list[0].group_member_list) == [1, 2, 3]
            finally:
                stack.rows("set global read_only=0")
            assert client.send_message(1, 2).msg_id == 2
            assert client.send_message(1, 4).msg_id == 1
            assert client.send_group_message(1, 9).msg_id == 1
            assert client.add_members(1, 9, [4]).result_code == 0
    finally:
        stack.rows("drop user 'plain'@'127.0.0.1'")


# locks and deadlocks


@pytest.mark.parametrize("table", ["IMRelationShip", "IMGroup"])
def test_a_row_that_stays_locked_refuses_its_conversation_alone(stack: Stack, table: str) -> None:
    locked, others = message(1, 2, "locked"), [message(3, 4, "free"), message(1, 3, "free")]
    row = seed.relation(stack, 1, 2)
    if table == "IMGroup":
        locked, row = message(1, 9, "locked", msg_type=GROUP_TEXT), 9
        others.append(message(2, 10, "free", msg_type=GROUP_TEXT))
        seed.group(stack, 10, [2])
    with InProcessProxy(stack, KEYS) as proxy, proxy.client() as client:
        assert [reply.msg_id for reply in client.requests([locked, *others])] == [1] * (1 + len(others))  # type: ignore[attr-defined]
        with other_client(stack) as connection, connection.cursor() as cursor:
            cursor.execute(f"select id from {table} where id={row} for update")
            replies = [reply.msg_id for reply in client.requests([locked, *others])]  # type: ignore[attr-defined]
            assert replies == [0] + [2] * len(others)
        assert client.requests([locked])[0].msg_id >= 2  # type: ignore[attr-defined]
    shard = f"IMGroupMessage_{row % 8}" if table == "IMGroup" else f"IMMessage_{row % 8}"
    assert stack.rows(f"select count(*) as n from {shard} where content='locked'") == [{"n": 2}]


@pytest.mark.parametrize("lock", ["dbproxy.pair.1.2", "dbproxy.group.20"])
def test_a_named_lock_that_stays_taken_refuses_its_conversation_alone(stack: Stack, lock: str) -> None:
    """First messages, because they add rows and need the lock for that: a proxy that hangs may hold it."""
    groups = range(20, 26)
    for group_id in groups:
        seed.group(stack, group_id, [2])
    sent = [message(1, peer_id) for peer_id in range(2, 12)]
    sent += [message(2, group_id, msg_type=GROUP_TEXT) for group_id in groups]
    locked = 0 if lock.startswith("dbproxy.pair") else 10
    with InProcessProxy(stack, KEYS) as proxy, proxy.client(timeout=20) as client:
        with other_client(stack) as connection, connection.cursor() as cursor:
            cursor.execute(f"select get_lock('{lock}',0) as got")
            assert cursor.fetchone() == {"got": 1}
            ids = [reply.msg_id for reply in client.requests(sent)]  # type: ignore[attr-defined]
            assert [index for index, msg_id in enumerate(ids) if not msg_id] == [locked]
        assert all(reply.msg_id for reply in client.requests(sent))  # type: ignore[attr-defined]


def test_a_transaction_retried_after_a_deadlock_uses_the_same_ids(stack: Stack) -> None:
    """The deadlock comes after the id was taken: the whole transaction runs again, and nothing is left out."""
    relate_id = seed.relation(stack, 1, 2)
    session_id = seed.session(stack, 1, 2)
    seed.session(stack, 2, 1)
    replies: list[int] = []
    with InProcessProxy(stack, {**KEYS, "DBLockTimeout": 8}) as proxy, proxy.client(timeout=20) as client:
        sender = threading.Thread(target=lambda: replies.append(client.send_message(1, 2, "once").msg_id))
        with other_client(stack) as connection, connection.cursor() as cursor, stack.redis() as redis:
            cursor.execute("update IMUser set updated=updated+1")  # who has changed more is not the victim
            cursor.execute("update IMRecentSession set updated=updated+1 where id=%s", (session_id,))
            sender.start()
            assert eventually(lambda: redis.get(f"msg_id_{relate_id}"), "1") == "1"
            # not innodb_trx: who looks at that more often than every 0.1 s gets to see the same picture for ever
            waiting = "select count(*) as n from information_schema.processlist where info like 'update IMRecentSession%'"
            assert eventually(lambda: str(stack.rows(waiting)[0]["n"]), "1") == "1"
            cursor.execute("update IMRelationShip set updated=updated+1 where id=%s", (relate_id,))
        sender.join(20)
        assert client.send_message(1, 2, "next").msg_id == 2
    assert replies == [1]
    rows = stack.rows(f"select msgId,content from IMMessage_{relate_id % 8} order by id")
    assert rows == [{"msgId": 1, "content": "once"}, {"msgId": 2, "content": "next"}]
    assert stack.rows("select count(*) as n from IMRecentSession") == [{"n": 2}]


def test_a_session_row_that_stays_locked_refuses_without_leaving_anything(stack: Stack) -> None:
    with ProxyProcess(stack, KEYS) as proxy, proxy.client() as client:
        assert client.send_message(1, 2).msg_id == 1
        with other_client(stack) as connection, connection.cursor() as cursor:
            cursor.execute("select id from IMRecentSession where userId=2 for update")
            assert client.send_message(1, 2).msg_id == 0
            assert client.remove_session(2, 1).result_code == 1
        assert client.send_message(1, 2).msg_id > 1
        assert [(entry.session_id, entry.unread_cnt) for entry in client.unread(2).unreadinfo_list] == [(1, 2)]
    assert stack.rows("select count(*) as n from IMMessage_1") == [{"n": 2}]
