"""BackendConnection: MySQL and Redis for the web application, which starts, and lets people log in, without them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from dbproxy.admin.installation import Installation
from dbproxy.config import Config
from dbproxy.errors import DbproxyError, StoreUnavailableError
from dbproxy.stores.backend_facts import START_PATIENCE, BackendFacts
from dbproxy.stores.server_facts import ServerFacts

RETRY_INTERVAL = 1.0
"""Seconds between two attempts to open the pools."""

LONGEST_WAIT = 5.0
"""Seconds that a request waits for its turn when others use all places."""

MOST_AT_ONCE = 8


class WebInstallation(Installation):
    """Its statements give up earlier than those of the command line: a person waits for each."""

    statement_timeout = 30.0


class BackendConnection:
    """Opens the pools of ``config`` in a thread of its own, however often that has to be tried. Once they are open, they find their servers
    again by themselves. Any thread.

    At most ``places`` requests use them at once, so that threads of the web server are left for pages that need no backend.
    """

    def __init__(self, config: Config, open_installation: Callable[[Config], Installation] = WebInstallation) -> None:
        self._config = config
        self._open_installation = open_installation
        sizes = [instance.maxconncnt for instance in config.db_instances.values()]
        sizes += [instance.maxconncnt for instance in config.cache_instances.values()]
        self.places = min(MOST_AT_ONCE, *sizes)
        self._places = threading.BoundedSemaphore(self.places)
        self._lock = threading.Lock()
        self._installation: Installation | None = None
        self._facts: BackendFacts | None = None
        self._error = "MySQL and Redis have not been connected to yet"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="backend connection", daemon=True)

    def start(self) -> None:
        """Begin to open the pools; returns at once."""
        self._thread.start()

    def wait(self, timeout: float) -> bool:
        """Return whether the pools are open, after up to ``timeout`` seconds."""
        self._thread.join(timeout)
        return self._installation is not None

    @property
    def problem(self) -> str:
        """Why the pools are not open; empty if they are."""
        with self._lock:
            return "" if self._installation is not None else self._error

    def close(self) -> None:
        """Give up opening, and close the pools."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
        with self._lock:
            installation, self._installation = self._installation, None
            facts, self._facts = self._facts, None
        if facts is not None:
            facts.stop()
        if installation is not None:
            installation.close()

    def take(self) -> Installation:
        """Return the pools and their models for one request, which has to ``release`` its place in the end.

        Raises:
            StoreUnavailableError: they could not be opened yet, or others use all places.

        """
        with self._lock:
            installation, error = self._installation, self._error
        if installation is None:
            raise StoreUnavailableError(error)
        if not self._places.acquire(timeout=LONGEST_WAIT):
            raise StoreUnavailableError(f"{self.places} other requests are waiting for MySQL and Redis")
        return installation

    def servers(self) -> Sequence[ServerFacts]:
        """Return what is known of the servers; does not wait for them."""
        with self._lock:
            if self._facts is None:
                return ()
            self._facts.check()
            return self._facts.known

    def release(self) -> None:
        """Give the place of a request to another."""
        self._places.release()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                installation = self._open_installation(self._config).__enter__()
            except Exception as error:  # noqa: BLE001 - a thread that ends would leave every page without data until a restart
                with self._lock:
                    self._error = str(error) if isinstance(error, DbproxyError) else f"{type(error).__name__}: {error}"
                self._stop.wait(RETRY_INTERVAL)
                continue
            facts = BackendFacts(installation.databases, installation.caches)
            facts.check()
            facts.wait(START_PATIENCE)
            with self._lock:
                self._installation, self._facts = installation, facts
            return
