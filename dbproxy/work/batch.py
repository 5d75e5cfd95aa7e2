"""Batch: requests that one worker answers together, and what the scheduler must know about that worker."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Final

from dbproxy.work.ordering import OrderedTasks
from dbproxy.work.proxy_task import ProxyTask
from dbproxy.work.request_queue import RequestQueue

WAITING_AFTER = 0.05
"""Seconds that a batch must have spent inside store calls before its further store calls free its slot. A batch that is answered within
milliseconds must not: more batches at a time are smaller ones, and cost more per request."""

MYSQL: Final = 0
REDIS: Final = 1
FILE_SERVER: Final = 2
"""The kinds of backends: indexes of ``Batch.inside``."""

ANSWERED: Final = 0
REFUSED: Final = 1
DROPPED: Final = 2
UNREADABLE: Final = 3
"""What became of a request: answered (or done, for commands without a reply), answered with a refusal, left without a reply because any
would be wrong, or not to be parsed."""
GIVEN_BACK: Final = 4
"""Not done in this batch: held until its connection takes its replies, or waiting for the second part of its work."""

NAMED_FROM = 0.001
"""Seconds of a store call from which on it is remembered what it was."""


class Batch:
    """Tasks of one queue, or of sibling queues, in the order of their arrival.

    ``waiting_since`` (monotonic, 0: computing), ``waited`` (seconds) and ``slice_started`` are written by its worker alone and read by
    others without a lock: a value that is a moment old does no harm. ``paused`` changes under the pool's lock.
    """

    __slots__ = (
        "body_bytes",
        "deadline",
        "has_large_result",
        "inside",
        "interruptible",
        "longest",
        "longest_call",
        "ordered",
        "outcomes",
        "paused",
        "queues",
        "resumed",
        "slice_started",
        "started",
        "suspended",
        "tasks",
        "uniform",
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
        self.started = self.slice_started = now
        self.outcomes: dict[ProxyTask, int] = {}
        """What became of those tasks that were not simply answered. Written by its worker alone."""
        self.uniform = False
        """Whether all tasks have the same handler and none has a follow-up. Written by its worker."""
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
        self.inside = [0.0, 0.0, 0.0]
        """Seconds inside the store calls of each kind of backend. Written by its worker alone."""
        self.longest = NAMED_FROM
        """Seconds of the longest single wait among these; ``longest_call`` is None below ``NAMED_FROM``."""
        self.longest_call: tuple[Callable[[object], str], object] | None = None
        """What it waited for: what makes a name of it, and the call."""

    def note(self, task: ProxyTask, outcome: int) -> None:
        """Note that a task was not simply answered. Its worker only."""
        self.outcomes[task] = outcome

    def drop_the_rest(self) -> None:
        """Note that the work on it ended with an error: what nothing was noted for counts as dropped. Its worker only."""
        for task in self.tasks:
            self.outcomes.setdefault(task, DROPPED)

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

    def end_wait(self) -> float:
        """Its worker leaves a store call; returns the seconds that it took, 0 when it was left before. That worker only."""
        if self.waiting_since == 0.0:
            return 0.0
        seconds = time.monotonic() - self.waiting_since
        self.waited += seconds
        self.waiting_since = 0.0
        return seconds

    @property
    def longest_name(self) -> str | None:
        """The name of what its worker waited for longest, such as "select IMUser"; None when no wait was worth it."""
        if self.longest_call is None:
            return None
        name_of, call = self.longest_call
        return name_of(call)
