"""BackendCalls: what the stores report to the scheduler of the threads that use them.

The stores know when a thread waits for a backend and how much a backend sends; the scheduler knows what the thread may cost. Layers below
know nothing of layers above, so the scheduler is handed in. Any thread.
"""

from __future__ import annotations

import time
from typing import Final, Protocol


class Wait(str):
    """What a thread waits for when it is no statement; see ``BackendCalls.end``."""

    __slots__ = ()


CONNECTING: Final = Wait("connect")
FREE_CONNECTION: Final = Wait("wait for a free connection")


class BackendCalls(Protocol):
    """Called by the thread that uses a store, about itself. ``begin`` and ``end`` come in pairs; of nested ones the first ``end``
    counts.
    """

    def begin(self) -> None:
        """The thread starts to wait: for a free connection, a connect, or bytes from a backend."""

    def end(self, call: object = None) -> float:
        """It waits no longer. ``call``: what it waited for, a ``Wait`` or what the store can make a name of. Returns the seconds since
        ``begin``, 0 when that is not known.
        """

    def before_call(self) -> None:
        """The thread is about to take a connection of a pool.

        Raises:
            DeadlineError: the requests it works for have waited for their replies for too long already.

        """

    def large_result(self) -> None:
        """A result turns out to be large (``LARGE_RESULT`` bytes or more): called once for each further part of it that has arrived.

        Raises:
            DeadlineError: as ``before_call``.

        """

    def read_since(self) -> float:
        """Monotonic time: what the thread looks up has to show everything that was committed before. That is the time at which the last of
        its requests arrived, if it only reads for them, or else now.
        """


LARGE_RESULT = 1 << 20
"""Bytes of one result from which on it counts as large."""


class Untracked:
    """BackendCalls of programs that have no scheduler: tools, tests."""

    def begin(self) -> None:
        """Do nothing."""

    def end(self, call: object = None) -> float:
        """Do nothing."""
        return 0.0

    def before_call(self) -> None:
        """Do nothing."""

    def large_result(self) -> None:
        """Do nothing."""

    def read_since(self) -> float:
        """Return the time."""
        return time.monotonic()


class Unpaused:
    """BackendCalls for a call that others may be waiting for: the thread is not paused before it."""

    def __init__(self, calls: BackendCalls) -> None:
        self.begin = calls.begin
        self.end = calls.end
        self.large_result = calls.large_result
        self.read_since = calls.read_since

    def before_call(self) -> None:
        """Do nothing."""


UNTRACKED = Untracked()
