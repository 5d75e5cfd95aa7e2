"""Clusters with several writers: lock rows, and transactions that a node has rolled back without saying so."""

from __future__ import annotations

from typing import cast

import pymysql
import pytest
from pymysql.constants import ER, SERVER_STATUS

from dbproxy.errors import DeadlockError, StatementError
from dbproxy.stores.mysql import DBConn, lock_rows
from dbproxy.stores.mysql.failures import leaves_outcome_open, refusal
from dbproxy.stores.mysql.lock_rows import ROWS, row_of
from dbproxy.stores.mysql.multi_writer import MultiWriterSession, read_what_others_commit

INSIDE, OUTSIDE = SERVER_STATUS.SERVER_STATUS_IN_TRANS, 0


class FakeConnection:
    """A connection to a node with or without the lock table."""

    def __init__(self, *, has_lock_table: bool = True, has_setting: bool = True) -> None:
        self.needs_lock_rows = has_lock_table
        self.executed: list[str] = []
        self._has_setting = has_setting

    def execute(self, statement: str) -> int:
        self.executed.append(statement)
        if not self._has_setting:
            raise pymysql.err.OperationalError(ER.UNKNOWN_SYSTEM_VARIABLE, "Unknown system variable 'wsrep_sync_wait'")
        return 0

    def select(self, _: str) -> list[tuple[bytes]]:
        return [(b"1" if self.needs_lock_rows else b"0",)]


def connection(*, has_lock_table: bool = True, has_setting: bool = True) -> DBConn:
    return cast("DBConn", FakeConnection(has_lock_table=has_lock_table, has_setting=has_setting))


def session() -> MultiWriterSession:
    return MultiWriterSession(connection())


def test_the_rows_of_all_names_are_changed_in_one_order() -> None:
    names = [f"dbproxy.pair.1.{number}" for number in range(20)]
    (statement,) = lock_rows(connection(), names)
    assert (statement,) == lock_rows(connection(), reversed(names))
    rows = [int(part.split(",")[0]) for part in statement.split("values ")[1].split(" on ")[0].strip("()").split("),(")]
    assert rows == sorted(map(row_of, names))
    assert statement.endswith("on duplicate key update n=n+1")


def test_the_row_of_a_name_is_the_same_in_every_process_and_release() -> None:
    assert (row_of("dbproxy.pair.1.2"), row_of("dbproxy.group.9"), row_of("dbproxy.members.9")) == (34_811, 142_995, 765_943)
    assert all(0 <= row_of(str(number)) < ROWS for number in range(100))


def test_a_server_whose_own_locks_are_enough_gets_no_statement() -> None:
    assert lock_rows(connection(has_lock_table=False), ["dbproxy.group.9"]) == ()


@pytest.mark.parametrize("has_setting", [True, False])
def test_a_session_reads_what_other_nodes_have_committed_where_there_is_a_setting_for_it(*, has_setting: bool) -> None:
    asked = connection(has_setting=has_setting)
    read_what_others_commit(asked)
    assert cast("FakeConnection", asked).executed == ["set wsrep_sync_wait=1"]


def test_a_node_that_is_not_ready_is_supposed_to_have_the_lock_table() -> None:
    assert MultiWriterSession(connection(has_lock_table=False), is_ready=False).has_lock_table
    assert not MultiWriterSession(connection(has_lock_table=False)).has_lock_table


def test_a_transaction_that_is_gone_is_noticed_with_the_next_answer() -> None:
    guard = session()
    guard.sent(b"begin;select 1")
    guard.answered(INSIDE)
    with pytest.raises(pymysql.err.OperationalError) as raised:
        guard.answered(OUTSIDE)
    assert raised.value.args[0] == ER.LOCK_DEADLOCK
    guard.answered(OUTSIDE)  # said once


@pytest.mark.parametrize("end", [b"commit", b"rollback", b"update t set a=1;commit"])
def test_the_end_of_a_transaction_is_no_loss(end: bytes) -> None:
    guard = session()
    guard.sent(b"begin")
    guard.answered(INSIDE)
    guard.sent(end)
    guard.answered(OUTSIDE)
    guard.sent(b"select 1")
    guard.answered(OUTSIDE)


def test_an_abort_at_the_commit_begins_again_and_a_commit_that_a_node_could_not_finish_is_looked_up() -> None:
    aborted = pymysql.err.OperationalError(ER.ERROR_DURING_COMMIT, "Got error 149 - 'Lock deadlock; Retry transaction' during COMMIT")
    assert not leaves_outcome_open(aborted)
    assert isinstance(refusal(aborted, ""), DeadlockError)
    unfinished = pymysql.err.OperationalError(ER.ERROR_DURING_COMMIT, "Got error 6 'No such device or address' during COMMIT")
    assert leaves_outcome_open(unfinished)
    assert type(refusal(unfinished, "")) is StatementError
