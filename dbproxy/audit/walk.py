"""Reading large tables and key spaces in batches while proxies are running. One thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

from dbproxy.backends import Backends
from dbproxy.config import Config
from dbproxy.stores.mysql import DBConn, lock_rows, named_locks
from dbproxy.stores.redis import CachePool
from dbproxy.stores.redis.scan import scan_step

T = TypeVar("T")

SCAN_COUNT = 1000
"""The COUNT of a SCAN: keys that Redis examines in one step."""

PIPELINE = 500
"""Commands in one pipeline."""

RECHECK_DELAY = 1.0
"""Seconds before a suspicious value is read again: a proxy commits in MySQL first and updates Redis afterwards, so a difference may be
temporary.
"""


class AuditBackends(Backends):
    """The backends that every check reads. What looks wrong in the slave, which may be behind, is read again from the master.

    Raises:
        StartupError: as :class:`~dbproxy.backends.Backends`.

    """

    def __init__(self, config: Config, recheck_delay: float = RECHECK_DELAY) -> None:
        super().__init__(config)
        self._recheck_delay = recheck_delay

    @contextmanager
    def locked(self, lock_name: str, *row_names: str) -> Iterator[DBConn]:
        """Take a connection of the master and hold a named lock for the length of the block, which is a transaction. In a cluster with
        several writers that one excludes those of other nodes, too: with the lock rows ``row_names``, or the one of ``lock_name``.

        Raises:
            LockWaitError: the lock does not get free.
            DeadlockError: another node was faster; nothing has changed.

        """
        with self.master.connection() as connection, self._transaction(connection, lock_name, row_names):
            yield connection

    def with_locks(self, work: Callable[[DBConn], T], lock_name: str, *row_names: str) -> T:
        """Call ``work`` with a connection in a transaction and these locks, and commit; again if it was rolled back, because another node
        was faster or for a deadlock.
        """

        def attempt(connection: DBConn) -> T:
            with self._transaction(connection, lock_name, row_names):
                return work(connection)

        return self.master.write(attempt)

    def without_locks(self, work: Callable[[DBConn], T]) -> T:
        """Call ``work`` with a connection in a transaction, and commit; again as ``with_locks``."""

        def attempt(connection: DBConn) -> T:
            connection.script(("begin",))
            done = work(connection)
            connection.commit_script(())
            return done

        return self.master.write(attempt)

    @staticmethod
    @contextmanager
    def _transaction(connection: DBConn, lock_name: str, row_names: Sequence[str]) -> Iterator[None]:
        with named_locks(connection, (lock_name,)):
            connection.script(("begin", *lock_rows(connection, row_names or (lock_name,))))
            yield
            connection.commit_script(())

    def wait_before_recheck(self, suspects: Sized) -> None:
        """Sleep for the recheck delay if there is anything to read again."""
        if len(suspects):
            time.sleep(self._recheck_delay)


def scan(pool: CachePool, pattern: str) -> Iterator[list[bytes]]:
    """Yield batches of matching keys. A key that exists during the whole scan is in at least one of them, unless it moves to another node
    of a cluster meanwhile. SCAN does not block Redis.
    """
    for address in pool.addresses:
        cursor = 0
        while True:
            cursor, keys = scan_step(pool, address, cursor, pattern, SCAN_COUNT)
            yield from batches(dict.fromkeys(keys), PIPELINE)
            if not cursor:
                break


def split_by_type(pool: CachePool, keys: Sequence[bytes], kind: bytes) -> tuple[list[bytes], list[bytes]]:
    """Return the keys that have this type, and the keys that have another one; keys that no longer exist are in neither list."""
    types = pool.execute([("TYPE", key) for key in keys])
    right = [key for key, found in zip(keys, types, strict=True) if found == kind]
    return right, [key for key, found in zip(keys, types, strict=True) if found not in (kind, b"none")]


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Divide an iterable into lists of at most ``size`` items."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def sql_list(ids: Iterable[int]) -> str:
    """Return ids in the form that goes between the parentheses of an SQL ``in``."""
    return ",".join(map(str, ids))
