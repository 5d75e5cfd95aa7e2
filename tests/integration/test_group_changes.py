"""Groups that are renamed, transferred or dismissed while the connection is lost at the commit: it is found out what has happened."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from administering import administration_of

from dbproxy.admin.installation import Installation
from dbproxy.errors import OutcomeUnknownError, StatementError, StoreUnavailableError
from dbproxy.models.group_changes import GroupChanges
from dbproxy.models.group_transaction import GroupTransactions
from dbproxy.testing import Stack, seed
from dbproxy.testing.waiting import poll

pytestmark = pytest.mark.data(users=["alice", "bob", "carol"], groups={9: [1, 2, 3]})

Lose = Callable[..., None]

CHANGES: dict[str, Callable[[GroupChanges], object]] = {
    "rename": lambda changes: changes.rename(9, "new"),
    "transfer": lambda changes: changes.transfer(9, 2),
    "dismiss": lambda changes: changes.dismiss(9),
}
MADE: dict[str, object] = {"rename": True, "transfer": True, "dismiss": [1, 2, 3]}


@pytest.fixture
def installation(stack: Stack) -> Iterator[Installation]:
    with administration_of(stack) as administration:
        yield administration.installation


@pytest.fixture
def lose(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> Lose:
    """Let the next change lose its connection: after the commit, or (``happens`` False) before it."""
    write: Callable[[Any], object] = installation.master.write

    def prepare(*, happens: bool) -> None:
        def lost(work: Callable[[Any], object]) -> object:
            monkeypatch.undo()
            if happens:
                write(work)
            raise OutcomeUnknownError("lost during a commit")

        monkeypatch.setattr(installation.master, "write", lost)

    return prepare


def row(stack: Stack) -> dict[str, object]:
    return stack.rows("select name,creator,status,version,userCnt from IMGroup where id=9")[0]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_that_was_committed_is_not_made_twice(change: str, stack: Stack, installation: Installation, lose: Lose) -> None:
    lose(happens=True)
    assert CHANGES[change](installation.group_changes) == MADE[change]
    assert row(stack)["version"] == 2


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_that_was_not_committed_is_an_error(change: str, stack: Stack, installation: Installation, lose: Lose) -> None:
    before = row(stack)
    lose(happens=False)
    with pytest.raises(OutcomeUnknownError):
        CHANGES[change](installation.group_changes)
    assert row(stack) == before


@pytest.mark.parametrize("change", CHANGES)
def test_a_group_that_is_dismissed_or_does_not_exist_is_left_alone(change: str, stack: Stack, installation: Installation) -> None:
    assert installation.group_changes.dismiss(9) == [1, 2, 3]
    before = stack.snapshot()
    assert not CHANGES[change](installation.group_changes)
    assert not installation.group_changes.rename(77, "x")
    assert stack.snapshot() == before


def test_a_name_that_the_database_refuses(stack: Stack, installation: Installation) -> None:
    before = stack.snapshot()
    with pytest.raises(StatementError):
        installation.group_changes.rename(9, "x" * 257)
    assert stack.snapshot() == before


def test_redis_that_is_lost_before_the_commit_leaves_everything_as_it_was(stack: Stack, installation: Installation) -> None:
    before = row(stack)
    stack.redis_server.kill()
    with pytest.raises(StoreUnavailableError, match="Redis instance group_member"):
        installation.group_changes.dismiss(9)
    assert row(stack) == before
    stack.redis_server.start()
    assert installation.group_changes.dismiss(9) == [1, 2, 3]


def test_to_remove_many_members_locks_no_sessions_of_others(stack: Stack, installation: Installation) -> None:
    many = 40_000
    with contextlib.closing(stack.mysql()) as other, other.cursor() as cursor:
        rows = ",".join(f"({user_id},9,2,0,1,1)" for user_id in range(10, 10 + many))
        cursor.execute(f"insert into IMRecentSession (userId,peerId,type,status,created,updated) values {rows},(1,2,1,0,1,1)")
        cursor.execute("set innodb_lock_wait_timeout=1")
        with installation.master.connection() as connection:
            connection.execute("begin")
            GroupTransactions.remove_members(connection, 9, range(10, 10 + many), 5)
            cursor.execute("update IMRecentSession set updated=7 where userId=1 and peerId=2 and type=1")
            connection.execute("rollback")
        assert cursor.rowcount == 1


def test_who_removes_members_waits_for_the_group_before_locking_sessions(stack: Stack, installation: Installation) -> None:
    seed.session(stack, 2, 9, session_type=2)
    writer = installation.group_writer
    with contextlib.closing(stack.mysql()) as storing, storing.cursor() as cursor, ThreadPoolExecutor(1) as pool:
        cursor.execute("set innodb_lock_wait_timeout=1")
        storing.begin()
        cursor.execute("select id from IMGroup where id=9 for update")  # as one who stores a message
        removal = pool.submit(writer.change_members, 0, 9, 2, [2])
        poll(lambda: stack.rows("show global status like 'Innodb_row_lock_current_waits'")[0]["Value"], lambda waiting: waiting == "1")
        cursor.execute("update IMRecentSession set updated=7 where userId=2 and peerId=9 and type=2")
        storing.commit()
        removed = removal.result()
    assert removed is not None
    assert (removed.current, removed.changed) == ([1, 3], [2])
