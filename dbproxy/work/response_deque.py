"""The response deque: how replies get from the worker threads to the reactor, and how many bytes of them are unsent."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

Response = tuple[int, bytes]
"""Connection uuid, and the bytes of a PDU or of a part of it."""

NO_LIMIT = 1 << 62

ROOM_FACTOR = 3
"""Large replies wait while more than this multiple of ``max_total_bytes`` is unsent."""

LARGE_REPLY = 1 << 20
"""Bytes of a reply from which on it is large."""

UNCOUNTED = 64 * 1024
"""Bytes of replies posted together that are not counted for each connection: they are with the sockets within a turn of the reactor, and
counting costs as much as posting."""


class ResponseDeque:
    """Entries of (connection uuid, PDU) in the order in which the workers posted them, under one lock.

    It also counts the bytes of replies that are unsent: posted, being sent, or kept by a connection because its socket does not take them.
    A connection with more than ``max_connection_bytes`` of them is *blocked*: no further replies are made for it. While there are more than
    ``max_total_bytes`` in all, so is every connection with any.
    """

    def __init__(self, wake: Callable[[], None], max_connection_bytes: int = NO_LIMIT, max_total_bytes: int = NO_LIMIT) -> None:
        self._wake: Final = wake
        self._max_connection = max_connection_bytes
        self._max_total = max_total_bytes
        self._lock: Final = threading.Lock()
        self._room: Final = threading.Condition(self._lock)
        self._room_wanted = 0
        self._waiting_for_room: set[int] = set()
        self._responses: list[Response] = []
        self._continued: dict[int, int] = {}
        self._sending_continued: dict[int, int] = {}
        self._posted: dict[int, int] = {}
        self._sending: dict[int, int] = {}
        self._kept: dict[int, int] = {}
        self._posted_total = self._sending_total = self._kept_total = 0

    def configure(self, max_connection_bytes: int, max_total_bytes: int) -> None:
        """Change the limits. Reactor thread."""
        self._max_connection, self._max_total = max_connection_bytes, max_total_bytes
        self._tell_room()

    def post(self, responses: Sequence[Response], size: int, continued: tuple[int, int] | None = None) -> None:
        """Append responses of ``size`` bytes in all and wake the reactor once. ``continued``: connection uuid, and how many of them are not
        the beginning of a PDU. Any thread.
        """
        with self._lock:
            self._responses += responses
            if continued is not None:
                uuid, count = continued
                self._continued[uuid] = self._continued.get(uuid, 0) + count
            self._posted_total += size
            if size > UNCOUNTED:
                posted = self._posted
                for uuid, pdu in responses:
                    posted[uuid] = posted.get(uuid, 0) + len(pdu)
        self._wake()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to send. Any thread."""
        return not self._responses

    def drain(self) -> Sequence[Response]:
        """Take everything that is there, oldest first; ``sent`` must follow. Reactor thread."""
        if not self._responses:  # reading it is atomic, and whoever posts after this wakes the reactor again
            return ()
        with self._lock:
            responses, self._responses = self._responses, []
            if self._continued or self._sending_continued:
                self._sending_continued, self._continued = self._continued, {}
            self._sending, self._posted = self._posted, {}
            self._sending_total, self._posted_total = self._posted_total, 0
        return responses

    def continuations(self) -> Mapping[int, int]:
        """Connection uuid → how many entries of what was drained last continue the PDU before them. Reactor thread."""
        return self._sending_continued

    def sent(self) -> None:
        """What was drained has been given to the connections, which have reported what they keep. Reactor thread."""
        self._sending = {}
        self._sending_total = 0
        self._tell_room()

    def keep(self, uuid: int, count: int) -> None:
        """A connection keeps ``count`` bytes now that its socket does not take; 0 also when it is closed. Reactor thread."""
        before = self._kept.get(uuid, 0)
        if count:
            self._kept[uuid] = count
        elif before:
            del self._kept[uuid]
        self._kept_total += count - before
        if count < before:
            self._tell_room()

    # asked by any thread, without the lock: a value that is a moment old makes one reply too many at most

    @property
    def max_total(self) -> int:
        """Above so many unsent bytes no replies are made for connections that have not taken theirs."""
        return self._max_total

    @property
    def kept_total(self) -> int:
        """Unsent bytes that connections keep because their sockets do not take them."""
        return self._kept_total

    @property
    def unsent_total(self) -> int:
        """Unsent bytes of all connections together."""
        return self._posted_total + self._sending_total + self._kept_total

    def unsent(self, uuid: int) -> int:
        """Unsent bytes of one connection."""
        return self._posted.get(uuid, 0) + self._sending.get(uuid, 0) + self._kept.get(uuid, 0)

    def under_pressure(self) -> bool:
        """Whether any connection can be blocked; costs next to nothing."""
        return self._posted_total + self._sending_total + self._kept_total > self._max_connection

    def is_blocked(self, uuid: int) -> bool:
        """Whether no further replies are to be made for a connection now."""
        unsent = self.unsent(uuid)
        return unsent > self._max_connection or (unsent > 0 and self.unsent_total > self._max_total)

    def is_drained(self, uuid: int) -> bool:
        """Whether a connection that was blocked has taken so much that it may have replies again."""
        if uuid in self._waiting_for_room:
            if not self.has_room:
                return False
            self._waiting_for_room.discard(uuid)
        unsent = self.unsent(uuid)
        return unsent <= self._max_connection // 2 and (unsent == 0 or self.unsent_total <= self._max_total)

    @property
    def has_room(self) -> bool:
        """Whether a large reply may be made for a connection that has taken all its replies. The limit is above ``max_total_bytes``, so
        that few slow peers do not keep the others from theirs.
        """
        return self.unsent_total <= ROOM_FACTOR * self._max_total

    def block_until_room(self, uuid: int) -> None:
        """Let a connection count as blocked until there is room. Any thread."""
        self._waiting_for_room.add(uuid)

    def wait_for_room(self, timeout: float) -> bool:
        """Wait until ``has_room``; False when ``timeout`` seconds have passed before that."""
        deadline = time.monotonic() + timeout
        with self._room:
            self._room_wanted += 1
            try:
                while not self.has_room:
                    left = deadline - time.monotonic()
                    if left <= 0:
                        return False
                    self._room.wait(left)
            finally:
                self._room_wanted -= 1
        return True

    def _tell_room(self) -> None:
        if self._room_wanted and self.has_room:
            with self._room:
                self._room.notify_all()
