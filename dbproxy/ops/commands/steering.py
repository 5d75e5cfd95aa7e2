"""Commands that change what the proxy does."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from dbproxy.ops.control_protocol import Arguments
from dbproxy.ops.control_session import Session
from dbproxy.ops.log_level import TemporaryLogLevel

logger = logging.getLogger(__name__)

LEVELS = ("debug", "info", "warning", "error")

LEVEL_SECONDS = 300.0
"""How long another log level lasts when the request does not say."""

LONGEST_LEVEL = 7 * 86400.0


class Drain:
    """``drain``: stop as after SIGTERM. ``request_stop`` begins it, ``connections`` counts who is told."""

    name = "drain"

    def __init__(self, request_stop: Callable[[], None], connections: Callable[[], int]) -> None:
        self._request_stop = request_stop
        self._connections = connections

    def execute(self, arguments: Arguments, session: Session) -> Iterable[Mapping[str, Any]]:
        """Yield ``{"connections": how many are told}``."""
        arguments.finish()
        count = self._connections()
        logger.info("asked to drain through the control socket")
        self._request_stop()
        yield {"connections": count}


class LogLevel:
    """``log-level``: write more or less into the log, for a while."""

    name = "log-level"

    def __init__(self, level: TemporaryLogLevel) -> None:
        self._level = level

    def execute(self, arguments: Arguments, session: Session) -> Iterable[Mapping[str, Any]]:
        """Yield ``{"level": ..., "seconds": ..., "configured": ...}``; 0 seconds: until the next reload."""
        level = arguments.text("level", choices=LEVELS)
        seconds = arguments.seconds("seconds", LEVEL_SECONDS, 0, LONGEST_LEVEL)
        arguments.finish()
        configured = self._level.change(level, seconds)
        until = f"for {seconds:g} s" if seconds else "until the next reload"
        logger.warning("log level: %s %s, asked for through the control socket", level, until)
        yield {"level": level, "seconds": seconds, "configured": configured}
