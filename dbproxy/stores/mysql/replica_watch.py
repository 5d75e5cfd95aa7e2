"""ReplicaWatch: asks the replicas regularly how far they are. It belongs to one thread at a time: the one that opens the pools, then the
watch's own.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pymysql

from dbproxy.errors import StoreError
from dbproxy.stores.mysql.connection import DBConn
from dbproxy.stores.mysql.errors import error_code, is_refusal
from dbproxy.stores.mysql.gtid import has_reached, without_blanks
from dbproxy.stores.mysql.master_position import MasterPosition, Position
from dbproxy.stores.mysql.pool import DBPool
from dbproxy.stores.mysql.replica import GTID, MASTER, NODE, UNKNOWN, Replica, ReplicaFindings
from dbproxy.stores.mysql.replica_connection import gtid_wait
from dbproxy.stores.mysql.replication import ReplicaStatus, replica_status, status_statement
from dbproxy.stores.watch import Watch

logger = logging.getLogger(__name__)

INTERVAL = 0.5
"""Seconds between two rounds."""

_POSITIONS = 240
"""So many positions of the master are remembered, one for each round in which it went on."""

_PATIENCE = 0.05
"""Seconds for which a replica that was behind is given time to show that it is not any more."""

_MARIADB = "select @@global.gtid_slave_pos,'ON'"
_MYSQL = "select @@global.gtid_executed,@@global.gtid_mode"
_IS_NODE = "show global variables like 'wsrep_on'"
_NODE = "show global status where variable_name in ('wsrep_ready','wsrep_cluster_state_uuid')"


@dataclass(frozen=True, slots=True)
class ReplicaAnswers:
    """What a replica has said."""

    identity: str
    position: str
    has_gtids: bool
    cluster: str
    """UUID of the state of its Galera cluster; empty: it is in none."""
    is_ready: bool
    """Whether it takes part in that."""
    sources: Sequence[ReplicaStatus] | None
    """What it replicates from; None: the account may not ask."""
    caught_up: bool | None
    """Whether it had the position that it was asked for; None: it was not asked."""

    @property
    def own_lag(self) -> float | None:
        """The largest number of seconds that it says it is behind."""
        return max((float(source.lag) for source in self.sources or () if source.lag is not None), default=None)

    @property
    def stopped(self) -> str:
        """Why it gets nothing new at all; empty: it does, as far as it says. A source that it cannot reach is no reason: that may be down,
        and what the replica has is the newest there is then.
        """
        if self.sources is None:
            return ""
        if not self.sources:
            return "it replicates from nowhere"
        stopped = [source.source for source in self.sources if "No" in (source.receives, source.applies)]
        return f"its replication from {stopped[0]} is stopped" if stopped else ""


class ReplicaWatch(Watch):
    """Examines the replicas of one ``ReadPool``."""

    name = "replica-watch"

    def __init__(
        self,
        replicas: Callable[[], Sequence[tuple[Replica, DBPool]]],
        master: DBPool,
        position: Callable[[], MasterPosition],
        judge: Callable[[Replica, ReplicaFindings], None],
    ) -> None:
        """``replicas``: those that there are, each with a pool of one connection for the watch alone. ``judge`` is told what was found."""
        super().__init__()
        self._replicas = replicas
        self._master = master
        self._position = position
        self._judge = judge
        self._positions: deque[Position] = deque(maxlen=_POSITIONS)

    @property
    def interval(self) -> float:
        """``INTERVAL``."""
        return INTERVAL

    def round(self) -> None:
        """Examine every replica once."""
        replicas = self._replicas()
        if not replicas:
            return
        failovers = self._master.failovers
        position = self._ask_master()
        for replica, pool in replicas:
            if not self._stop.is_set():
                self._judge(replica, self._examine(replica, pool, position, failovers))

    def log_failure(self) -> None:
        """See Watch."""
        logger.exception("the replicas could not be examined")

    def _ask_master(self) -> Position | None:
        """The position of the master; None: it does not answer."""
        try:
            position = self._position().since(time.monotonic())
        except StoreError:
            return None
        newest = self._positions[-1] if self._positions else None
        if newest is not None and newest.server != position.server:
            self._positions.clear()
            newest = None
        if newest is None or newest.text != position.text:
            self._positions.append(position)
        return position

    def _examine(self, replica: Replica, pool: DBPool, position: Position | None, failovers: int) -> ReplicaFindings:
        known = position is not None and not position.refusal
        try:
            with pool.connection() as connection:
                answers = _look(connection, position.text if known and position is not None and replica.behind else "")
        except StoreError as error:
            return ReplicaFindings(reason=f"it cannot be asked: {error}", failovers=failovers)
        master = self._master.identity if position is None else position.server
        if answers.identity and answers.identity == master:
            return ReplicaFindings(answers.identity, MASTER, failovers, lag=0.0, caught_up=True)
        if answers.cluster and answers.cluster == self._cluster_of_master():
            reason = "" if answers.is_ready else "it is no working part of its Galera cluster (wsrep_ready=OFF)"
            return ReplicaFindings(answers.identity, NODE, failovers, reason, caught_up=True)
        reason = "" if position is None else position.refusal
        if not answers.has_gtids:
            reason = "it counts no GTIDs, so whether what it has is old cannot be asked; gtid_mode=ON changes that"
        if reason:
            return ReplicaFindings(answers.identity, UNKNOWN, failovers, reason, answers.own_lag)
        lag = answers.own_lag if position is None else self._lag(answers)
        return ReplicaFindings(answers.identity, GTID, failovers, answers.stopped, lag, answers.caught_up is True or lag == 0.0)

    def _lag(self, answers: ReplicaAnswers) -> float | None:
        """Seconds for which the master is known to be ahead: since the first of its positions that the replica has not reached. The
        replica's own number counts if it is larger: it knows of times before this process was started.
        """
        ahead_since: float | None = None
        try:
            for known in reversed(self._positions):
                if has_reached(answers.position, known.text):
                    break
                ahead_since = known.asked_at
        except ValueError:  # the master is of another engine
            return None
        if ahead_since is None:
            return 0.0
        return max(time.monotonic() - ahead_since, answers.own_lag or 0.0)

    def _cluster_of_master(self) -> str:
        try:
            status: dict[bytes, bytes] = dict(self._master.select(_NODE))
        except StoreError:
            return ""
        return status.get(b"wsrep_cluster_state_uuid", b"").decode()


def _look(connection: DBConn, wanted: str) -> ReplicaAnswers:
    """Ask a replica. ``wanted``: a position that it is given a moment to reach; empty: none."""
    script = [_MARIADB if connection.is_mariadb else _MYSQL, _IS_NODE]
    if wanted:
        script.append(f"select {gtid_wait(connection.quoted(wanted), _PATIENCE, is_mariadb=connection.is_mariadb)}")
    own, is_node, *waited = connection.script(script)
    position, counted = own[0]
    node: dict[bytes, bytes] = dict(connection.select(_NODE)) if is_node and is_node[0][1] in (b"ON", b"1") else {}
    return ReplicaAnswers(
        identity=connection.connected_to.role.identity,
        position=without_blanks((position or b"").decode()),
        has_gtids=counted in (b"ON", b"ON_PERMISSIVE"),
        cluster=node.get(b"wsrep_cluster_state_uuid", b"").decode(),
        is_ready=node.get(b"wsrep_ready") == b"ON",
        sources=_sources(connection),
        caught_up=waited[0][0][0] == b"0" if waited else None,
    )


def _sources(connection: DBConn) -> Sequence[ReplicaStatus] | None:
    version = connection.server_version
    try:
        return tuple(replica_status(connection.select(status_statement(version)), version))
    except pymysql.err.Error as error:
        if not connection.open or not is_refusal(error_code(error)):
            raise
        return None
