"""Watch: a thread that looks at servers again and again, of which ``MasterWatch``, ``ReplicaWatch`` and ``BackendWatch`` are made."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from typing import ClassVar


class Watch(ABC):
    """One ``round`` after each ``interval``, until it is stopped. ``start`` and ``stop`` belong to one thread."""

    name: ClassVar[str]
    """The name of the thread."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def runs(self) -> bool:
        """Whether the thread has been started."""
        return self._thread is not None

    @property
    @abstractmethod
    def interval(self) -> float:
        """Seconds until the next round; asked before each. The watch's thread."""

    @abstractmethod
    def round(self) -> None:
        """Look at everything once. It may wait for servers, and should end early once ``_stop`` is set."""

    @abstractmethod
    def log_failure(self) -> None:
        """Log the exception that a round has raised; the next one is done all the same."""

    def start(self) -> None:
        """Start the thread; RuntimeError: the system has no more threads."""
        thread = threading.Thread(target=self._run, name=self.name, daemon=True)
        thread.start()
        self._thread = thread

    def stop(self, timeout: float) -> None:
        """Let the thread end, and wait up to ``timeout`` seconds; it may be waiting for a server, and ends with the process then."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout)

    def _run(self) -> None:
        while not self._stop.wait(self.interval):
            try:
                self.round()
            except Exception:  # noqa: BLE001 - the subclass logs it, with a text and a logger of its own
                self.log_failure()
