"""Reading large tables and key spaces in batches while proxies are running. One thread."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from itertools import islice
from typing import TypeVar

from dbproxy.backends import Backends
from dbproxy.config import Config
from dbproxy.errors import DeadlockError
from dbproxy.stores.mysql import DBConn, lock_rows, named_locks
from dbproxy.stores.redis import CachePool
from dbproxy.stores.redis.scan import scan_step

T = TypeVar("T")

PATIENCE = 60.0
"""Seconds for which a transaction begins again that others end. On a node of a cluster it loses against every message that another node
stores in the same conversation meanwhile.
"""

LONGEST_PAUSE = 0.1
"""Seconds before it does so after several attempts, at most; the time is random, so that two of them do not meet again."""

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

    def with_locks(self, work: Callable[[DBConn], T], lock_name: str, *row_names: str, patience: float = PATIENCE) -> T:
        """Call ``work`` with a connection of the master in a transaction and under a named lock, and commit. In a cluster with several
        writers the transaction excludes those of other nodes, too: with the lock rows ``row_names``, or the one of ``lock_name``.

        What others end, because they were faster or for a deadlock, begins again for ``patience`` seconds, so ``work`` may be called
        several times.

        Raises:
            LockWaitError: the lock does not get free.
            DeadlockError: others were faster each time; nothing has changed.

        """

        def attempt(connection: DBConn) -> T:
            with named_locks(connection, (lock_name,)):
                connection.script(("begin", *lock_rows(connection, row_names or (lock_name,))))
                done = work(connection)
                connection.commit_script(())
                return done

        return self._until_committed(attempt, patience)

    def without_locks(self, work: Callable[[DBConn], T], *, patience: float = PATIENCE) -> T:
        """As ``with_locks``, but ``work`` itself sees to it that nobody else changes the same."""

        def attempt(connection: DBConn) -> T:
            connection.script(("begin",))
            done = work(connection)
            connection.commit_script(())
            return done

        return self._until_committed(attempt, patience)

    def _until_committed(self, attempt: Callable[[DBConn], T], patience: float) -> T:
        deadline = time.monotonic() + patience
        while True:
            try:
                return self.master.write(attempt)
            except DeadlockError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(random.uniform(0, LONGEST_PAUSE))

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
