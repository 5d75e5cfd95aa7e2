"""How queues of requests are served: what a handler declares, and the limits of the configuration. Any thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


def never() -> bool:
    """Return False: what a queue without a condition asks."""
    return False


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """How one queue is served, where that differs from the others.

    ``parallel`` bounds its batches that do not wait for a backend; 0: as many as may compute. In an ``external`` queue (requests to the
    file server, one in a batch) the bound is that of the file server and counts all batches, and in exchange they do not count against
    the bound of all queues together. ``sibling`` names a queue whose requests are answered by the same handler: while other queues are
    ready too, a batch takes from both, because one long batch costs less; while nothing else is, each has batches of its own, side by
    side. ``together`` says whether they go together in any case, one batch of both at a time, as long as it has room for all that waits;
    it is asked under a lock and must not block. ``long_replies``: most of the work is making the replies, so a batch takes only part of
    what waits, and the database reads for one while another makes replies.
    """

    parallel: int = 0
    external: bool = False
    sibling: str = ""
    together: Callable[[], bool] = never
    long_replies: bool = False


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """``max_batch`` requests in a batch, ``max_active`` batches that compute at a time, ``max_external`` of external queues."""

    max_batch: int
    max_active: int
    max_external: int = 1
