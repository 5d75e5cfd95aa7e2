"""Batch: requests that one worker answers together, and what the scheduler must know about that worker."""

from __future__ import annotations

import math
import threading
import time

from dbproxy.work.ordering import OrderedTasks
from dbproxy.work.proxy_task import ProxyTask
from dbproxy.work.request_queue import RequestQueue

WAITING_AFTER = 0.05
"""Seconds that a batch must have spent inside store calls before its further store calls free its slot. A batch that is answered within
milliseconds must not: more batches at a time are smaller ones, and cost more per request."""


class Batch:
    """Tasks of one queue, or of sibling queues, in the order of their arrival.

    ``waiting_since`` (monotonic, 0: computing), ``waited`` (seconds) and ``slice_started`` are written by its worker alone and read by
    others without a lock: a value that is a moment old does no harm. ``paused`` changes under the pool's lock.
    """

    __slots__ = (
        "body_bytes",
        "deadline",
        "has_large_result",
        "interruptible",
        "ordered",
        "paused",
        "queues",
        "resumed",
        "slice_started",
        "suspended",
        "tasks",
        "waited",
        "waiting_since",
    )

    def __init__(self, now: float) -> None:
        self.queues: list[RequestQueue] = []
        self.tasks: list[ProxyTask] = []
        self.ordered: list[OrderedTasks] = []
        self.body_bytes = 0
        self.waiting_since = 0.0
        self.waited = 0.0
        self.slice_started = now
        self.paused = False
        self.suspended = False
        """Whether it waits for its turn to read a large result; it holds a connection."""
        self.resumed: threading.Event | None = None
        """Set when a paused batch gets a slot; few batches are ever paused, so it is made then."""
        self.interruptible = False
        """Whether it may be paused between store calls and stopped at its deadline: lookups only, never what writes."""
        self.deadline = math.inf
        """Monotonic time after which no further store call is begun for it, if it is interruptible."""
        self.has_large_result = False

    @property
    def external(self) -> bool:
        """Whether it waits for the file server most of the time, and needs no slot."""
        return self.queues[0].external

    def is_waiting(self, now: float) -> bool:
        """Whether its worker is inside a store call, and has been for long enough to free its slot."""
        since = self.waiting_since
        return since != 0.0 and self.waited + now - since >= WAITING_AFTER

    def seconds_until_waiting(self, now: float) -> float:
        """Seconds after which ``is_waiting`` may be true though nothing else happens."""
        since = self.waiting_since
        return WAITING_AFTER if since == 0.0 else max(0.0, WAITING_AFTER - self.waited - (now - since))

    def begin_wait(self) -> None:
        """Its worker enters a store call. That worker only."""
        if self.waiting_since == 0.0:
            self.waiting_since = time.monotonic()

    def end_wait(self) -> bool:
        """Its worker leaves a store call; whether the slot of the batch may have been given away meanwhile. That worker only."""
        if self.waiting_since == 0.0:
            return False
        self.waited += time.monotonic() - self.waiting_since
        self.waiting_since = 0.0
        return self.waited >= WAITING_AFTER
