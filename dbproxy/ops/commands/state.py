"""Commands that show the state of the proxy; each takes a snapshot, in the thread of the client."""

from __future__ import annotations

from collections.abc import Callable

from dbproxy.errors import ControlRefusedError
from dbproxy.ops.commands.defaults import LISTED_CONNECTIONS, TOP_INTERVAL
from dbproxy.ops.control_protocol import Arguments
from dbproxy.ops.control_session import Items, Session
from dbproxy.ops.snapshot import MOST_CONNECTIONS, SORT_KEYS, ReactorStuckError, Snapshots


class Status:
    """``status``: the whole snapshot, with the pools and the slow requests."""

    name = "status"

    def __init__(self, snapshots: Callable[[], Snapshots]) -> None:
        self._snapshots = snapshots

    def execute(self, arguments: Arguments, session: Session) -> Items:
        """Yield the snapshot."""
        arguments.finish()
        yield self._snapshots().status()


class Part:
    """``pools`` and ``slow``: parts of the snapshot."""

    def __init__(self, name: str, snapshots: Callable[[], Snapshots], *more: str) -> None:
        """``name`` is the command, and the first part; ``more`` are others."""
        self.name = name
        self._snapshots = snapshots
        self._parts = (name, *more)

    def execute(self, arguments: Arguments, session: Session) -> Items:
        """Yield the parts by their names."""
        arguments.finish()
        status = self._snapshots().status()
        yield {part: status[part] for part in self._parts}


class Top:
    """``top``: a snapshot again and again."""

    name = "top"

    def __init__(self, snapshots: Callable[[], Snapshots]) -> None:
        self._snapshots = snapshots

    def execute(self, arguments: Arguments, session: Session) -> Items:
        """Yield ``count`` snapshots (0: without end), ``interval`` seconds apart."""
        interval = arguments.seconds("interval", TOP_INTERVAL, 0.1, 3600)
        count = arguments.whole("count", 0, 0, 10**9)
        arguments.finish()
        yield self._snapshots().status()
        taken = 1
        while (not count or taken < count) and session.pause(interval):
            yield self._snapshots().status()
            taken += 1


class Connections:
    """``connections``: those with the largest values of something."""

    name = "connections"

    def __init__(self, snapshots: Callable[[], Snapshots]) -> None:
        self._snapshots = snapshots

    def execute(self, arguments: Arguments, session: Session) -> Items:
        """Yield ``{"total": n, "connections": [...]}``; see /connections.json."""
        sort = arguments.text("sort", "backlog", SORT_KEYS)
        limit = arguments.whole("limit", LISTED_CONNECTIONS, 1, MOST_CONNECTIONS)
        arguments.finish()
        try:
            yield self._snapshots().connections(next(key for key in SORT_KEYS if key == sort), limit)
        except ReactorStuckError as error:
            raise ControlRefusedError(str(error)) from None
