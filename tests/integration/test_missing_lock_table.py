"""A connection that took the table of the lock rows for granted, because its node was not ready when it was made."""

from __future__ import annotations

import pytest

from dbproxy.config import load_config
from dbproxy.errors import StatementError
from dbproxy.stores.mysql import DBConn, DBManager, lock_rows
from dbproxy.stores.mysql.multi_writer import MultiWriterSession
from dbproxy.testing import Stack


def begin(connection: DBConn) -> None:
    """Begin a transaction on a connection to such a node."""
    connection._cluster = MultiWriterSession(connection, is_ready=False)
    assert connection.needs_lock_rows
    connection.script(["begin", *lock_rows(connection, ["dbproxy.group.9"])])


def test_it_is_not_used_again_when_the_table_turns_out_to_be_missing(stack: Stack) -> None:
    databases = DBManager(load_config(stack.write_config(overrides={"teamtalk_master_maxconncnt": 1})))
    try:
        databases.open()
        stack.rows("rename table IMProxyLock to hidden")
        with pytest.raises(StatementError):
            databases.master.write(begin)
        with databases.master.connection() as connection:
            assert not connection.needs_lock_rows
    finally:
        databases.close()
        stack.rows("rename table hidden to IMProxyLock")
