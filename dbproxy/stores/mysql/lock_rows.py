"""Lock rows: how two transactions exclude each other that run on different nodes of a cluster with several writers.

``GET_LOCK`` and ``for update`` belong to one server. What the nodes of Galera, and of a replication group of MySQL with several primaries,
agree on is which of two transactions that changed the same row is committed: the first one in the order of the cluster. The other one is
rolled back, as after a deadlock, at its commit or before. So a transaction that decides by what it has read, and inserts where no row
exists yet that the others would change too, first changes a row of the table IMProxyLock that stands for what it decides about. It does so

- really: an update that leaves a row as it was is not seen by the other nodes. So ``n`` is counted up;
- before its first read that takes no locks: such a read sees what was committed when the first of them was executed. A transaction of
  another node that has changed the same lock row is then either seen, or it is not applied here yet; then one of the two fails.

Names are hashed onto ``ROWS`` rows, so that the table does not grow with the number of conversations: with all rows in use it has about
45 MB. Two names with the same row only make one of two transactions wait or begin again: of two batches of 100 conversations that are
stored on two nodes at the same time one in 100 does.

Pure functions, except for ``make_lock_table``. Any thread.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from importlib import resources
from zlib import crc32

import pymysql

from dbproxy.stores.mysql import schema
from dbproxy.stores.mysql.connection import DBConn
from dbproxy.stores.mysql.errors import error_text
from dbproxy.stores.mysql.pool import DBPool

logger = logging.getLogger(__name__)

ROWS = 1 << 20
"""Rows that the table has at most."""


def row_of(name: str) -> int:
    """Return the id of the row that stands for a name; the same in every process."""
    return crc32(name.encode()) % ROWS


def lock_rows(connection: DBConn, names: Iterable[str]) -> tuple[str, ...]:
    """Return the statements with which a transaction excludes those of other nodes that use one of these names; none on a server whose
    own locks are enough. ``names`` is iterated only if there are some.

    They come after ``begin`` and before anything is read. The transaction must be committed, also when it has only read: what it has
    read is certain only then.
    """
    if not connection.needs_lock_rows:
        return ()
    rows = ",".join(f"({row},1)" for row in sorted({row_of(name) for name in names}))  # one order for all, so that there are no deadlocks
    return (f"insert into {schema.LOCK_TABLE} (id,n) values {rows} on duplicate key update n=n+1",)


def make_lock_table(pool: DBPool) -> None:
    """Make the table where it is needed and missing, and log what is not promised if that fails.

    Raises:
        StoreError: the server does not answer.

    """
    with pool.connection() as connection:
        connection.select("select 1")  # connects again if the server had ended the connection meanwhile
        if not connection.is_multi_writer or connection.needs_lock_rows:
            return
        sql = resources.files("dbproxy").joinpath("schema.sql").read_text(encoding="utf-8")
        try:
            connection.execute(schema.create_statement(sql, schema.LOCK_TABLE))
            connection.select(f"select 1 from {schema.LOCK_TABLE} limit 1")
        except pymysql.err.Error as error:
            if not connection.open:
                raise
            logger.warning(
                "%s belongs to a cluster with several writers, and its table %s is missing and could not be made: let all proxies write to "
                "the same node, otherwise ids and sessions may be given twice: %s",
                pool,
                schema.LOCK_TABLE,
                error_text(error),
            )
            return
    pool.close()  # idle connections do not know of the table
    logger.info("%s: made the table %s, which was missing", pool, schema.LOCK_TABLE)
