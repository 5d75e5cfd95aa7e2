"""Commands that change what the proxy does."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from dbproxy.errors import ControlRefusedError
from dbproxy.ops.control_protocol import Arguments
from dbproxy.ops.control_session import Items, Session
from dbproxy.ops.log_level import TemporaryLogLevel

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

LEVELS = ("debug", "info", "warning", "error")

LEVEL_SECONDS = 300.0
"""How long another log level lasts when the request does not say."""

LONGEST_LEVEL = 7 * 86400.0

RELOAD_TIMEOUT = 600.0
"""Seconds to wait for a reload: it may connect to every backend, with the time limits of each."""

UPGRADE_TIMEOUT = 3700.0
"""Seconds to wait for an upgrade: the new process may wait for its backends for StartTimeout, at most an hour."""

SUCCESSOR_TIMEOUT, SUCCESSOR_POLL = 2.0, 0.02
"""Seconds to wait for the control socket of the new process, and between two looks."""


class Drain:
    """``drain``: stop as after SIGTERM. ``request_stop`` begins it, ``connections`` counts who is told."""

    name = "drain"

    def __init__(self, request_stop: Callable[[], None], connections: Callable[[], int]) -> None:
        self._request_stop = request_stop
        self._connections = connections

    def execute(self, arguments: Arguments, session: Session) -> Items:
        """Yield ``{"connections": how many are told}``."""
        arguments.finish()
        count = self._connections()
        logger.info("asked to drain through the control socket")
        self._request_stop()
        yield {"connections": count}


class Report(Protocol):
    """What a reload has done; see ReloadReport."""

    @property
    def applied(self) -> Sequence[str]:
        """Keys that have been applied."""

    @property
    def restart(self) -> Sequence[str]:
        """Keys that differ and need a restart."""

    @property
    def problems(self) -> Sequence[str]:
        """Why nothing has been applied."""


def _result(begin: Callable[[Callable[[Result], None]], None], session: Session, timeout: float) -> Result:
    """Begin something that tells its result to a callback, and wait for it, for at most ``timeout`` seconds."""
    results: list[Result] = []
    told = threading.Event()

    def done(result: Result) -> None:
        results.append(result)
        told.set()

    begin(done)
    if not session.wait_for(told, timeout):
        raise ControlRefusedError(f"no result within {timeout:g} s; the log will have it")
    return results[0]


class Reload:
    """``reload``: read the configuration again, as SIGHUP does, and wait for what becomes of it."""

    name = "reload"

    def __init__(self, reload: Callable[[Callable[[Report], None]], None]) -> None:
        self._reload = reload

    def execute(self, arguments: Arguments, session: Session) -> Items:
        """Yield ``{"applied": [...], "restart": [...], "problems": [...]}``; with problems the command has failed."""
        arguments.finish()
        report = _result(self._reload, session, RELOAD_TIMEOUT)
        yield {"applied": list(report.applied), "restart": list(report.restart), "problems": list(report.problems)}
        if report.problems:
            raise ControlRefusedError("configuration not reloaded, everything stays as it was")


class Upgrade:
    """``upgrade``: have a new process take over, as SIGUSR2 does, and wait for the result.

    ``upgrade`` begins it and tells the result: None, or why this process goes on. ``listens``: whether a process listens at the control
    socket, which the new one opens in the moment after it has taken over.
    """

    name = "upgrade"

    def __init__(self, upgrade: Callable[[Callable[[str | None], None]], None], listens: Callable[[], bool]) -> None:
        self._upgrade = upgrade
        self._listens = listens

    def execute(self, arguments: Arguments, session: Session) -> Items:
        """Yield ``{"upgraded": true}`` when another process serves."""
        arguments.finish()
        problem = _result(self._upgrade, session, UPGRADE_TIMEOUT)
        if problem is not None:
            raise ControlRefusedError(f"not upgraded, the running process goes on: {problem}")
        deadline = time.monotonic() + SUCCESSOR_TIMEOUT
        while not self._listens() and time.monotonic() < deadline:
            time.sleep(SUCCESSOR_POLL)
        yield {"upgraded": True}


class LogLevel:
    """``log-level``: write more or less into the log, for a while."""

    name = "log-level"

    def __init__(self, level: TemporaryLogLevel) -> None:
        self._level = level

    def execute(self, arguments: Arguments, session: Session) -> Items:
        """Yield ``{"level": ..., "seconds": ..., "configured": ...}``; 0 seconds: until the next reload."""
        level = arguments.text("level", choices=LEVELS)
        seconds = arguments.seconds("seconds", LEVEL_SECONDS, 0, LONGEST_LEVEL)
        arguments.finish()
        configured = self._level.change(level, seconds)
        until = f"for {seconds:g} s" if seconds else "until the next reload"
        logger.warning("log level: %s %s, asked for through the control socket", level, until)
        yield {"level": level, "seconds": seconds, "configured": configured}
