"""Waiting for what a test expects: three commands are never answered, so what they do can only be looked for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Seen = TypeVar("Seen")


def eventually(look: Callable[[], Seen], expected: Seen, timeout: float = 5) -> Seen:
    """Call ``look`` until it returns ``expected`` or ``timeout`` seconds have passed; returns what it saw last. Any thread."""
    deadline = time.monotonic() + timeout
    while (seen := look()) != expected and time.monotonic() < deadline:
        time.sleep(0.01)
    return seen
