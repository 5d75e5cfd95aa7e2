"""BoundedCache: a dict that evicts its oldest entries. Any thread."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class BoundedCache(Generic[Key, Value]):
    """At most ``size`` entries; when full, the oldest tenth is evicted. Single dict operations are atomic, so reading needs no lock."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: dict[Key, Value] = {}

    def get(self, key: Key) -> Value | None:
        """Return the value of ``key``, or None."""
        return self._entries.get(key)

    def put(self, key: Key, value: Value) -> None:
        """Set the value of ``key``."""
        if len(self._entries) >= self._size:
            for old in list(self._entries)[: self._size // 10 + 1]:
                self._entries.pop(old, None)
        self._entries[key] = value

    def drop(self, key: Key) -> None:
        """Remove ``key``, if it is there."""
        self._entries.pop(key, None)

    def __len__(self) -> int:
        return len(self._entries)
