"""What operators see of connections: each one, and all together. The reactor counts, any thread may read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from dbproxy.net.proxy_conn import ProxyConn

SortKey = Literal["backlog", "pending", "pdus_in", "bytes_in", "age", "uuid"]

_ATTEMPTS = 100


@dataclass(frozen=True, slots=True)
class ConnReport:
    """One connection. Seconds, and bytes; ``backlog``: not taken by the peer, ``pending``: of an unfinished PDU."""

    uuid: int
    peer: str
    age: float
    idle: float
    """Seconds since the peer has last sent something."""
    pdus_in: int
    pdus_out: int
    bytes_in: int
    bytes_out: int
    backlog: int
    pending: int
    reading: bool


@dataclass(frozen=True, slots=True)
class Traffic:
    """PDUs, heartbeats included, and bytes, from and to peers. PDUs out count when they are handed to their connection, bytes when the
    kernel has taken them.
    """

    pdus_in: int = 0
    pdus_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0


class ConnectionCounters:
    """Counts of one server since its start. Only the reactor thread changes them."""

    def __init__(self) -> None:
        self.accepted = 0
        self.refused = 0
        """Peers that were not let in: not allowed, or too many connections."""
        self.closed = 0
        self.pauses = 0
        """How often reading was paused because workers had too much to do."""
        self._of_closed = Traffic()
        self._version = 0

    def forget(self, connection: ProxyConn, remove: Callable[[], object]) -> None:
        """Keep what a connection that is being closed has counted; ``remove`` takes it from the open ones. Reactor thread."""
        self._version += 1  # odd: a reader that comes now, or has begun before, begins again
        remove()
        self.closed += 1
        self._of_closed = _sum((connection,), self._of_closed)
        self._version += 1

    def traffic(self, connections: Callable[[], Iterable[ProxyConn]]) -> Traffic:
        """Add up what all connections have counted, open (``connections``: a copy of these) and closed. Any thread. The sums never fall: a
        connection that is closed meanwhile counts once.
        """
        total = Traffic()
        for _ in range(_ATTEMPTS):
            version = self._version
            total = _sum(connections(), self._of_closed)
            if version == self._version and not version % 2:
                break
        return total


def _sum(connections: Iterable[ProxyConn], start: Traffic) -> Traffic:
    pdus_in, pdus_out, bytes_in, bytes_out = start.pdus_in, start.pdus_out, start.bytes_in, start.bytes_out
    for connection in connections:
        pdus_in += connection.pdus_in
        pdus_out += connection.pdus_out
        bytes_in += connection.bytes_in
        bytes_out += connection.bytes_out
    return Traffic(pdus_in, pdus_out, bytes_in, bytes_out)


def report_of(connection: ProxyConn, now: float) -> ConnReport:
    """Look at a connection at ``now`` (monotonic). Reactor thread."""
    return ConnReport(
        uuid=connection.uuid,
        peer=connection.peer,
        age=now - connection.opened,
        idle=now - connection.last_received,
        pdus_in=connection.pdus_in,
        pdus_out=connection.pdus_out,
        bytes_in=connection.bytes_in,
        bytes_out=connection.bytes_out,
        backlog=connection.backlog.size,
        pending=connection.pending,
        reading=connection.reads,
    )


def largest(reports: Iterable[ConnReport], sort: SortKey, limit: int) -> list[ConnReport]:
    """Return so many of the connections with the largest values of ``sort``; sorted by uuid the smallest come first."""
    ordered = sorted(reports, key=lambda report: getattr(report, sort), reverse=sort != "uuid")
    return ordered[:limit]
