"""QueueState: what waits and what is at work in a ThreadPool at one moment."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dbproxy.work.ordering import OrderedTasks
from dbproxy.work.proxy_task import ProxyTask
from dbproxy.work.request_queues import RequestQueues

LISTED_QUEUES = 20
"""So many queues are listed, those in which most waits."""


@dataclass(frozen=True, slots=True)
class QueueState:
    """Numbers of requests, bytes of their bodies, and seconds. Held requests are not waiting; a batch at work may wait for a backend."""

    waiting: int
    waiting_bytes: int
    oldest: float
    """For how long the longest waiting request has waited."""
    held: int
    held_bytes: int
    limit: int
    """MaxWaitingRequests, and ``limit_bytes`` MaxWaitingBytes."""
    limit_bytes: int
    active_batches: int
    threads: int
    busy_threads: int
    entries: Mapping[str, Sequence[ProxyTask | OrderedTasks]]
    """Copies of the queues in which something waits."""

    def by_queue(self) -> list[tuple[str, int]]:
        """Names of queues and about how many requests wait in each, most first. Those whose conversation is at work are in none."""
        return largest_queues(self.entries)


def state_of(queues: RequestQueues, limits: tuple[int, int], threads: int, busy_threads: int) -> QueueState:
    """Look at queues, with the lock that guards them: their parts are copied, and counted later."""
    oldest = queues.oldest_waiting()
    return QueueState(
        waiting=queues.waiting,
        waiting_bytes=queues.waiting_bytes,
        oldest=0.0 if oldest is None else time.monotonic() - oldest,
        held=len(queues.held),
        held_bytes=queues.held.bytes,
        limit=limits[0],
        limit_bytes=limits[1],
        active_batches=queues.active_count,
        threads=threads,
        busy_threads=busy_threads,
        entries=queues.copies(),
    )


def largest_queues(entries: Mapping[str, Sequence[ProxyTask | OrderedTasks]]) -> list[tuple[str, int]]:
    """Count the requests in copies of queues. Without the lock: the tasks of a conversation may change meanwhile."""
    counts = [(name, sum(1 if isinstance(entry, ProxyTask) else len(entry.tasks) for entry in copied)) for name, copied in entries.items()]
    return sorted((pair for pair in counts if pair[1]), key=lambda pair: -pair[1])[:LISTED_QUEUES]
