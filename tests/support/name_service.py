"""A name service that a test can make hang, fail or change its mind, in place of the system's."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

SOME_SECONDS = 20
"""The longest that a lookup hangs, so that a test that fails does so before the watchdog ends the run."""


class NameService:
    """Answers for the names below ``.test``; everything else goes to the system. Any thread.

    ``hosts`` are the addresses of each name. While ``hanging`` is set, lookups of them do not come back before :meth:`answer`.
    """

    def __init__(self) -> None:
        self.hosts: dict[str, list[str]] = {}
        self.hanging = False
        self.asked: list[str] = []
        """The names that were looked up, in order."""
        self.under_way = 0
        self._lock = threading.Lock()
        self._go_on = threading.Event()
        self._system = socket.getaddrinfo

    def answer(self) -> None:
        """Let all lookups come back, those that hang too."""
        self.hanging = False
        self._go_on.set()

    def getaddrinfo(self, host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        """Stands in for ``socket.getaddrinfo``."""
        if not str(host).endswith(".test") or kwargs.get("flags", 0) & socket.AI_NUMERICHOST:
            return self._system(host, port, *args, **kwargs)
        with self._lock:
            self.asked.append(host)
            self.under_way += 1
        try:
            if self.hanging:
                self._go_on.wait(SOME_SECONDS)
            if not self.hosts.get(host):
                raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
            return [found for address in self.hosts[host] for found in self._system(address, port, *args, **kwargs)]
        finally:
            with self._lock:
                self.under_way -= 1


@contextlib.contextmanager
def name_service(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameService]:
    """Replace the name service of this process for the length of the block; no lookup hangs after it."""
    service = NameService()
    with monkeypatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", service.getaddrinfo)
        try:
            yield service
        finally:
            service.answer()
