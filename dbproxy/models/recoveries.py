"""Recoveries: how often something that Redis had lost was restored from MySQL. Any thread."""

from __future__ import annotations

import threading
from typing import Literal

Recovered = Literal["ids", "members", "counters"]
"""Counters of msg_ids, member hashes of groups, message counters of groups."""


class Recoveries:
    """Counts since the start, one for each kind."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[Recovered, int] = {"ids": 0, "members": 0, "counters": 0}

    def add(self, what: Recovered) -> None:
        """One more was restored."""
        with self._lock:
            self._counts[what] += 1

    def counts(self) -> dict[Recovered, int]:
        """Kind → how often."""
        with self._lock:
            return dict(self._counts)
