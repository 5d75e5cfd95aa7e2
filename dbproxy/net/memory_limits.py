"""Which connections to close when all together make the proxy keep too much. Nothing here closes anything; reactor thread only.

Each function returns pairs of a connection and the bytes that closing it frees, and stops when the others are below the limit.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from dbproxy.net.proxy_conn import ProxyConn

MIN_RATE, MIN_RATE_OVER_TWICE = 32 * 1024, 512 * 1024
"""Bytes a second that a peer must take of its backlog while all together keep too much, or more than twice as much, for their peers."""

NO_PROGRESS = 1.0
"""Seconds without progress after which a connection may be closed because all together keep too much for their peers."""


def holding_most(connections: Collection[ProxyConn], held: Mapping[int, int], limit: int) -> Iterator[tuple[ProxyConn, int]]:
    """Those that hold most, until unfinished PDUs and held requests (``held``: uuid → bytes) of the others are within ``limit`` bytes."""
    sizes = {connection: connection.pending + held.get(connection.uuid, 0) for connection in connections}
    excess = sum(sizes.values()) - limit
    for connection in sorted(sizes, key=lambda connection: -sizes[connection]):
        if excess <= 0:
            return
        excess -= sizes[connection]
        yield connection, sizes[connection]


def slowest_readers(connections: Collection[ProxyConn], limit: int, now: float) -> Iterator[tuple[ProxyConn, int]]:
    """Those with the largest backlogs among the slow ones, until the backlogs of the others are within ``limit`` bytes. Slow are peers that
    take next to nothing, and far above the limit also those that take little.
    """
    total = sum(connection.backlog.size for connection in connections)
    if total <= limit:
        return
    rate = MIN_RATE if total <= 2 * limit else MIN_RATE_OVER_TWICE
    slow = [
        connection
        for connection in connections
        if connection.backlog.is_slower_than(rate) or (total > 2 * limit and connection.backlog.seconds_blocked(now) > NO_PROGRESS)
    ]
    for connection in sorted(slow, key=lambda connection: -connection.backlog.size):
        if total <= limit:
            return
        size = connection.backlog.size
        total -= size
        yield connection, size
