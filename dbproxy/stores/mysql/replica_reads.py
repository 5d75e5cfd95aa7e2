"""ReplicaReads: reads at replicas that have what the reader has to see, or else at the master. Any thread. See ``read_pool.py``."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from dbproxy.errors import DeadlineError, StatementError, StoreError, StoreUnavailableError
from dbproxy.stores.backend_calls import BackendCalls
from dbproxy.stores.mysql.connection import DBConn
from dbproxy.stores.mysql.failures import is_lost
from dbproxy.stores.mysql.master_position import MasterPosition, Position
from dbproxy.stores.mysql.pool import DBPool
from dbproxy.stores.mysql.replica import NODE, MasterRead, Replica
from dbproxy.stores.mysql.replica_connection import NO_CONDITION, SYNCHRONOUS_NODE, NotFreshError, ReplicaConn, reach_condition
from dbproxy.stores.mysql.replica_set import ReplicaRead, ReplicaSet

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

_NO_SECOND_TRY = 3.0
"""Seconds after which a read that has failed is not tried elsewhere: that would only keep the request and the worker."""


class ReplicaReads:
    """Reads of one set of replicas. ``replicas`` and ``position`` may be used by others, too."""

    def __init__(self, replicas: ReplicaSet, position: MasterPosition, master: DBPool, calls: BackendCalls) -> None:
        self.replicas = replicas
        self.position = position
        self._master = master
        self._calls = calls

    def read(self, work: Callable[[DBConn], Result], known: Position | None = None) -> Result:
        """Run ``work`` at a replica; elsewhere if that fails. ``known``: the last position of a master that is down; None: it is asked.

        Raises:
            As ``DBPool.connection`` does.

        """
        began = time.monotonic()
        moment = self._calls.read_since()
        position = known
        tried: list[Replica] = []
        lost: list[Replica] = []
        why: MasterRead | None = None
        while True:
            try:
                begun = self._begin(tried, moment, position)
            except DeadlineError:
                raise
            except StoreError as error:
                logger.debug("the master takes a read: %s", error)
                return self._read_from_master(work, "no_position", began, known)
            if begun is None:
                break
            replica, reading, position = begun
            try:
                with reading, replica.pool.connection() as connection:
                    self._require(connection, replica, position, moment, reading)
                    return work(connection)
            except DeadlineError:
                raise
            except NotFreshError:
                self.replicas.fell_behind(replica)
                why = "not_reached"
                break
            except StatementError as error:  # a table that it lacks, for example: the master decides whether that is so
                logger.debug("%s refuses a read: %s", replica.pool, error)
                why = "failed"
                break
            except StoreUnavailableError as error:
                if reading.is_answered and time.monotonic() - began > _NO_SECOND_TRY:
                    raise
                why = "failed"
                if is_lost(error) and replica not in lost:
                    lost.append(replica)  # perhaps only this connection was
                    continue
                if error.__cause__ is not None and not reading.is_answered:
                    self.replicas.leave_out(replica, f"it does not answer: {error}")
                tried.append(replica)
        return self._read_from_master(work, why, began, known)

    @contextmanager
    def connection(self) -> Iterator[DBConn]:
        """Take a connection for the length of the block, as ``read`` does. What fails is not tried elsewhere."""
        moment = self._calls.read_since()
        begun = self._begin((), moment, None)
        if begun is None:
            with self._master.connection() as connection:
                yield connection
            return
        replica, reading, position = begun
        with reading, replica.pool.connection() as connection:
            self._require(connection, replica, position, moment, reading)
            yield connection

    def _read_from_master(self, work: Callable[[DBConn], Result], why: MasterRead | None, began: float, known: Position | None) -> Result:
        last = self.position.last
        if known is None and why == "no_position" and last is not None and not self._master.counters.works:
            return self.read(work, last)
        self.replicas.count_master_read(why)
        try:
            return self._master.read(work)
        except DeadlineError:
            raise
        except StoreUnavailableError:
            if known is not None or last is None or self._master.counters.works or time.monotonic() - began > _NO_SECOND_TRY:
                raise
            return self.read(work, last)

    def _begin(
        self, tried: Sequence[Replica], moment: float, position: Position | None
    ) -> tuple[Replica, ReplicaRead, Position | None] | None:
        """Choose a replica, and find out what it has to have reached so that it shows what was committed before ``moment``; that is None
        only for one that need not be asked. None: no replica can be used.

        Raises:
            StoreUnavailableError: the position is not known.

        """
        if position is None and self.replicas.needs_position(moment, self._master.failovers):
            position = self._ask_position(moment)
        begun = self.replicas.begin(tried, moment)
        if begun is not None and position is None and not begun[0].needs_no_position(moment, self._master.failovers):
            begun[1].cancel()  # the one for which it was not asked is busy, or has failed
            position = self._ask_position(moment)
            begun = self.replicas.begin(tried, moment)
        return None if begun is None else (*begun, position)

    def _ask_position(self, moment: float) -> Position:
        position = self.position.since(moment)
        if position.refusal:
            raise StoreUnavailableError(position.refusal)
        return position

    def _require(self, connection: DBConn, replica: Replica, position: Position | None, moment: float, reading: ReplicaRead) -> None:
        """Have a connection make sure that its server has what was committed before ``moment``. A server that does not say which one it is
        is always asked.
        """
        assert isinstance(connection, ReplicaConn)
        server = connection.connected_to.role.identity
        condition: Sequence[str] = NO_CONDITION
        confirms: Position | None = None
        if replica.fresh_by == NODE:
            condition = SYNCHRONOUS_NODE
        elif server and replica.has_confirmed(moment, server):
            pass
        elif position is None:
            if not server or server != replica.identity or not replica.is_master_now(self._master.failovers):
                raise NotFreshError("another server answers at this address")
        elif position.text and not (server and server == position.server):
            condition = reach_condition(connection.quoted(position.text), is_mariadb=connection.is_mariadb)
            confirms = position
        connection.require(condition, lambda: reading.answered(confirms, server))
