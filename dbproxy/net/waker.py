"""Waker: how another thread, or a signal handler, ends the reactor's wait."""

from __future__ import annotations

import contextlib
import socket


class Waker:
    """A byte in a socketpair, and a flag that makes a thousand wake-ups send one byte.

    What there is to do stands elsewhere (the response deque); the byte only says that there is something. There is no lock, so that a
    signal handler may wake. Two threads that see the flag set at once send two bytes, which is harmless; and nothing is missed, because
    whoever finds it not set has posted before the reactor sets it again, and the reactor looks for work after that.
    """

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._armed = True

    def fileno(self) -> int:
        """The file descriptor that is readable after ``wake``."""
        return self._reader.fileno()

    def wake(self) -> None:
        """Wake the reactor if it has not been woken already. Any thread, signal handlers, also after ``close``."""
        if self._armed:
            self._armed = False
            with contextlib.suppress(OSError):  # full: it is readable already; closed: there is nobody to wake
                self._writer.send(b"\0")

    def clear(self) -> None:
        """Take the bytes, then set the flag again; what is there to do must be looked for afterwards. Reactor thread."""
        with contextlib.suppress(BlockingIOError):
            self._reader.recv(64)
        self._armed = True

    def close(self) -> None:
        """Close both ends. Reactor thread."""
        self._reader.close()
        self._writer.close()
