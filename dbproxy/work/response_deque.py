"""The response deque: the mailbox between the worker threads and the reactor."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Final


class CloseConnection:
    """A response that asks the reactor to close the connection; a type of its own, so that no other value can mean it by accident."""

    __slots__ = ("reason",)

    def __init__(self, reason: str) -> None:
        self.reason = reason


Response = tuple[int, bytes | CloseConnection]
"""Connection uuid, and the bytes of a PDU (or the wish to close)."""


class ResponseDeque:
    """Entries of (connection uuid, PDU) in the order in which the workers posted them, under one lock."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring: Final = ring
        self._lock: Final = threading.Lock()
        self._responses: list[Response] = []

    def post(self, responses: Iterable[Response]) -> None:
        """Append the responses of one run and ring once. Any thread."""
        with self._lock:
            self._responses.extend(responses)
        self._ring()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to send. Any thread."""
        return not self._responses

    def drain(self) -> Sequence[Response]:
        """Take everything that is there, oldest first. Reactor thread."""
        if not self._responses:  # reading it is atomic, and whoever posts after this look rings again
            return ()
        with self._lock:
            responses, self._responses = self._responses, []
        return responses
