"""ReplicaSet: which replicas get reads. It does no I/O but logging, and that outside of its lock. Any thread."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from dbproxy.stores.mysql.master_position import Position
from dbproxy.stores.mysql.pool import DBPool
from dbproxy.stores.mysql.replica import MASTER_READS, MasterRead, Replica, ReplicaFindings, ReplicaReport

if TYPE_CHECKING:
    from typing_extensions import Self

logger = logging.getLogger(__name__)

MOST_UNANSWERED = 4
"""Reads that may wait for the first sign of one replica; it comes within a millisecond, so more of them mean that something is wrong."""


class ReplicaRead:
    """A read at a replica, for the length of the block."""

    def __init__(self, lock: threading.Lock, replica: Replica) -> None:
        self._lock = lock
        self._replica = replica
        self.is_answered = False

    def __enter__(self) -> Self:
        return self

    def cancel(self) -> None:
        """End it before anything was asked; it does not have to be entered."""
        with self._lock:
            self._answered()
            self._replica.in_use -= 1

    def answered(self, position: Position | None, server: str) -> None:
        """The replica has given a sign of life, and says that it has reached ``position``, if it was asked. ``server``: its identity."""
        with self._lock:
            self._answered()
            if server and position is not None and position.asked_at > self._replica.confirmed[1]:
                self._replica.confirmed = (server, position.asked_at)

    def _answered(self) -> None:
        if not self.is_answered:
            self.is_answered = True
            self._replica.unanswered -= 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self._lock:
            was_answered = self.is_answered
            self._answered()
            self.is_answered = was_answered
            self._replica.in_use -= 1
            self._replica.reads += kind is None


class ReplicaSet:
    """The replicas of a ``ReadPool``, and how often the master was asked instead of them."""

    def __init__(self, pools: Sequence[DBPool], most_lag: float) -> None:
        """``most_lag``: MaxReplicaLag, in seconds."""
        self._lock = threading.Lock()
        self.replicas: Sequence[Replica] = [Replica(pool) for pool in pools]
        self.most_lag = most_lag
        self._next = 0
        self._master_reads: dict[MasterRead, int] = dict.fromkeys(MASTER_READS, 0)

    def begin(self, tried: Sequence[Replica], moment: float) -> tuple[Replica, ReplicaRead] | None:
        """Choose a replica: best one that is known to have what was committed before ``moment``; of these the one with the fewest reads; by
        turns where several have the same number. None: no one can be used but those that were ``tried``. The read has to be entered.
        """
        with self._lock:
            self._next += 1
            number = len(self.replicas)
            best: Replica | None = None
            least = (True, 0)
            for offset in range(number):
                replica = self.replicas[(self._next + offset) % number]
                if replica.reason or replica.behind or replica.unanswered >= MOST_UNANSWERED or replica in tried:
                    continue
                cost = (not replica.has_confirmed(moment), replica.in_use)
                if best is None or cost < least:
                    best, least = replica, cost
            if best is None:
                return None
            best.in_use += 1
            best.unanswered += 1
            return best, ReplicaRead(self._lock, best)

    def count_master_read(self, why: MasterRead | None = None) -> None:
        """A read goes to the master instead. ``why`` None: as the states of the replicas say."""
        with self._lock:
            if why is None:
                states = {replica.state for replica in self.replicas}
                why = "left_out" if states == {"left_out"} else "behind" if "behind" in states else "busy"
            self._master_reads[why] += 1

    def needs_position(self, moment: float, failovers: int) -> bool:
        """Whether some replica has to be asked for a position of the master, so that it shows what was committed before ``moment``, and
        there is none to be preferred. ``failovers``: those of the master.
        """
        usable = [replica for replica in self.replicas if not (replica.reason or replica.behind)]
        if any(replica.has_confirmed(moment) for replica in usable):
            return False
        return not all(replica.needs_no_position(moment, failovers) for replica in usable)

    def fell_behind(self, replica: Replica) -> None:
        """A replica did not reach a position in time: it gets no reads until it has caught up."""
        with self._lock:
            replica.behind = True

    def leave_out(self, replica: Replica, reason: str) -> None:
        """A replica does not answer."""
        with self._lock:
            was, replica.reason = replica.reason, replica.reason or reason
            replica.answers = False
        if not was:
            self._tell(replica, reason)

    def judge(self, replica: Replica, findings: ReplicaFindings) -> None:
        """Take over what was found out about a replica."""
        with self._lock:
            was, told = replica.reason, replica.told
            replica.reason = reason = findings.refusal(self.most_lag, is_left_out=bool(was))
            replica.lag = findings.lag
            replica.answers = bool(findings.identity)
            replica.as_of = findings.failovers
            if findings.identity:
                replica.identity, replica.fresh_by = findings.identity, findings.fresh_by
            if findings.caught_up:
                replica.behind = False
            replica.told = True
        if bool(was) != bool(reason) or not told:
            self._tell(replica, reason)

    def take_pools(self, former: ReplicaSet) -> None:
        """Go on with the pools of a former set for the same servers, and with its counts; ``former`` gets those that this set had."""
        alone = len(self.replicas) == len(former.replicas) == 1
        by_server = {replica.server: replica for replica in former.replicas}
        for replica in self.replicas:
            own = former.replicas[0] if alone else by_server.get(replica.server)
            if own is not None:
                own.pool.adopt(replica.pool)
                replica.pool, own.pool = own.pool, replica.pool
                replica.reads = own.reads
        self._master_reads = former._master_reads

    def report(self) -> list[ReplicaReport]:
        """The states of this moment."""
        return [replica.report() for replica in self.replicas]

    def master_reads(self) -> dict[MasterRead, int]:
        """How often the master was asked instead, and why."""
        with self._lock:
            return dict(self._master_reads)

    @staticmethod
    def _tell(replica: Replica, reason: str) -> None:
        if reason:
            logger.warning("%s gets no reads, others take them: %s", replica.pool, reason)
        else:
            logger.info("%s gets reads (fresh by %s)", replica.pool, replica.fresh_by)
