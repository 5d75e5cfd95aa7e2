"""QueueReport: logs how long requests wait for a worker."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

logger = logging.getLogger(__name__)

LONG_WAIT = 1.0
"""Seconds: requests that wait for longer than this are worth a line; a proxy that keeps up with its peers answers within milliseconds."""

REPORT_EVERY = 5.0
"""Seconds between two lines while requests wait for so long."""


class QueueReport:
    """Watches how long requests wait. Reactor thread only.

    ``waiting`` says how many requests wait and for how many seconds the oldest has waited. While reading is paused, everything that
    waits grows old, so a pause of more than a second is always reported here, too.
    """

    def __init__(self, waiting: Callable[[], tuple[int, float]], clock: Callable[[], float] = time.monotonic) -> None:
        self._waiting = waiting
        self._clock = clock
        self._next_line = clock()
        self._reported = False

    def check(self) -> None:
        """Timer, to be called about once a second: write a line if there is something to say."""
        count, oldest = self._waiting()
        if oldest >= LONG_WAIT:
            now = self._clock()
            if now >= self._next_line:
                self._next_line = now + REPORT_EVERY
                self._reported = True
                logger.warning("%d requests wait for a worker, the oldest for %.1f s", count, oldest)
        elif self._reported:
            self._reported = False
            logger.warning("no request waits for longer than %g s any more", LONG_WAIT)
