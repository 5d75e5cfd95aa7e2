"""How often logins have failed: too many failures of a name lock it for a while. Any thread."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import deque
from collections.abc import Callable

MAX_FAILURES = 10
"""More failures than this within the window, and the name is locked."""

WINDOW = 30 * 60.0
"""Seconds after which a failure is forgotten."""

MAX_NAMES = 100_000
"""Names that are remembered; an attacker can send as many as they like."""

LONGEST_NAME = 256
"""Bytes of a name that is remembered as it is."""

Key = str | bytes | tuple[bytes]


class LoginAttempts:
    """The failures of each name within the last 30 minutes, kept in this process as the original keeps them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures: dict[Key, deque[float]] = {}

    def is_locked(self, name: str | bytes) -> bool:
        """Whether the name has failed too often to be looked at."""
        key = _key(name)
        with self._lock:
            failures = self._failures.get(key)
            if failures is None:
                return False
            self._forget_old(key, failures)
            return len(failures) > MAX_FAILURES

    def failed(self, name: str | bytes) -> None:
        """Note a failure."""
        key = _key(name)
        with self._lock:
            failures = self._failures.pop(key, None)
            if failures is None:
                failures = deque(maxlen=MAX_FAILURES + 1)
                if len(self._failures) >= MAX_NAMES:
                    self._failures.pop(next(iter(self._failures)))  # the name whose last failure is oldest
            failures.append(self._clock())
            self._failures[key] = failures

    def succeeded(self, name: str | bytes) -> None:
        """Forget the failures of a name."""
        with self._lock:
            self._failures.pop(_key(name), None)

    def _forget_old(self, key: Key, failures: deque[float]) -> None:
        oldest = self._clock() - WINDOW
        while failures and failures[0] < oldest:
            failures.popleft()
        if not failures:
            del self._failures[key]


def _key(name: str | bytes) -> Key:
    """What stands for a name: itself, or a digest of one so long that many of them would not fit into memory."""
    encoded = name if isinstance(name, bytes) else name.encode()
    return name if len(encoded) <= LONGEST_NAME else (hashlib.sha256(encoded).digest(),)
