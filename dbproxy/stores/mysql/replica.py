"""Replica: one server that reads may be sent to, and what is known of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

from dbproxy.stores.mysql.pool import DBPool

FreshBy = Literal["master", "gtid", "galera", "unknown"]
"""Why what it answers is not old: it is the master's server; it is asked for the position of the master; its cluster is asked. unknown:
nothing is known of it yet, and GTIDs are tried."""

ReplicaState = Literal["used", "behind", "left_out"]
"""behind: it gets no reads until it has what a read has waited for in vain; left_out: it is stopped, too far behind, or does not answer."""

MasterRead = Literal["left_out", "behind", "busy", "not_reached", "failed", "no_position"]
"""Why the master took a read: all replicas are left out; or are behind; or have as many reads as they may have; the replica did not get in
time what the reader has to see; it failed; the position of the master is not known."""

MASTER_READS: Final[tuple[MasterRead, ...]] = ("left_out", "behind", "busy", "not_reached", "failed", "no_position")

MASTER: Final = "master"
GTID: Final = "gtid"
NODE: Final = "galera"
UNKNOWN: Final = "unknown"

_COMES_BACK = 0.5
"""Part of MaxReplicaLag below which a replica that was too far behind is used again."""


@dataclass(frozen=True, slots=True)
class ReplicaReport:
    """The state of one replica, for operators."""

    server: str
    """host:port"""
    state: ReplicaState
    reason: str
    """Why it is left out; empty: it is not."""
    fresh_by: FreshBy
    lag: float | None
    """Seconds that it is behind the master; None: not known."""
    in_use: int
    """Reads that it has at the moment."""
    reads: int
    """Reads that it has answered since the start."""


@dataclass(frozen=True, slots=True)
class ReplicaFindings:
    """What was found out about a replica."""

    identity: str = ""
    """Of the server that answered; empty: none did."""
    fresh_by: FreshBy = UNKNOWN
    failovers: int = 0
    """Those of the master, before the replica was asked."""
    reason: str = ""
    """Why it cannot be used; empty: it can, unless ``lag`` is too much."""
    lag: float | None = None
    caught_up: bool = False
    """Whether it has what the master had a moment before."""

    def refusal(self, most: float, *, is_left_out: bool) -> str:
        """Why it gets no reads if it may be ``most`` seconds behind; empty: it gets some. One that was left out has to come nearer."""
        limit = most * _COMES_BACK if is_left_out else most
        if not self.reason and self.lag is not None and self.lag > limit:
            return f"it is {self.lag:.1f} s behind (MaxReplicaLag is {most:g} s)"
        return self.reason


class Replica:
    """One of the servers of ``teamtalk_slave``. Everything but the pool changes under the lock of its ``ReadPool``; a single value may be
    read without.
    """

    def __init__(self, pool: DBPool) -> None:
        self.pool = pool
        self.fresh_by: FreshBy = UNKNOWN
        self.identity = ""
        """Of the server, as it was when it was last examined; see ``ServerRole``."""
        self.as_of = -1
        """``failovers`` of the master when it was last examined."""
        self.answers = False
        """Whether it did when it was last asked."""
        self.reason = ""
        self.behind = False
        """Whether it did not reach a position in time, until it has caught up."""
        self.confirmed: tuple[str, float] = ("", -math.inf)
        """The server that has answered last that it has reached a position, and when that position was asked for."""
        self.lag: float | None = None
        self.in_use = 0
        self.unanswered = 0
        """Reads of these that have not heard anything of the server yet."""
        self.reads = 0
        self.told = False
        """Whether the log has been told that it is left out."""

    @property
    def server(self) -> str:
        """Host and port."""
        return self.pool.report().server

    @property
    def state(self) -> ReplicaState:
        """Whether it gets reads."""
        return "left_out" if self.reason else "behind" if self.behind else "used"

    def has_confirmed(self, moment: float, server: str = "") -> bool:
        """Whether it is known to have everything that was committed before ``moment``; with ``server``: whether this one is."""
        confirmed_by, as_of = self.confirmed
        return as_of >= moment and bool(confirmed_by) and server in ("", confirmed_by)

    def needs_no_position(self, moment: float, failovers: int) -> bool:
        """Whether it shows what was committed before ``moment`` without being asked for a position of the master. ``failovers``: those of
        the master.
        """
        return self.has_confirmed(moment) or self.fresh_by == NODE or self.is_master_now(failovers)

    def is_master_now(self, failovers: int) -> bool:
        """Whether it was the server of the master when it was examined, and no other took that place since. ``failovers``: those of the
        master.
        """
        return self.fresh_by == MASTER and self.as_of == failovers

    def report(self) -> ReplicaReport:
        """The state of this moment."""
        return ReplicaReport(self.server, self.state, self.reason, self.fresh_by, self.lag, self.in_use, self.reads)
