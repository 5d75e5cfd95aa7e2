"""What a program that is tested can do beyond the protocol. It is asked, never assumed: the original has no flags, no settable interval of
its group session sync, and may need up to 2 s to start.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from dbproxy.models.names import LAST_UPDATE_GROUP_KEY
from dbproxy.testing.proxy import ProxyProcess
from dbproxy.testing.stack import Stack
from dbproxy.testing.waiting import eventually, poll

ASKED_INTERVAL = 1.0
"""SyncInterval with which a program is started to see whether it takes notice of it, in seconds."""

LONGEST_INTERVAL = 12.0
"""Seconds after which the group session sync of a program counts as not running; the original's runs every 5."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What was found out about one program."""

    start_seconds: float
    """From the start of the process until it accepted connections."""
    writes_pid_file: bool
    """Whether ``server.pid`` in its working directory held its process id."""
    sync_interval: float | None
    """Seconds between two runs of its group session sync when ``SyncInterval`` asks for one second; None: it did not run in time."""

    @property
    def honours_sync_interval(self) -> bool:
        """Whether the key SyncInterval has an effect."""
        return self.sync_interval is not None and self.sync_interval < 3 * ASKED_INTERVAL


def ask_capabilities(stack: Stack, proxy: ProxyProcess) -> Capabilities:
    """Find out what a program can do. ``proxy``, whose configuration must say ``SyncInterval={ASKED_INTERVAL}``, is started here if it does
    not run; the stores must be empty. Takes up to half a minute with a program whose sync does not run.

    Raises:
        StartupError: it does not start.

    """
    began = time.monotonic()
    proxy.start()
    start_seconds = time.monotonic() - began
    pid_file = proxy.directory / "server.pid"
    expected = str(proxy.pid)
    written = poll(lambda: pid_file.read_text().strip() if pid_file.exists() else "", lambda text: text == expected, 1) == expected
    return Capabilities(start_seconds, written, _sync_interval(stack))


def _sync_interval(stack: Stack) -> float | None:
    """The time between the ends of two runs: a run ends by writing a key, which is deleted each time."""
    ended = 0.0
    interval = None
    with stack.redis("unread") as client:
        for _ in range(2):
            client.delete(LAST_UPDATE_GROUP_KEY)
            if eventually(lambda: client.exists(LAST_UPDATE_GROUP_KEY), 1, LONGEST_INTERVAL) != 1:
                return None
            interval, ended = time.monotonic() - ended, time.monotonic()
    return interval
