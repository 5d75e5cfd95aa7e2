"""Upgrades: one upgrade at a time, from the request for it to the end of this process."""

from __future__ import annotations

import logging
import subprocess
import threading
from collections.abc import Callable

from dbproxy.errors import UpgradeError
from dbproxy.handover.channel import Channel
from dbproxy.handover.new_process import NewProcess
from dbproxy.handover.retirement import Retirement
from dbproxy.handover.service import LiveService
from dbproxy.handover.upgrade import Upgrade
from dbproxy.net.reactor import Reactor

logger = logging.getLogger(__name__)

Done = Callable[[str | None], None]
"""Told the result of an upgrade, in any thread: None when another process serves, otherwise why this one goes on."""


class Upgrades:
    """What a proxy does when it is asked for an upgrade. ``request`` and the callbacks belong to the reactor thread.

    ``start_timeout``: seconds that a new process may wait for its backends; ``longest``: seconds that what has been begun may take.
    ``on_handed_over(pid)`` is called when another process serves, ``on_settled(pid)`` some seconds later, when it is certain that it stays,
    ``on_taken_back`` if it died before that, and ``on_retired`` when there is nothing left to do here.
    """

    def __init__(
        self,
        new_process: NewProcess | None,
        reactor: Reactor,
        call_soon: Callable[[Callable[[], None]], None],
        service: LiveService,
        *,
        start_timeout: float,
        longest: float,
        on_handed_over: Callable[[int], None],
        on_settled: Callable[[int], None],
        on_taken_back: Callable[[], None],
        on_retired: Callable[[], None],
    ) -> None:
        self._new_process = new_process
        self._reactor = reactor
        self._call_soon = call_soon
        self._service = service
        self._start_timeout = start_timeout
        self._longest = longest
        self._on_handed_over = on_handed_over
        self._on_settled = on_settled
        self._on_taken_back = on_taken_back
        self._on_retired = on_retired
        self._running = False
        self._retiring = False

    @property
    def is_active(self) -> bool:
        """Whether a new process is being started, or serves while this one only answers what it has begun. Any thread."""
        return self._running or self._retiring

    def request(self, done: Done) -> None:
        """Begin an upgrade; ``done`` is told how it went."""
        if self._new_process is None:
            refusal = "this proxy was not started by the command db_proxy_server"
        elif self.is_active:
            refusal = "an upgrade is going on already"
        else:
            self._running = True
            upgrade = Upgrade(self._new_process, self._call_soon, self._service, self._start_timeout, self._handed_over)
            threading.Thread(target=self._run, args=(upgrade, done), name="upgrade", daemon=True).start()
            return
        logger.warning("upgrade refused: %s", refusal)
        done(refusal)

    def _run(self, upgrade: Upgrade, done: Done) -> None:
        try:
            upgrade.run()
        except UpgradeError as error:
            logger.error("upgrade failed, this process goes on: %s", error)
            problem: str | None = str(error)
        except Exception as error:
            logger.exception("upgrade failed, this process goes on")
            problem = type(error).__name__
        else:
            problem = None
        self._running = False
        done(problem)

    def _handed_over(self, channel: Channel, process: subprocess.Popen[bytes]) -> None:
        self._retiring = True
        pid = process.pid
        Retirement(
            self._reactor,
            self._service,
            channel,
            process,
            self._longest,
            on_settled=lambda: self._on_settled(pid),
            on_done=self._on_retired,
            on_lost=self._taken_back,
        )
        self._on_handed_over(pid)

    def _taken_back(self) -> None:
        self._retiring = False
        self._on_taken_back()
