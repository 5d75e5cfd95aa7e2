"""The server's named locks (GET_LOCK), which order what no row exists for yet, also between proxies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pymysql
from pymysql.constants import ER

from dbproxy.errors import LockWaitError
from dbproxy.stores.mysql.connection import DBConn
from dbproxy.stores.mysql.errors import error_code


@contextmanager
def named_locks(connection: DBConn, names: Sequence[str]) -> Iterator[None]:
    """Hold named locks for the length of the block. The thread that has the connection.

    A server that receives nothing for longer than ``idle_timeout`` releases them and closes the connection: code that writes elsewhere
    under these locks has to check ``is_lost`` afterwards.

    Raises:
        LockWaitError: one was not free within DBLockTimeout.

    """
    timeout = connection.lock_timeout
    names = sorted(set(names))  # one order for all, so that there are no deadlocks
    if not names:
        yield
        return
    quoted = [connection.quoted(name) for name in names]
    try:
        got = connection.select("select " + ",".join(f"get_lock({name},{timeout:.1f})" for name in quoted))[0]
        if got.count(b"1") < len(names):
            raise LockWaitError(ER.LOCK_WAIT_TIMEOUT, f"the locks {', '.join(names)} were not free within {timeout:g} s")
        yield
    finally:
        if connection.open:
            _release(connection, quoted)


def _release(connection: DBConn, quoted: Sequence[str]) -> None:
    statement = "do " + ",".join(f"release_lock({name})" for name in quoted)
    try:
        try:
            connection.execute(statement)
        except pymysql.err.OperationalError as error:
            if error_code(error) != ER.LOCK_DEADLOCK:
                raise
            connection.execute(statement)  # the error was about the transaction, which another node has ended
    except pymysql.err.Error:
        connection.discard()  # the server releases what a closed connection held
