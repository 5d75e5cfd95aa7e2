"""BackendWatch: asks the servers of pools that nobody uses whether they still answer. Replicas have a watch of their own.

Without requests nobody would notice that a server is gone, or that it is back: ``/readyz`` would say what the last request has seen,
and while it says no, there may be none. It has a thread of its own, which may wait for a backend as long as the time limits allow.
"""

from __future__ import annotations

import logging

from dbproxy.errors import StoreError
from dbproxy.ops.snapshot import ObservedProxy
from dbproxy.stores.pools import BackendPool
from dbproxy.stores.watch import Watch

logger = logging.getLogger(__name__)

INTERVAL = 2.0
"""Seconds between two rounds."""


class BackendWatch(Watch):
    """One round every ``interval`` seconds."""

    name = "backend-watch"

    def __init__(self, proxy: ObservedProxy, interval: float = INTERVAL) -> None:
        super().__init__()
        self._proxy = proxy
        self._interval = interval
        self._calls: dict[str, int] = {}

    @property
    def interval(self) -> float:
        """Seconds between two rounds."""
        return self._interval

    def round(self) -> None:
        """Ask those that nobody has asked since the last round, and those that did not work."""
        for pool in self._proxy.observed.pools:
            if not self._stop.is_set():
                self._check(pool)

    def log_failure(self) -> None:
        """See Watch."""
        logger.exception("the backends could not be checked")

    def _check(self, pool: BackendPool) -> None:
        before = pool.report()
        if before.works and before.calls != self._calls.get(pool.name):
            self._calls[pool.name] = before.calls
            return
        try:
            pool.check()
        except StoreError as error:
            if before.works:
                logger.warning("no answer to a check: %s", error)
        else:
            if not before.works:
                logger.info("answers again: %s", pool)
        self._calls[pool.name] = pool.report().calls
