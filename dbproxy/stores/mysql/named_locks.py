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
def named_locks(connection: DBConn, names: Sequence[str], *, waits: bool = True) -> Iterator[Sequence[str]]:
    """Hold named locks for the length of the block; yields those that are held: all of them, unless it does not wait (``waits`` False) for
    those that are not free. The thread that has the connection.

    A server that receives nothing for longer than ``idle_timeout`` releases them and closes the connection: code that writes elsewhere
    under these locks has to check ``is_lost`` afterwards.

    Raises:
        LockWaitError: one was not free within DBLockTimeout; the locks are asked for one after the other, so with several it may take as
            often as long.

    """
    timeout = connection.lock_timeout if waits else 0
    names = sorted(set(names))  # one order for all, so that there are no deadlocks
    if not names:
        yield ()
        return
    quoted = [connection.quoted(name) for name in names]
    try:
        got = connection.select("select " + ",".join(f"get_lock({name},{timeout:.1f})" for name in quoted))[0]
        held = [name for name, is_held in zip(names, got, strict=True) if is_held == b"1"]
        if waits and len(held) < len(names):
            missing = sorted(set(names) - set(held))
            raise LockWaitError(ER.LOCK_WAIT_TIMEOUT, f"the locks {', '.join(missing)} were not free within {timeout:g} s")
        yield held
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
