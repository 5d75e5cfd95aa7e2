"""Backlog: what the socket of a connection does not take yet, and how fast its peer takes it. Reactor thread only."""

from __future__ import annotations

import fcntl
import socket
import struct
import termios
import time
from collections import deque
from collections.abc import Sequence
from itertools import islice

FLUSH_SIZE = 4 * 1024 * 1024
"""Bytes given to a socket at most in one turn: the fair share of one connection."""

MAX_PARTS = 64
"""PDUs and parts of them that go to the socket with one system call."""

RATE_TICKS = 10
"""Ticks (seconds) over which the rate at which a peer takes its backlog is averaged."""


class Backlog:
    """Bytes that wait for one socket, in order. Whether there are any is its truth value."""

    __slots__ = ("_blocked_since", "_parts", "_rate", "_taken", "_ticks", "_unacknowledged", "size")

    def __init__(self) -> None:
        self._parts: deque[bytes | memoryview] = deque()
        self.size = 0
        """Bytes in it."""
        self._blocked_since = 0.0
        self._unacknowledged = 0
        self._taken = self._ticks = 0
        self._rate = 0.0

    def __bool__(self) -> bool:
        return bool(self._parts)

    @property
    def parts(self) -> Sequence[bytes | memoryview]:
        """What is in it."""
        return tuple(self._parts)

    def add(self, parts: Sequence[bytes | memoryview], size: int, now: float) -> None:
        """Append parts of ``size`` bytes in all."""
        if not self._parts:
            self._blocked_since = now
            self._unacknowledged = 0
        self._parts.extend(parts)
        self.size += size

    def send(self, sock: socket.socket) -> int:
        """Give the socket what it takes, and return how many bytes that were.

        Raises:
            OSError: the connection is lost.

        """
        taken = 0
        while self._parts and taken < FLUSH_SIZE:
            parts = list(islice(self._parts, MAX_PARTS))
            try:
                sent = sock.sendmsg(parts)
            except (BlockingIOError, InterruptedError):
                break
            self._blocked_since = time.monotonic()
            taken += sent
            for part in parts:
                if sent < len(part):
                    self._parts[0] = memoryview(part)[sent:]
                    break
                sent -= len(part)
                self._parts.popleft()
            else:
                continue
            break
        self.size -= taken
        self._taken += taken
        return taken

    def clear(self) -> None:
        """Let go of everything."""
        self._parts.clear()
        self.size = 0

    # how fast the peer takes it

    def tick(self, sock: socket.socket, now: float) -> None:
        """Once a second. A slow peer is not a silent one: the kernel takes more only when much of its own buffer is free, which may be long
        after the peer has begun to read. So what the peer has acknowledged counts.
        """
        if self._parts:
            (unacknowledged,) = struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, b"\0\0\0\0"))
            if unacknowledged < self._unacknowledged:
                self._blocked_since = now
            self._unacknowledged = unacknowledged
            self._ticks += 1
            self._rate += (self._taken - self._rate) / RATE_TICKS
        else:
            self._ticks = 0
            self._rate = float(self._taken)
        self._taken = 0

    def skip_time(self, seconds: float) -> None:
        """Do not count ``seconds`` as time in which the peer took nothing."""
        self._blocked_since += seconds

    def seconds_blocked(self, now: float) -> float:
        """Seconds for which the peer has taken nothing; 0 when there is nothing to take."""
        return now - self._blocked_since if self._parts else 0.0

    def is_slower_than(self, rate: float) -> bool:
        """Whether the peer has taken less than ``rate`` bytes a second of what has been there for some seconds."""
        return self._ticks >= RATE_TICKS and self._rate < rate
