"""ReplicaConn: a connection whose first statement asks the server first whether it has what the reader has to see. It belongs to one thread
at a time, as every DBConn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pymysql

from dbproxy.errors import StoreUnavailableError
from dbproxy.stores.mysql.connection import DBConn
from dbproxy.stores.mysql.errors import error_code

ANSWER_TIMEOUT = 1.0
"""Seconds in which a replica has to answer; one that needs longer is as good as down, since others can be asked."""

CATCH_UP_TIMEOUT = 0.1
"""Seconds for which a server is given time to get what it lacks, before the master is asked instead."""

DATA_OUT_OF_RANGE = 1690
"""Error of a server: a number is too large."""

_MOST = 18446744073709551615
"""The largest BIGINT UNSIGNED. One more is an error, and an error ends a script: what stands behind it is not executed."""

NO_CONDITION = ("do 0",)
"""For a server that is the master: only whether it answers is asked."""

SYNCHRONOUS_NODE = ("set session wsrep_sync_wait=1", "select 1")
"""For a node of a Galera cluster: the query waits until the node has applied what the cluster has committed before."""


def gtid_wait(position: str, seconds: float, *, is_mariadb: bool) -> str:
    """Return the expression that waits until a server has reached ``position``, a literal, and is 0 then; in vain: -1 or 1."""
    return f"{'master_gtid_wait' if is_mariadb else 'wait_for_executed_gtid_set'}({position},{seconds})"


def reach_condition(position: str, *, is_mariadb: bool) -> tuple[str]:
    """Return the condition that a server reaches ``position``, a literal, within ``CATCH_UP_TIMEOUT``."""
    return (f"select {_MOST}+abs({gtid_wait(position, CATCH_UP_TIMEOUT, is_mariadb=is_mariadb)})",)


class NotFreshError(StoreUnavailableError):
    """A replica did not get in time what the reader has to see; nothing was read."""


class ReplicaConn(DBConn):
    """A connection of a ``Replica``."""

    _condition: Sequence[str] = ()
    _on_answer: Callable[[], None]

    def require(self, condition: Sequence[str], on_answer: Callable[[], None]) -> None:
        """Send these statements together with the next one, and wait no longer than ``ANSWER_TIMEOUT`` for each of their results.
        ``on_answer`` is called when they are there.

        The statement raises NotFreshError if the server says that it is not as far.
        """
        self._condition, self._on_answer = condition, on_answer

    def mark_idle(self) -> None:
        """See DBConn."""
        self._condition = ()
        super().mark_idle()

    def _send(self, statement: str) -> None:
        condition, self._condition = self._condition, ()
        if not condition:
            super()._send(statement)
            return
        server = self.connected_to.role.identity
        super()._send(";".join((*condition, statement)))
        self._call = statement
        self.limit_answers(ANSWER_TIMEOUT)
        try:
            for _ in condition:
                self._read_result()
        except pymysql.err.Error as error:
            if error_code(error) != DATA_OUT_OF_RANGE:
                raise
            raise NotFreshError("it has not got what was committed before") from None
        finally:
            self.limit_answers(None)
        if self.connected_to.role.identity != server:  # connected again, and not to the server that the condition was made for
            raise NotFreshError("another server answers at this address")
        self._on_answer()
