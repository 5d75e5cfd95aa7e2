"""What systemd is told about the service: datagrams to the socket that ``NOTIFY_SOCKET`` names, as sd_notify(3) describes them.

Any thread may send; nothing here waits, and no failure reaches the caller: a service manager that is away or slow must not stop the daemon.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import MutableMapping

_VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")

STATUS_LENGTH = 500
"""Characters of a status that are sent; what ``systemctl status`` shows is one line."""


class Notifier:
    """The way to the service manager; without an address (``address`` empty) every method does nothing.

    ``address``: the path of a Unix socket, or ``@`` and an abstract name. ``watchdog``: seconds within which the manager wants
    ``watchdog()`` to be called again, 0.0 for never.
    """

    def __init__(self, address: str = "", watchdog: float = 0.0) -> None:
        self._address = address
        self._watchdog = watchdog if address else 0.0
        self._socket: socket.socket | None = None
        if address[:1] in ("/", "@"):  # what else there is (vsock) is for virtual machines, whose manager is not ours
            # Opened once: the watchdog must be fed when there are no descriptors left, too.
            with contextlib.suppress(OSError):
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
                self._socket.setblocking(False)

    @classmethod
    def from_environment(cls, environ: MutableMapping[str, str] = os.environ) -> Notifier:
        """Return the notifier that ``environ`` asks for, and take its variables away, so that no child of ours speaks for the service.

        A watchdog that is meant for another process (WATCHDOG_PID) is none of ours.
        """
        address, usec, pid = (environ.pop(name, "") for name in _VARIABLES)
        ours = pid in ("", str(os.getpid()))
        microseconds = int(usec) if ours and usec.isascii() and usec.isdecimal() and len(usec) <= 18 else 0
        return cls(address, microseconds / 1e6)

    @property
    def is_on(self) -> bool:
        """Whether anybody listens; otherwise there is no need to find out what to tell."""
        return self._socket is not None

    @property
    def watchdog_interval(self) -> float | None:
        """Seconds between two calls of ``watchdog``, half of what the manager waits; None when it waits for nothing."""
        return self._watchdog / 2 if self.is_on and self._watchdog > 0 else None

    def environment(self) -> dict[str, str]:
        """Return the variables with which another process can speak for the service in our place: its watchdog is any process's."""
        if not self.is_on:
            return {}
        watchdog = {"WATCHDOG_USEC": str(round(self._watchdog * 1e6))} if self._watchdog else {}
        return {"NOTIFY_SOCKET": self._address, **watchdog}

    def ready(self) -> None:
        """The service serves, after a start or a reload, and this process is the one to watch."""
        self._send("READY=1", f"MAINPID={os.getpid()}")

    def reloading(self) -> None:
        """The configuration is being read again; ``ready`` says that this is over, whatever came of it."""
        # Read from CLOCK_MONOTONIC, as the manager does: it tells this reload from one before it.
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """The service begins to end."""
        self._send("STOPPING=1")

    def status(self, text: str) -> None:
        """Show ``text`` in ``systemctl status``: one line, the first ``STATUS_LENGTH`` characters."""
        self._send("STATUS=" + " ".join(text.split())[:STATUS_LENGTH])

    def watchdog(self) -> None:
        """The service is alive."""
        self._send("WATCHDOG=1")

    def main_pid(self, pid: int) -> None:
        """The process to watch from now on is ``pid``."""
        self._send(f"MAINPID={pid}")

    def close(self) -> None:
        """Close the socket; the other methods do nothing then, as must be when another process has taken over. May be called twice."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, *lines: str) -> None:
        sock = self._socket
        if sock is None:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        # What the manager does not take at once is lost: it gets a status and a sign of life again soon.
        with contextlib.suppress(OSError, ValueError):
            sock.sendto("\n".join(lines).encode("utf-8", "replace"), os.fsencode(address))
