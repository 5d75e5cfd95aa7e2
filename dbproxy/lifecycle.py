"""The start and the end of a proxy: waiting for backends that are not up yet, and draining without losing anything."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from dbproxy.errors import BackendNotReadyError, StopRequestedError
from dbproxy.net.proxy_server import ProxyServer
from dbproxy.net.reactor import Reactor
from dbproxy.notify import Notifier

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

RETRY_PAUSE = 0.5
"""Seconds between two attempts to connect to the backends."""

REPORT_EVERY = 5.0
"""Seconds between two lines of the log that say what the start waits for."""

STOP_POLL = 0.05
"""Seconds between two checks whether a stop was asked for, while starting."""

QUIET = 0.5
"""Seconds without a request after which the peers are taken to have turned elsewhere."""

LAST_ANSWERS = 0.5
"""Seconds at the end of StopGrace (a quarter of it at most) in which no more requests are taken, only answers sent."""

STATUS_INTERVAL = 5.0
"""Seconds between two lines for the service manager that say how much there is to do."""

DRAIN_POLL = 0.02
"""Seconds between two checks whether everything is answered."""


def connect_when_ready(connect: Callable[[], Result], timeout: float, stop_requested: Callable[[], bool]) -> Result:
    """Return what ``connect`` returns; while it says that a backend is not ready, try again, for at most ``timeout`` seconds.

    ``connect`` runs in a thread of its own, because nothing ends a connect or a lookup of a name that hangs. The thread that starts the
    proxy.

    Raises:
        BackendNotReadyError: the last one, when the time is over.
        StopRequestedError: a stop was asked for; what ``connect`` is at goes on in its thread until it ends by itself.
        StartupError: what ``connect`` says that waiting does not mend.

    """
    began = time.monotonic()
    reported, next_line = "", began
    while True:
        attempt = _Attempt(connect)
        attempt.start()
        while attempt.is_alive():
            attempt.join(STOP_POLL)
            _check_stop(stop_requested)
        try:
            return attempt.outcome()
        except BackendNotReadyError as error:
            now = time.monotonic()
            if now - began >= timeout:
                raise
            if str(error) != reported or now >= next_line:
                logger.warning("not ready, waiting for it (%.0f of at most %g s, StartTimeout): %s", now - began, timeout, error)
                reported, next_line = str(error), now + REPORT_EVERY
        while time.monotonic() < now + RETRY_PAUSE:
            time.sleep(STOP_POLL)
            _check_stop(stop_requested)


def _check_stop(stop_requested: Callable[[], bool]) -> None:
    if stop_requested():
        raise StopRequestedError("a stop was asked for")


class _Attempt(threading.Thread, Generic[Result]):
    """One call in a thread of its own."""

    def __init__(self, work: Callable[[], Result]) -> None:
        super().__init__(name="start", daemon=True)
        self._work = work
        self._results: list[Result] = []
        self._error: Exception | None = None

    def run(self) -> None:
        try:
            self._results.append(self._work())
        except Exception as error:  # noqa: BLE001 - it belongs to whoever asks for the outcome
            self._error = error

    def outcome(self) -> Result:
        """What the call returned; raises what it raised. After the end of the thread."""
        if self._error is not None:
            raise self._error
        return self._results[0]


def keep_notifying(notifier: Notifier, reactor: Reactor, status: Callable[[], str]) -> None:
    """Have the reactor tell the service manager, if there is one, that it turns, and what ``status`` says."""
    if notifier.is_on:
        reactor.call_every(STATUS_INTERVAL, lambda: notifier.status(status()))
    if notifier.watchdog_interval is not None:
        reactor.call_every(notifier.watchdog_interval, notifier.watchdog)


class Drain:
    """Ends the service: tells the peers, answers what they still send, and stops the reactor. Reactor thread only.

    It is over when everything is answered and sent and no peer has sent a request for ``QUIET`` seconds. Peers that go on sending are
    answered until ``LAST_ANSWERS`` before the end of the grace; what they send after that is read and dropped, and once the answers are
    sent they get the end of the stream. (Closing a socket in which there is something to read would reset the connection, and with it
    answers on their way.) After ``grace`` seconds it is over in any case.

    ``outstanding``: how many requests wait or are at work; ``all_posted``: whether no reply waits to be sent.
    """

    def __init__(
        self, reactor: Reactor, server: ProxyServer, grace: float, outstanding: Callable[[], int], all_posted: Callable[[], bool]
    ) -> None:
        self._reactor = reactor
        self._server = server
        self._grace = grace
        self._outstanding = outstanding
        self._all_posted = all_posted
        self._takes_no_more = False
        self._finished_sending = False
        self._began = time.monotonic()
        self.deadline = self._began + grace
        server.stop_receiving()
        reactor.call_every(DRAIN_POLL, self._check)

    def _check(self) -> None:
        now = time.monotonic()
        server = self._server
        outstanding = self._outstanding()
        if now >= self.deadline:
            if outstanding:
                logger.error("StopGrace (%g s) is over: %d requests stay unanswered", self._grace, outstanding)
            self._reactor.stop()
            return
        # Where reading has been paused, requests that the peers have sent are still to be read.
        done = not outstanding and self._all_posted() and server.flushed and not server.is_paused
        if done and (not len(server) or now - max(self._began, server.last_request) >= QUIET):
            self._reactor.stop()
        elif not self._takes_no_more and now >= self.deadline - min(LAST_ANSWERS, self._grace / 4):
            self._takes_no_more = True
            logger.info("draining: no more requests are taken, %d are still to be answered", outstanding)
            server.take_no_more()
        elif done and self._takes_no_more and not self._finished_sending:
            self._finished_sending = True
            server.finish_sending()
