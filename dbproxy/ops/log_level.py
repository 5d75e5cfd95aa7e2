"""The level of the log, changed for a while and set back by itself."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

logger = logging.getLogger(__name__)


class TemporaryLogLevel:
    """Writes another level than the configured one until its time is over. Any thread may call it.

    ``configured`` returns the level of the configuration as it is at that moment, ``apply`` makes a level the one that is written.
    """

    def __init__(self, configured: Callable[[], str], apply: Callable[[str], None]) -> None:
        self._configured = configured
        self._apply = apply
        self._guard = threading.Lock()
        self._timer: threading.Timer | None = None
        self._changed = False

    def change(self, level: str, seconds: float) -> str:
        """Write ``level`` for so many seconds (0: until ``reset``), and return the configured level."""
        with self._guard:
            self._cancel()
            self._apply(level)
            self._changed = True
            if seconds:
                self._timer = threading.Timer(seconds, self._end, (level,))
                self._timer.name = "log-level"
                self._timer.daemon = True
                self._timer.start()
        return self._configured()

    def reset(self) -> None:
        """Write the configured level again, if another one is written."""
        with self._guard:
            self._cancel()
            if self._changed:
                self._changed = False
                self._apply(self._configured())

    def _end(self, level: str) -> None:
        with self._guard:
            if threading.current_thread() is not self._timer:
                return  # it was changed again in this moment
        self.reset()
        logger.warning("log level: %s is over, the level is %s again", level, self._configured())

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
