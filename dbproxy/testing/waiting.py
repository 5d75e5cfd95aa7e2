"""Polling for an effect. Three commands are never answered, so tests can only poll for what they have changed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL_INTERVAL = 0.01
"""Seconds between two calls."""


def poll(check: Callable[[], T], accept: Callable[[T], bool], timeout: float = 15) -> T:
    """Call ``check`` until ``accept`` is true for its result or ``timeout`` seconds have passed; return the last result. Any thread."""
    deadline = time.monotonic() + timeout
    while not accept(result := check()) and time.monotonic() < deadline:
        time.sleep(POLL_INTERVAL)
    return result


def eventually(check: Callable[[], T], expected: T, timeout: float = 15) -> T:
    """Call ``check`` until it returns ``expected`` or ``timeout`` seconds have passed; return the last result. Any thread."""
    return poll(check, lambda result: result == expected, timeout)
