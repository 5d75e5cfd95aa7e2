"""Statements that the database refuses within a transaction: nothing of it remains, and the rest of its batch is stored."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

import pytest

from dbproxy.backends import Backends
from dbproxy.config import load_config
from dbproxy.errors import StatementError
from dbproxy.models.group_members import GroupMembers
from dbproxy.models.message import MessageModel
from dbproxy.models.new_message import NewMessage
from dbproxy.models.relation import RelationModel
from dbproxy.models.session import SessionModel
from dbproxy.sync_center import SyncCenter
from dbproxy.testing import Client, Stack, seed
from dbproxy.testing.requests import GROUP, message
from dbproxy.wire.pb import base_define_pb2 as base


@contextlib.contextmanager
def refused(stack: Stack, table: str, condition: str, event: str = "insert") -> Iterator[None]:
    """The database refuses to insert (or update) rows for which a condition on ``new`` is true."""
    stack.rows(f"create trigger refuse before {event} on {table} for each row if {condition} then signal sqlstate '45000'; end if")
    try:
        yield
    finally:
        stack.rows("drop trigger refuse")


@pytest.mark.parametrize("sender", [1, 5], ids=["of the same conversation", "of another conversation"])
def test_a_refused_message_does_not_affect_others_of_its_batch(dbproxy_stack: Stack, dbproxy_client: Client, sender: int) -> None:
    seed.relation(dbproxy_stack, 1, 2, relate_id=1)
    seed.relation(dbproxy_stack, 2, 5, relate_id=9)
    sent = [message(1, 2, f"good {number}") for number in range(20)]
    sent.insert(10, message(sender, 2, "bad"))
    with refused(dbproxy_stack, "IMMessage_1", "new.content='bad'"):
        ids = [reply.msg_id for reply in dbproxy_client.requests(sent)]  # type: ignore[attr-defined]
    assert ids.pop(10) == 0
    assert all(ids)
    stored = dbproxy_stack.rows("select msgId,content from IMMessage_1 order by id")
    assert stored == [{"msgId": msg_id, "content": f"good {number}"} for number, msg_id in enumerate(ids)]


def test_no_part_of_a_refused_batch_is_tried_after_the_deadline(stack: Stack) -> None:
    seed.relation(stack, 1, 2, relate_id=1)
    with Backends(load_config(stack.write_config())) as backends:
        model = MessageModel(
            backends.master,
            backends.slave,
            backends.caches.unread,
            RelationModel(),
            SessionModel(backends.master, backends.slave),
            content_limit=1000,
            outcome_timeout=0.5,
        )

        def store(*contents: bytes) -> list[bool]:
            messages = [NewMessage(1, 2, base.MSG_TYPE_SINGLE_TEXT, int(time.time()), content) for content in contents]
            model.store(messages)
            return [message.msg_id > 0 for message in messages]

        assert store(b"first", b"second") == [True, True]
        with refused(stack, "IMMessage_1", "new.content='bad' and sleep(0.6)=0"):
            assert store(b"bad", b"good") == [False, False]  # refused together, then the first one alone; that took too long
            assert store(b"good") == [True]


def test_a_group_whose_members_are_refused_is_not_created(dbproxy_stack: Stack, dbproxy_client: Client) -> None:
    with refused(dbproxy_stack, "IMGroupMember", "new.userId=2"):
        assert dbproxy_client.create_group(1, [1, 2]).result_code == 1
    assert dbproxy_stack.rows("select id from IMGroup") == []


def test_members_are_not_added_to_a_group_that_cannot_be_updated(dbproxy_stack: Stack, dbproxy_client: Client) -> None:
    seed.group(dbproxy_stack, 9, [1, 2], creator=1)
    members = "select userId from IMGroupMember where groupId=9 and status=0 order by userId"
    with refused(dbproxy_stack, "IMGroup", "new.id=9", event="update"):
        assert dbproxy_client.add_members(1, 9, [3]).result_code == 1
    assert dbproxy_stack.rows(members) == [{"userId": 1}, {"userId": 2}]
    assert dbproxy_client.add_members(1, 9, [3]).result_code == 0
    assert dbproxy_stack.rows(members) == [{"userId": 1}, {"userId": 2}, {"userId": 3}]


def test_the_sync_touches_all_sessions_of_a_transaction_or_none(stack: Stack) -> None:
    seed.group(stack, 9, [1, 2], lastChated=int(time.time()))
    seed.session(stack, 1, 9, session_type=GROUP, updated=seed.T0)
    sessions = "select userId,updated>%s as touched from IMRecentSession order by userId"
    with Backends(load_config(stack.write_config())) as backends:
        members = GroupMembers(backends.master, backends.caches.group_member)
        sync_center = SyncCenter(backends.master, backends.caches.unread, members, interval=3600)
        with refused(stack, "IMRecentSession", "new.userId=2"), pytest.raises(StatementError):
            sync_center.sync()
        assert stack.rows(sessions, (seed.T0,)) == [{"userId": 1, "touched": 0}]
        sync_center.sync()
        assert stack.rows(sessions, (seed.T0,)) == [{"userId": 1, "touched": 1}, {"userId": 2, "touched": 1}]


@pytest.fixture
def syncs(stack: Stack) -> Iterator[Callable[[float], SyncCenter]]:
    """Makes the background sync of a further proxy, which runs when the test says so."""
    with Backends(load_config(stack.write_config())) as backends:
        yield lambda interval: SyncCenter(
            backends.master,
            backends.caches.unread,
            GroupMembers(backends.master, backends.caches.group_member),
            interval,
        )


def test_of_several_syncs_one_works_and_another_goes_on_when_it_is_gone(stack: Stack, syncs: Callable[[float], SyncCenter]) -> None:
    seed.group(stack, 9, [1, 2])
    for user_id in (1, 2):  # a session that is added gets the time of the sync, which may be a second later
        seed.session(stack, user_id, 9, session_type=GROUP)
    first, second = syncs(100), syncs(100)

    def write_and_sync(sync: SyncCenter, last_run: int | None = None) -> bool:
        """Somebody writes to the group; returns whether this sync has noticed."""
        stack.rows("update IMGroup set lastChated=greatest(lastChated+1,%s) where id=9", (int(time.time()),))
        if last_run is not None:
            seed.redis_key(stack, "last_update_group", last_run)
            with stack.redis("unread") as redis:
                redis.delete("last_update_group_owner")  # as if it had expired
        sync.sync()
        (row,) = stack.rows("select count(*) as n from IMRecentSession s join IMGroup g on g.id=s.peerId where s.updated=g.lastChated")
        return row["n"] == 2

    assert write_and_sync(first)
    assert write_and_sync(second)  # each runs once at its start, and the last one that did goes on
    lately = int(time.time()) - 50
    assert not write_and_sync(first, lately)
    assert first.lag >= 50  # what others have done counts, from the moment at which they did it
    for long_ago in (int(time.time()) - 201, 0):
        assert write_and_sync(first, long_ago)
    assert write_and_sync(first, int(time.time()) + 3600), "a clock that is wrong keeps nobody from it"


def test_a_sync_whose_work_nobody_else_does_goes_on(stack: Stack, syncs: Callable[[float], SyncCenter]) -> None:
    seed.group(stack, 9, [1, 2])
    sync = syncs(100)
    for number in range(3):
        stack.rows("update IMGroup set lastChated=%s where id=9", (int(time.time()) + number,))
        sync.sync()
        (row,) = stack.rows("select min(updated)=(select lastChated from IMGroup where id=9) as done from IMRecentSession where type=2")
        assert row == {"done": 1}


def test_groups_that_share_a_transaction_of_the_sync_each_get_their_own_time(stack: Stack, syncs: Callable[[float], SyncCenter]) -> None:
    """Small groups, one that fills a transaction alone, and people who are in several and have no session yet."""
    now = int(time.time())
    sizes = {9: [1, 2], 10: [2, 3], 11: list(range(1, 1203)), 12: [1], 13: [], 14: [3, 4]}
    for group_id, members in sizes.items():
        seed.group(stack, group_id, members, lastChated=now - group_id)
    seed.session(stack, 1, 9, session_type=GROUP, updated=seed.T0)
    seed.session(stack, 2, 10, session_type=GROUP, updated=seed.T0)
    seed.session(stack, 1, 2, updated=seed.T0)
    sync = syncs(100)
    sync.sync()
    rows = stack.rows("select userId,peerId,count(*) as n,max(updated) as at from IMRecentSession where type=2 group by userId,peerId")
    assert {(row["userId"], row["peerId"]) for row in rows} == {(user, group_id) for group_id, users in sizes.items() for user in users}
    assert {row["n"] for row in rows} == {1}
    times = {(row["userId"], row["peerId"]): int(str(row["at"])) for row in rows}
    assert times[1, 9] == now - 9
    assert times[2, 10] == now - 10
    assert all(at >= now for key, at in times.items() if key not in ((1, 9), (2, 10)))  # new ones
    assert stack.rows("select updated from IMRecentSession where type=1") == [{"updated": seed.T0}]
    stack.rows("update IMGroup set lastChated=lastChated+100")
    sync.sync()
    rows = stack.rows("select distinct peerId,updated from IMRecentSession where type=2 order by peerId")
    assert [tuple(row.values()) for row in rows] == [(group_id, now - group_id + 100) for group_id in sizes if sizes[group_id]]


def test_a_group_of_which_something_is_wrong_keeps_none_of_its_neighbours_from_the_sync(
    stack: Stack, syncs: Callable[[float], SyncCenter]
) -> None:
    for group_id in range(1, 8):
        seed.group(stack, group_id, [1, 2], lastChated=int(time.time()))
    sync = syncs(100)
    with refused(stack, "IMRecentSession", "new.peerId=4"), pytest.raises(StatementError):
        sync.sync()
    count = "select count(distinct peerId) as n from IMRecentSession where type=2"
    assert stack.rows(count) == [{"n": 6}]
    sync.sync()
    assert stack.rows(count) == [{"n": 7}]
    assert stack.rows("select count(*) as n from IMRecentSession") == [{"n": 14}]
