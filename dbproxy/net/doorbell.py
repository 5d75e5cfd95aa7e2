"""The doorbell: how a worker thread ends the reactor's wait."""

from __future__ import annotations

import contextlib
import socket


class Doorbell:
    """A byte in a socketpair, and a flag that makes a thousand rings send one byte.

    What there is to do stands elsewhere (the response deque); the bell only says that there is something. There is no lock, so that a
    signal handler may ring. Two threads that see the bell armed at once send two bytes, which is harmless; and nothing is missed,
    because whoever finds it not armed has posted before the reactor arms it again, and the reactor looks after that.
    """

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._armed = True

    def fileno(self) -> int:
        """The file descriptor that is readable while the bell rings."""
        return self._reader.fileno()

    def ring(self) -> None:
        """Wake the reactor if it has not been woken already. Any thread, signal handlers, also after ``close``."""
        if self._armed:
            self._armed = False
            with contextlib.suppress(OSError):  # full: it rings already; closed: there is nobody to wake
                self._writer.send(b"\0")

    def silence(self) -> None:
        """Take the bytes, then arm the bell again; what is there to do must be looked at afterwards. Reactor thread."""
        with contextlib.suppress(BlockingIOError):
            self._reader.recv(64)
        self._armed = True

    def close(self) -> None:
        """Close both ends. Reactor thread."""
        self._reader.close()
        self._writer.close()
