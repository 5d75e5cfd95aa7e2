"""BackendWatch: asks the servers of pools that nobody uses whether they still answer. Replicas have a watch of their own.

Without requests nobody would notice that a server is gone, or that it is back: ``/readyz`` would say what the last request has seen,
and while it says no, there may be none. It has a thread of its own, which may wait for a backend as long as the time limits allow.
"""

from __future__ import annotations

import logging
import threading

from dbproxy.errors import StoreError
from dbproxy.ops.snapshot import ObservedProxy
from dbproxy.stores.pools import BackendPool

logger = logging.getLogger(__name__)

INTERVAL = 2.0
"""Seconds between two rounds."""


class BackendWatch:
    """One round every ``interval`` seconds. ``start`` and ``stop`` belong to one thread."""

    def __init__(self, proxy: ObservedProxy, interval: float = INTERVAL) -> None:
        self._proxy = proxy
        self._interval = interval
        self._calls: dict[str, int] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="backend-watch", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Let the thread end, and wait up to ``timeout`` seconds; it may be waiting for a backend, and ends with the process then."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(timeout)

    def round(self) -> None:
        """Ask those that nobody has asked since the last round, and those that did not work."""
        for pool in self._proxy.observed.pools:
            if not self._stop.is_set():
                self._check(pool)

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

    def _run(self) -> None:
        while not self._stop.wait(self._interval):
            try:
                self.round()
            except Exception:
                logger.exception("the backends could not be checked")
