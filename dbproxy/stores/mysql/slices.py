"""Dividing a large table into parts that one statement reads, in some ten milliseconds: for tools, not for the daemon. Any thread."""

from __future__ import annotations

from collections.abc import Iterator

from dbproxy.stores.mysql.read_pool import ReadablePool, ReadPool

SLICE_ROWS = 50_000
"""Rows that one statement reads, approximately."""


def slices(pool: ReadablePool | ReadPool, table: str, column: str, rows: int = SLICE_ROWS) -> Iterator[tuple[int, int]]:
    """Divide a table into ranges (first, last) of an indexed column with about ``rows`` rows each; no value is in two ranges. Raises
    StoreError.
    """
    found = pool.select(f"select min({column}) from {table}")
    while found and found[0][0] is not None:
        low = int(found[0][0])
        end = pool.select(f"select {column} from {table} where {column}>={low} order by {column} limit {rows - 1},1")
        if not end:
            end = pool.select(f"select max({column}) from {table}")
        high = max(low, int(end[0][0] or 0))
        yield low, high
        found = pool.select(f"select min({column}) from {table} where {column}>{high}")
