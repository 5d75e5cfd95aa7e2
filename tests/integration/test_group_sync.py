"""Which of several proxies does the group session sync, and what a group whose lock is held costs the others."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from dbproxy.config import load_config
from dbproxy.errors import LockWaitError, StoreUnavailableError
from dbproxy.models.group_members import GroupMembers
from dbproxy.stores.mysql import DBManager, named_locks
from dbproxy.stores.redis import CacheManager
from dbproxy.sync_center import SyncCenter
from dbproxy.testing import Stack, seed
from dbproxy.testing.requests import GROUP
from dbproxy.testing.waiting import eventually

OWNER = "last_update_group_owner"


@pytest.fixture
def stores(stack: Stack) -> Iterator[tuple[DBManager, CacheManager]]:
    config = load_config(stack.write_config(overrides={"DBLockTimeout": 1}))
    databases, caches = DBManager(config), CacheManager(config)
    with contextlib.closing(databases), contextlib.closing(caches):
        databases.open()
        caches.open()
        yield databases, caches


@pytest.fixture
def syncs(stores: tuple[DBManager, CacheManager]) -> Callable[[float], SyncCenter]:
    """Makes the sync of a further proxy, which runs when the test says so."""
    databases, caches = stores
    members = GroupMembers(databases.master, caches.group_member)
    return lambda interval: SyncCenter(databases.master, caches.unread, members, interval)


def write(stack: Stack, *groups: int) -> None:
    """Somebody writes to these groups."""
    for group_id in groups:
        stack.rows("update IMGroup set lastChated=greatest(lastChated+1,%s) where id=%s", (int(time.time()), group_id))


def done(stack: Stack) -> list[int]:
    """The groups whose members have the time of the last message."""
    rows = stack.rows("select distinct g.id from IMRecentSession s join IMGroup g on g.id=s.peerId where s.updated=g.lastChated")
    return sorted(int(str(row["id"])) for row in rows)


@contextlib.contextmanager
def held(stack: Stack, group_id: int) -> Iterator[None]:
    """Somebody holds the lock of this group, and does not go on."""
    with contextlib.closing(stack.mysql()) as connection, connection.cursor() as cursor:
        cursor.execute("select get_lock(%s,1)", (GroupMembers.lock_name(group_id),))
        yield


def test_a_run_that_takes_longer_than_several_intervals_is_not_done_by_another_as_well(
    stack: Stack, syncs: Callable[[float], SyncCenter]
) -> None:
    seed.group(stack, 9, [1, 2])
    owner, other = syncs(100), syncs(100)
    other.sync()
    owner.sync()  # was started last
    long_ago = int(time.time()) - 1000
    seed.redis_key(stack, "last_update_group", long_ago)  # the owner is still at the run that comes next
    write(stack, 9)
    other.sync()
    assert done(stack) == []
    assert other.lag >= 1000
    owner.sync()
    assert done(stack) == [9]


def test_who_was_started_last_takes_over_and_the_former_one_ends_its_run(stack: Stack, syncs: Callable[[float], SyncCenter]) -> None:
    first, second = syncs(0.002), syncs(100)
    seed.group(stack, 9, list(range(1, 1203)), lastChated=int(time.time()))  # takes three transactions
    running = threading.Thread(target=first.sync)
    with stack.redis("unread") as redis:
        with held(stack, 9):
            running.start()
            waiting = "select count(*) as n from information_schema.processlist where info like 'select get_lock%,1.0)'"
            assert eventually(lambda: stack.rows(waiting) == [{"n": 1}], True)
            redis.set(OWNER, "of another")
        running.join()
        assert redis.get(OWNER) == "of another"
        assert not redis.exists("last_update_group")
        assert stack.rows("select count(*) as n from IMRecentSession") == [{"n": 500}]
        second.sync()
        assert stack.rows("select count(*) as n from IMRecentSession") == [{"n": 1202}]
        assert redis.exists("last_update_group")
        assert 100_000 < int(str(redis.pttl(OWNER))) <= 200_000


def test_who_cannot_reach_a_backend_gives_it_up_at_once(
    stack: Stack, syncs: Callable[[float], SyncCenter], stores: tuple[DBManager, CacheManager], monkeypatch: pytest.MonkeyPatch
) -> None:
    seed.group(stack, 9, [1, 2])
    for user_id in (1, 2):  # a session that is added gets the time of the sync, which may be a second later
        seed.session(stack, user_id, 9, session_type=GROUP)
    other, failing = syncs(100), syncs(100)
    other.sync()
    failing.sync()
    seed.redis_key(stack, "last_update_group", int(time.time()) - 1000)
    write(stack, 9)
    with monkeypatch.context() as patch:
        patch.setattr(stores[0].master, "select", lambda _: (_ for _ in ()).throw(StoreUnavailableError("away")))
        with pytest.raises(StoreUnavailableError):
            failing.sync()
    time.sleep(0.01)  # the key expires in a millisecond
    other.sync()
    assert done(stack) == [9]


def test_a_group_whose_lock_is_held_keeps_no_other_from_being_done(stack: Stack, syncs: Callable[[float], SyncCenter]) -> None:
    for group_id in range(1, 6):
        seed.group(stack, group_id, [1, 2], lastChated=int(time.time()))
    write(stack, *range(1, 6))
    sync = syncs(100)
    with held(stack, 3), pytest.raises(LockWaitError, match=r"the locks dbproxy\.\S*3 were not free"):
        sync.sync()
    count = "select count(distinct peerId) as n from IMRecentSession where type=2"
    assert stack.rows(count) == [{"n": 4}]
    sync.sync()
    assert stack.rows(count) == [{"n": 5}]


def test_locks_that_are_not_free_need_not_be_waited_for(stack: Stack, stores: tuple[DBManager, CacheManager]) -> None:
    names = [GroupMembers.lock_name(group_id) for group_id in (1, 2, 3)]
    with held(stack, 2), stores[0].master.connection() as connection:
        with named_locks(connection, names, waits=False) as free:
            assert list(free) == [names[0], names[2]]
        with pytest.raises(LockWaitError) as error, named_locks(connection, names):
            pass
    assert names[1] in str(error.value)
    assert names[0] not in str(error.value)
