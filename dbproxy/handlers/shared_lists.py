"""Lists that several requests of a batch ask for alike: looked up and serialised once. They belong to the worker that answers the batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

MAX_SHARED_BYTES = 1 << 20
"""Bytes of lists that are kept for the requests that follow; the list that was asked for last is kept in any case."""


class SharedList(NamedTuple):
    """All that changed after a time: the largest change time (unix seconds), and the list as it stands in a serialised reply.

    Protobuf lets the fields of a message be serialised apart and put together, so only the rest of each reply is made for itself.
    """

    latest: int
    entries: bytes


class SharedLists:
    """The lists of one batch, by the time after which their entries changed."""

    def __init__(self, look_up: Callable[[int], SharedList]) -> None:
        self._look_up = look_up
        self._lists: dict[int, SharedList] = {}
        self._size = 0

    def get(self, since: int) -> SharedList:
        """Return the list of what changed since ``since`` (unix seconds). Errors are those of the lookup."""
        shared = self._lists.get(since)
        if shared is None:
            if self._size > MAX_SHARED_BYTES:
                self._lists.clear()
                self._size = 0
            shared = self._lists[since] = self._look_up(since)
            self._size += len(shared.entries)
        return shared
