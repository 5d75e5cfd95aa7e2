"""PendingKills: connections that were lost, and are to be ended on the server. Any thread.

Where the network did not deliver that we closed them, their transactions would hold their locks until the server times out.
"""

from __future__ import annotations

import time
from collections import deque

import pymysql

from dbproxy.stores.mysql.connection import DBConn
from dbproxy.stores.mysql.server_connection_id import ServerConnectionId, end_session

_MAX_PENDING_KILLS = 1000

_KILL_RETRY_DELAY = 0.5
"""Seconds after which it is tried again to end a lost connection on the server."""


class PendingKills:
    """The lost connections of one pool, the last ``_MAX_PENDING_KILLS`` of them."""

    def __init__(self) -> None:
        # each with the monotonic time from which on it may be ended on the server
        self._pending: deque[tuple[ServerConnectionId, float]] = deque(maxlen=_MAX_PENDING_KILLS)

    def add(self, session: ServerConnectionId) -> None:
        """A connection was lost."""
        self._pending.append((session, 0.0))

    @property
    def are_due(self) -> bool:
        """Whether there is one that may be ended now."""
        pending = self._pending
        try:
            return bool(pending) and pending[0][1] <= time.monotonic()
        except IndexError:  # another thread took the last one
            return False

    def end(self, connection: DBConn) -> None:
        """End them on the server, with ``connection``. Those that may be committing are left alone, and tried again later."""
        now = time.monotonic()
        pending = self._pending
        for _ in range(len(pending)):
            try:
                session, due = pending.popleft()
            except IndexError:  # another thread took the last one
                return
            try:
                if due > now or not end_session(connection, session):
                    pending.append((session, max(due, now + _KILL_RETRY_DELAY)))
            except pymysql.err.Error:
                if not connection.open:
                    pending.append((session, now))
                    raise
