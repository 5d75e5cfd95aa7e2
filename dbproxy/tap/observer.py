"""Observer: the forwarder's end of the stream of records to the process that shows them. It never waits; what that process does not take
in time is kept up to a limit, and above it the forwarder leaves PDUs out.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections import deque

from dbproxy.tap.records import Event, pack

MAX_QUEUED = 64 * 1024 * 1024
"""Bytes of records that wait. Above half of it PDUs are left out; records of other kinds are small and still go into the other half."""


class Observer:
    """Queues records for a socket. It belongs to the forwarder's thread."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._selector: selectors.BaseSelector | None = None
        self._queue: deque[bytes] = deque()
        self._queued = 0
        self._waiting = False
        self._gone = False

    @property
    def is_behind(self) -> bool:
        """Whether PDUs should be left out for now."""
        return self._gone or self._queued > MAX_QUEUED // 2

    @property
    def is_gone(self) -> bool:
        """Whether the other process does not read any more."""
        return self._gone

    def register(self, selector: selectors.BaseSelector) -> None:
        """Use this selector to wait until the socket takes more; and to notice at once that nobody reads any more."""
        self._selector = selector
        selector.register(self._socket, selectors.EVENT_READ, self._on_event)

    def tell(self, connection: int, event: Event, data: bytes = b"", when: float | None = None) -> None:
        """Queue a record for ``send``. ``when``: unix time, None: now."""
        if self._gone or self._queued > MAX_QUEUED:
            return
        record = pack(time.time() if when is None else when, connection, event, data)
        self._queue.append(record)
        self._queued += len(record)

    def send(self) -> None:
        """Send what can be sent: at the end of a turn, when everything has been forwarded."""
        if self._queue and not self._waiting:
            self._send()

    def finish(self, timeout: float) -> None:
        """Send what waits, for at most ``timeout`` seconds, and close the socket."""
        deadline = time.monotonic() + timeout
        try:
            while self._queue and not self._gone:
                self._socket.settimeout(max(0.001, deadline - time.monotonic()))
                self._socket.sendall(self._queue.popleft())
        except OSError:
            self._gone = True
        self._socket.close()

    def _on_event(self, events: int) -> None:
        if events & selectors.EVENT_READ:
            self._lose()  # it never sends anything: this is its end
        elif events & selectors.EVENT_WRITE:
            self._send()

    def _send(self) -> None:
        try:
            while self._queue:
                sent = self._socket.send(self._queue[0])
                self._queued -= sent
                if sent < len(self._queue[0]):
                    self._queue[0] = self._queue[0][sent:]
                else:
                    self._queue.popleft()
        except BlockingIOError:
            pass
        except OSError:
            self._lose()
            return
        self._wait(bool(self._queue))

    def _wait(self, waiting: bool) -> None:
        if waiting != self._waiting and self._selector is not None:
            self._waiting = waiting
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if waiting else 0)
            self._selector.modify(self._socket, events, self._on_event)

    def _lose(self) -> None:
        if self._gone:
            return
        self._gone = True
        self._queue.clear()
        self._queued = 0
        if self._selector is not None:
            self._selector.unregister(self._socket)
