"""MasterPosition: up to where the master has committed, so that a replica can be asked to be as far. Any thread."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from dbproxy.errors import DeadlineError, StoreError, StoreUnavailableError
from dbproxy.stores.backend_calls import FREE_CONNECTION, BackendCalls
from dbproxy.stores.mysql.gtid import without_blanks
from dbproxy.stores.mysql.pool import DBPool
from dbproxy.stores.mysql.server_choice import ServerChoice
from dbproxy.stores.mysql.server_search import Address

logger = logging.getLogger(__name__)

_FAILURE_HOLDS = 0.5
"""Seconds for which nobody asks a master again that has just not answered."""

_TELL_AFTER = 2.0
"""Seconds for which the position is not known before the log is told: a failover is no reason."""

_MARIADB = "select @@global.gtid_current_pos,@@global.log_bin,@@global.read_only"
_MYSQL = "select @@global.gtid_executed,@@global.gtid_mode,@@global.read_only"
_ON = (b"1", b"ON", b"ON_PERMISSIVE")
"""Values of a variable that is on. Of log_bin and gtid_mode: every commit gets a GTID."""


@dataclass(frozen=True, slots=True)
class Position:
    """What a master had committed when it was asked."""

    text: str
    """GTIDs; empty: none yet, or ``refusal`` says why they are not known."""
    server: str
    """Its identity; see ``ServerRole``."""
    asked_at: float
    """Monotonic time: everything that was committed before is in it."""
    refusal: str = ""
    """Why no replica can be asked for this position; empty: it can."""


class MasterPosition:
    """Asks the server that the master's pool leads to. One thread asks at a time, the others take what it is told if that is late enough
    for them, so the master has one such statement at a time whatever the number of threads. The connection is no one of the master's pool:
    that may be exhausted by writes that wait.
    """

    def __init__(self, master: DBPool, connect: Callable[[Address], DBPool], calls: BackendCalls) -> None:
        """``connect`` makes a pool of one connection with short time limits."""
        self._master = master
        self._connect = connect
        self._calls = calls
        self._changed = threading.Condition()
        self._asking = False
        self._failed_at = -math.inf
        self._failure = ""
        self._pool: DBPool | None = None
        self._made_for: tuple[ServerChoice, Address, int] | None = None
        self._unknown_since: float | None = None
        self._told = False
        """Whether the log has been told that it is not known."""
        self.last: Position | None = None
        """The last one that is known."""

    def since(self, moment: float) -> Position:
        """Return a position that has everything that was committed before ``moment`` (monotonic time).

        Raises:
            StoreUnavailableError: the master does not answer, or has just not answered.

        """
        last = self._late_enough(moment)
        if last is not None:
            return last
        position, failure = None, ""
        try:
            position = self._ask()
        except DeadlineError:
            raise
        except StoreError as error:
            failure = str(error)
            raise
        finally:
            with self._changed:
                self._asking = False
                self.last = position or self.last
                if failure:
                    self._failed_at, self._failure = time.monotonic(), failure
                self._changed.notify_all()
            self._tell(failure)
        return position

    def _tell(self, failure: str) -> None:
        """Tell the log when it has not been known for a while although the master works, and when it is known again; the thread that has
        asked.
        """
        now = time.monotonic()
        if not failure:
            self._unknown_since = None
            if self._told:
                self._told = False
                logger.info("the position of the master is known again")
            return
        self._unknown_since = self._unknown_since or now
        if not self._told and self._master.counters.works and now - self._unknown_since >= _TELL_AFTER:
            self._told = True
            logger.warning("the position of the master is not known although it works, so it takes the reads: %s", failure)

    def close(self) -> None:
        """Close the connection, if nobody uses it; it is made again when it is needed."""
        pool = self._pool
        if pool is not None:
            pool.close()

    def _late_enough(self, moment: float) -> Position | None:
        """The last position if it is late enough; None: the calling thread has to ask. Waits while another thread asks."""
        waits = False
        try:
            with self._changed:
                while True:
                    if self.last is not None and self.last.asked_at >= moment:
                        return self.last
                    if time.monotonic() < self._failed_at + _FAILURE_HOLDS:
                        raise StoreUnavailableError(f"the position of the master is not known: {self._failure}")
                    if not self._asking:
                        self._asking = True
                        return None
                    if not waits:
                        waits = True
                        self._calls.begin()
                    self._changed.wait()  # who asks ends within the time limits of its connection
        finally:
            if waits:
                self._calls.end(FREE_CONNECTION)

    def _ask(self) -> Position:
        """Ask the master; the thread that has set ``_asking``."""
        choice = self._master.choice  # another one after a reload that gives the master other certificates
        for_whom = choice, choice.address, choice.failovers
        if self._pool is None or for_whom != self._made_for:
            former, self._pool, self._made_for = self._pool, self._connect(choice.address), for_whom
            if former is not None:
                former.close()
        generation, asked_at = choice.generation, time.monotonic()
        with self._pool.connection() as connection:
            text, counted, read_only = connection.select(_MARIADB if connection.is_mariadb else _MYSQL)[0]
            is_mariadb, server = connection.is_mariadb, connection.connected_to.role.identity
        if server != self._master.identity:
            self._pool.close()
            return Position("", server, asked_at, "new connections to the master lead to another server than those that are in use")
        if read_only in _ON and choice.turned_read_only(generation):
            # a proxy that only reads would go on with a former primary, and what that one has may get old
            raise StoreUnavailableError("the master has become read-only, so another one may take its place")
        if counted in _ON:
            return Position(without_blanks((text or b"").decode()), server, asked_at)
        remedy = "log_bin" if is_mariadb else "gtid_mode=ON"
        return Position("", server, asked_at, f"the master gives no GTIDs to what it commits; {remedy} changes that")
