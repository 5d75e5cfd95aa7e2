"""ReadPool: ``teamtalk_slave``, the pool for reads. It spreads them over replicas that have what the reader has to see. Any thread.

**One server for everything.** Where ``teamtalk_slave`` has the address of ``teamtalk_master``, or turns out to be the same server, there is
one pool, which is used as any other: no thread, no further statement.

**Replicas.** Each address has a ``DBPool``. A read asks the master for its GTID position (``MasterPosition``), and sends it to the replica
in front of its own statements, in the same round trip: the replica answers when it has got so far. If it has not after
``CATCH_UP_TIMEOUT``, the master is asked instead. So what was committed before a request arrived is always seen, through whichever proxy it
was written. Further reads for requests that had arrived when the position was asked for need none of it. The nodes of a Galera cluster know
themselves what was committed (``wsrep_sync_wait``).

**What fails.** A replica that does not answer is left out at once, by the read that notices it, which goes on with another one or with the
master. At most ``MOST_UNANSWERED`` reads wait for the first sign of a replica, so a frozen one holds up no more threads. ``ReplicaWatch``
leaves out the others that cannot be used, and takes all of them back.

**The master is down.** Then the last position that is known is good enough, because nobody can commit anything.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from dbproxy.config import Config, DBInstance
from dbproxy.errors import BackendNotReadyError
from dbproxy.stores.backend_calls import UNTRACKED, BackendCalls, Unpaused
from dbproxy.stores.mysql.connection import DBConn
from dbproxy.stores.mysql.master_position import MasterPosition
from dbproxy.stores.mysql.pool import DBPool
from dbproxy.stores.mysql.replica import MasterRead, ReplicaReport
from dbproxy.stores.mysql.replica_connection import ReplicaConn
from dbproxy.stores.mysql.replica_reads import ReplicaReads
from dbproxy.stores.mysql.replica_set import ReplicaSet
from dbproxy.stores.mysql.replica_watch import ReplicaWatch
from dbproxy.stores.mysql.result import Row
from dbproxy.stores.mysql.server_search import Address
from dbproxy.stores.pool_counters import PoolReport, merged
from dbproxy.stores.pools import BackendPool
from dbproxy.stores.resolver import Resolver

if TYPE_CHECKING:
    from typing_extensions import Self

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

_WATCH_TIMEOUT = 1.0
"""Seconds in which a server has to answer to the watch, or to say its position."""

_LAST_JOIN = 0.3
"""Seconds for which the end waits for the watch: it may be waiting for a server, and ends with the process then."""


class ReadPool(BackendPool):
    """See the top of this file. It has the reading half of ``DBPool``."""

    kind = "mysql"

    def __init__(self, instance: DBInstance, master: DBPool, config: Config, resolver: Resolver, calls: BackendCalls = UNTRACKED) -> None:
        """``master``: the pool of ``teamtalk_master``, also after a reload. ``config`` has both instances."""
        self.name = instance.name
        self._master = master
        own, masters = instance.addresses, config.db_instances[master.name].addresses
        self._is_stock = own == masters and len(own) == 1
        kind = DBConn if self._is_stock else ReplicaConn
        instances = [dataclasses.replace(instance, hosts=(address,), default_port=address[1]) for address in own]
        pools = [DBPool(one, config, resolver, calls, connections=kind) for one in instances]
        short_timeouts = dataclasses.replace(
            config,
            db_connect_timeout=min(config.db_connect_timeout, _WATCH_TIMEOUT),
            db_timeout=min(config.db_timeout, _WATCH_TIMEOUT),
        )

        def single(of: DBInstance, address: Address, tracked: BackendCalls) -> DBPool:
            """A pool of one connection that waits for nothing long."""
            of = dataclasses.replace(of, hosts=(address,), default_port=address[1], maxconncnt=1)
            return DBPool(of, short_timeouts, resolver, tracked)

        self._watched = [single(one, one.addresses[0], UNTRACKED) for one in instances]
        position = MasterPosition(master, lambda address: single(config.db_instances[master.name], address, Unpaused(calls)), calls)
        self._reads = ReplicaReads(ReplicaSet(pools, config.max_replica_lag), position, master, calls)
        self._watch = ReplicaWatch(
            lambda: () if self._direct is not None else tuple(zip(self._set.replicas, self._watched, strict=True)),
            master,
            lambda: self._reads.position,
            lambda replica, findings: self._set.judge(replica, findings),
        )
        self._master_may_move = len(masters) > 1
        self._direct: DBPool | None = pools[0] if self._is_stock else None
        """The only pool, if it leads to the server of the master."""
        self._missing: BackendNotReadyError | None = None
        """What was wrong with the last replica that did not answer at the start."""
        self._failovers = 0
        """Those of the master and of ``_direct``, when that was last known to be so."""

    def __str__(self) -> str:
        return f"MySQL instance {self.name} at {','.join(pool.report().server for pool in self.pools)}"

    @property
    def _set(self) -> ReplicaSet:
        return self._reads.replicas

    # reading

    def read(self, work: Callable[[DBConn], Result]) -> Result:
        """Run ``work``, which only reads, with a connection to a server that has everything that was committed before; again elsewhere if
        that fails.

        Raises:
            As ``DBPool.connection`` does.

        """
        direct = self._direct
        if direct is not None and self._master.failovers + direct.failovers != self._failovers:
            direct = self._another_server(direct)
        return self._reads.read(work) if direct is None else direct.read(work)

    def select(self, statement: str, arguments: Sequence[Any] = ()) -> Sequence[Row]:
        """Execute one query with a connection of its own; see ``read``."""
        return self.read(lambda connection: connection.select(statement, arguments))

    @contextmanager
    def connection(self) -> Iterator[DBConn]:
        """Take a connection for the length of the block, as ``read`` does. What fails is not tried elsewhere."""
        direct = self._direct
        with self._reads.connection() if direct is None else direct.connection() as connection:
            yield connection

    # the servers

    def open(self) -> None:
        """Connect the first connections; the master's pool is open. A replica that is not there is no error: it is left out until it is.

        Raises:
            StartupError: what waiting does not mend, such as a wrong password; in the stock case all that ``DBPool.open`` raises.

        """
        if self._is_stock:
            self._set.replicas[0].pool.open()
            self._failovers = self._master.failovers + self._set.replicas[0].pool.failovers
            return
        for replica in self._set.replicas:
            try:
                replica.pool.open()
            except BackendNotReadyError as error:
                self._missing = error
        self._watch.round()
        replica, *others = self._set.replicas
        if not others and not self._master_may_move and replica.is_master_now(self._master.failovers):
            self._failovers = self._master.failovers + replica.pool.failovers
            self._direct = replica.pool

    def check_reachable(self) -> None:
        """After ``open``: at least one server has answered.

        Raises:
            BackendNotReadyError: none has.

        """
        if not self.connected and self._missing is not None:
            raise self._missing

    def watch(self) -> None:
        """Have the replicas watched from now on, if there are any. It may be called again."""
        if self._direct is None and not self._watch.runs:
            try:
                self._watch.start()
            except RuntimeError as error:  # the system has no more threads; reads go on as the replicas are now, and this is tried again
                logger.error("replicas are not watched: %s", error)

    def _another_server(self, direct: DBPool) -> DBPool | None:
        """The name or address of the master, or of this pool, leads to another server than before. Returns the only pool, if it is that
        still.
        """
        self._failovers = self._master.failovers + direct.failovers
        if self._is_stock:
            direct.renew()
            return direct
        self._direct = None
        self.watch()
        return None

    def configure(self, most_lag: float) -> None:
        """Change MaxReplicaLag, in seconds."""
        self._set.most_lag = most_lag

    def check(self) -> None:
        """See BackendPool. Replicas are asked by the watch."""
        if self._direct is not None:
            self._direct.check()

    def adopt(self, other: Self) -> None:
        """See BackendPool."""
        # Whether the only pool leads to the master was found out with the former master, which may have moved before this pool.
        is_direct = other._is_stock or (other._direct is not None and other._failovers == self._master.failovers + other._direct.failovers)
        self._set.take_pools(other._set)
        self._reads, other._reads = other._reads, self._reads
        self._watched, other._watched = other._watched, self._watched
        self._is_stock, self._master_may_move = other._is_stock, other._master_may_move
        self._direct = self._set.replicas[0].pool if is_direct else None
        if self._direct is not None:
            self._failovers = self._master.failovers + self._direct.failovers
        self.watch()

    def close(self) -> None:
        """See BackendPool. The watch ends."""
        self._watch.stop(_LAST_JOIN)
        self._reads.position.close()
        for pool in (*self.pools, *self._watched):
            pool.close()

    # what operators see

    @property
    def pools(self) -> list[DBPool]:
        """Those of all servers, one for each address."""
        return [replica.pool for replica in self._set.replicas]

    @property
    def connected(self) -> list[DBPool]:
        """Those whose servers have answered when they were last asked."""
        return self.pools if self._is_stock else [replica.pool for replica in self._set.replicas if replica.answers]

    @property
    def certificates(self) -> Mapping[str, bytes]:
        """See BackendPool."""
        return self.pools[0].certificates

    def replicas(self) -> list[ReplicaReport]:
        """The states of the replicas; none where all reads go to the server of the master."""
        return [] if self._direct is not None else self._set.report()

    def master_reads(self) -> dict[MasterRead, int]:
        """How often the master took a read instead of a replica."""
        return self._set.master_reads()

    def report(self) -> PoolReport:
        """See BackendPool: the sums of all servers. It works if any replica does, or the master."""
        reports = [pool.report() for pool in self.pools]
        if self._direct is not None:
            return reports[0]
        return merged(reports, works=any(replica.state != "left_out" for replica in self._set.replicas) or self._master.counters.works)


ReadablePool = DBPool | ReadPool
"""What has ``read`` and ``select``."""
