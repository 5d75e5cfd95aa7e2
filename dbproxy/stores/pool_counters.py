"""PoolCounters: what has become of the connections of one pool, for operators. Any thread.

What happens with each statement is counted where it costs least: by the connection, which belongs to one thread at a time (``calls`` and
``seconds``, which the pool adds up when somebody asks). What is rare is counted here, under a lock.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

FailureKind = Literal["connect", "timeout", "lost", "refused", "no_connection"]
"""connect: no connection, or no login; timeout: no answer in time; lost: the connection broke; refused: the server said no to a statement
or a command; no_connection: none of the pool became free in time."""

FAILURE_KINDS: Final[tuple[FailureKind, ...]] = ("connect", "timeout", "lost", "refused", "no_connection")

_SERVER_FAILS = {"connect", "timeout", "lost"}
"""Failures after which the pool does not work, until something succeeds: a server that refuses does answer."""


@dataclass(frozen=True, slots=True)
class PoolReport:
    """The state of one pool. Numbers that count are since the start, times in seconds."""

    kind: Literal["mysql", "redis"]
    name: str
    server: str
    """host:port"""
    in_use: int
    """Connections that threads have at this moment."""
    idle: int
    """Open connections that nobody has."""
    limit: int
    waiting: int
    """Threads that wait for a connection of the pool to become free."""
    waits: int
    """How often a thread had to."""
    wait_seconds: float
    connects: int
    """Connections made, each with its login."""
    failovers: int
    """How often another server was found than before."""
    calls: int
    """Statements, scripts or pipelines sent."""
    seconds: float
    """For which threads waited for the server in all: for connections and for results."""
    failures: dict[FailureKind, int]
    works: bool
    """Whether what was last tried succeeded, apart from refusals."""
    last_failure: str | None


def merged(reports: Sequence[PoolReport], *, works: bool) -> PoolReport:
    """Return the state of several pools of one instance, at least one, as that of one pool."""
    summed = ("in_use", "idle", "limit", "waiting", "waits", "wait_seconds", "connects", "failovers", "calls", "seconds")
    sums: dict[str, Any] = {name: sum(getattr(report, name) for report in reports) for name in summed}
    return replace(
        reports[0],
        server=",".join(report.server for report in reports),
        failures={kind: sum(report.failures[kind] for report in reports) for kind in FAILURE_KINDS},
        works=works,
        last_failure=next((report.last_failure for report in reports if report.last_failure), None),
        **sums,
    )


class PoolCounters:
    """Counts for one pool. ``works``, ``waiting`` and the numbers may be read without the lock: each is one value."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.works = True
        self.connects = 0
        self.waiting = 0
        self.waits = 0
        self.wait_seconds = 0.0
        self.last_failure: str | None = None
        self._failures: dict[FailureKind, int] = dict.fromkeys(FAILURE_KINDS, 0)

    @property
    def failures(self) -> dict[FailureKind, int]:
        """Failures by kind."""
        with self._lock:
            return dict(self._failures)

    def connected(self) -> None:
        """A connection was made."""
        with self._lock:
            self.connects += 1

    def replaced(self, new: PoolCounters) -> None:
        """The pool has got other connections, whose making ``new`` has counted: the server was asked, and works."""
        with self._lock:
            self.connects += new.connects
            self.works = True

    def failed(self, kind: FailureKind, text: str) -> None:
        """Something failed; ``text`` must not hold what users have written."""
        with self._lock:
            self._failures[kind] += 1
            self.last_failure = text
            if kind in _SERVER_FAILS:
                self.works = False

    def begin_waiting(self) -> None:
        """A thread begins to wait for a free connection."""
        with self._lock:
            self.waiting += 1
            self.waits += 1

    def end_waiting(self, seconds: float) -> None:
        """It has one, or gives up, after so many seconds."""
        with self._lock:
            self.waiting -= 1
            self.wait_seconds += seconds
