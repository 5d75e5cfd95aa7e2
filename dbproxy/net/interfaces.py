"""What ProxyServer needs of those who answer the requests: the response deque and the thread pool. Layers below know nothing of layers
above, so these are handed in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol


class Responses(Protocol):
    """What the workers have answered, and the count of what is unsent."""

    def drain(self) -> Sequence[tuple[int, bytes]]:
        """Take everything that was posted."""

    def continuations(self) -> Mapping[int, int]:
        """Connection uuid → how many entries of what was drained last continue the PDU before them."""

    def sent(self) -> None:
        """What was drained is with the connections now."""

    def keep(self, uuid: int, count: int) -> None:
        """A connection keeps ``count`` bytes that its socket does not take."""


class Work(Protocol):
    """The requests that wait for workers, or are held because their connection does not take its replies."""

    @property
    def overloaded(self) -> bool:
        """Whether nothing more should be read."""

    @property
    def large_overloaded(self) -> bool:
        """Whether nothing more should be read from connections for which ``has_large``."""

    def has_large(self, uuid: int) -> bool:
        """Whether large requests of a connection wait."""

    @property
    def held_bytes(self) -> int:
        """Memory of the requests that are held."""

    def held_memory(self) -> dict[int, int]:
        """Connection uuid → bytes of its held requests."""

    def waiting(self) -> tuple[int, float]:
        """How many requests wait for a worker, and for how many seconds the oldest has waited."""
