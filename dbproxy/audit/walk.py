"""Walking through tables and keys that may be big, in portions, while proxies are at work. One thread."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from dbproxy.stores.mysql import DBManager, DBPool
from dbproxy.stores.redis import CacheManager, CachePool

T = TypeVar("T")

SLICE_ROWS = 50_000
"""Rows that one statement goes over, about: some ten milliseconds."""

SCAN_COUNT = 1000
"""Keys that Redis looks at in one step of a SCAN."""

PIPELINE = 500
"""Commands in one pipeline."""

SETTLE = 1.0
"""Seconds between two looks at something that a proxy may just be about to finish: it commits in MySQL first and tells Redis then."""


@dataclass(frozen=True, slots=True)
class Stores:
    """What every check works with. What is suspicious in the slave, which may be a moment behind, is looked at again in the master."""

    databases: DBManager
    caches: CacheManager
    lock_timeout: float
    """Seconds to wait for a named lock."""
    settle: float = SETTLE

    @property
    def master(self) -> DBPool:
        """The database that is right."""
        return self.databases.master

    @property
    def slave(self) -> DBPool:
        """The database that may be kept busy."""
        return self.databases.slave

    def let_settle(self, suspects: Sized) -> None:
        """Wait, if there is anything to look at again."""
        if len(suspects):
            time.sleep(self.settle)


def slices(pool: DBPool, table: str, column: str, rows: int = SLICE_ROWS) -> Iterator[tuple[int, int]]:
    """Cut a table into ranges (first, last) of an indexed column with about ``rows`` rows each; a value is never in two of them."""
    found = pool.select(f"select min({column}) from {table}")
    while found and found[0][0] is not None:
        low = int(found[0][0])
        end = pool.select(f"select {column} from {table} where {column}>={low} order by {column} limit {rows - 1},1")
        if not end:
            end = pool.select(f"select max({column}) from {table}")
        high = max(low, int(end[0][0] or 0))
        yield low, high
        found = pool.select(f"select min({column}) from {table} where {column}>{high}")


def scan(pool: CachePool, pattern: str) -> Iterator[list[bytes]]:
    """Find keys: every key that exists all the time comes at least once. Never blocks Redis for long."""
    cursor = b"0"
    while True:
        cursor, keys = pool.execute([("SCAN", cursor, "MATCH", pattern, "COUNT", SCAN_COUNT)])[0]
        yield from batches(dict.fromkeys(keys), PIPELINE)
        if cursor == b"0":
            return


def of_type(pool: CachePool, keys: Sequence[bytes], kind: bytes) -> tuple[list[bytes], list[bytes]]:
    """Those of the keys that have this type, and those that have another; keys that have gone are in neither."""
    types = pool.execute([("TYPE", key) for key in keys])
    right = [key for key, found in zip(keys, types, strict=True) if found == kind]
    return right, [key for key, found in zip(keys, types, strict=True) if found not in (kind, b"none")]


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Cut anything into lists of at most ``size``."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def among(ids: Iterable[int]) -> str:
    """Return ids as they stand between the brackets of an SQL ``in``."""
    return ",".join(map(str, ids))
