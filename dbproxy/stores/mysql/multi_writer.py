"""MultiWriterSession: what is different on a connection to a server of a cluster in which others take writes, too: Galera, or a
replication group of MySQL with several primaries. The thread that has the connection.

A node rolls back a transaction when one of another node, which was first, changes a row that it has locked. Who sends one statement at a
time is always told, with the error of a deadlock. But between two statements of one packet that error gets lost: what follows is executed
as if there had never been a ``begin``, and even the ``commit`` succeeds. (MariaDB 10.11.19 with Galera 26.4.23: of 2,500 transactions with
conflicts that were acknowledged 60 were not there, of 40 of them only the first half.) So on such a server

- what a transaction writes is sent one statement at a time, its ``commit`` too (``DBConn.commit_script``). What reads, locks, or does no
  harm outside of a transaction may share a packet;
- each answer inside a transaction must say that there still is one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pymysql
from pymysql.constants import ER, SERVER_STATUS

from dbproxy.stores.mysql import schema

if TYPE_CHECKING:
    from dbproxy.stores.mysql.connection import DBConn

_LOCK_TABLE = f"select count(*) from information_schema.tables where table_schema=database() and table_name='{schema.LOCK_TABLE}'"

_READ_COMMITTED_BY_OTHERS = "set wsrep_sync_wait=1"
"""MySQL's own setting for this (group_replication_consistency) would also wait for what is under way when a member fails."""

_ENDS = (b"commit", b"rollback")


def read_what_others_commit(connection: DBConn) -> None:
    """Have the session of a new connection read what other nodes have committed before. A node that is not ready takes this, too, and may
    be ready when the connection is used.

    Raises:
        pymysql.err.Error: the server does not answer.

    """
    try:
        connection.execute(_READ_COMMITTED_BY_OTHERS)
    except pymysql.err.Error as error:
        if error.args[0] != ER.UNKNOWN_SYSTEM_VARIABLE:
            raise


class MultiWriterSession:
    """Of one connection, from login to close."""

    def __init__(self, connection: DBConn, *, is_ready: bool = True) -> None:
        """Ask whether the lock table is there. Of a node that is not ready, and would not answer, it is supposed: it may be ready when the
        connection is used.

        Raises:
            pymysql.err.Error: the server does not answer.

        """
        self.has_lock_table: bool = not is_ready or connection.select(_LOCK_TABLE)[0][0] != b"0"
        """Whether the server has the table of ``lock_rows.py``."""
        self._inside = False

    def sent(self, statement: bytes) -> None:
        """Note what is sent: ``begin`` stands at the beginning, ``commit`` and ``rollback`` at the end."""
        if statement.endswith(_ENDS):
            self._inside = False
        elif statement.startswith(b"begin"):
            self._inside = True

    def answered(self, server_status: int) -> None:
        """Check the status of an answer.

        Raises:
            pymysql.err.OperationalError: the error of a deadlock: the transaction is gone.

        """
        if self._inside and not server_status & SERVER_STATUS.SERVER_STATUS_IN_TRANS:
            self._inside = False
            raise pymysql.err.OperationalError(ER.LOCK_DEADLOCK, "the transaction was rolled back because of one of another node")
