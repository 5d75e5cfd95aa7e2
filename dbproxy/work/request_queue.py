"""RequestQueue: requests that are answered alike, in the order of their arrival. ThreadPool's lock guards it, as it does RequestQueues."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING

from dbproxy.work.ordering import OrderedTasks, Ordering
from dbproxy.work.proxy_task import ProxyTask
from dbproxy.work.queue_settings import QueueLimits, QueueSettings

if TYPE_CHECKING:
    from dbproxy.work.batch import Batch

LONG_REPLIES_SHARE, LONG_REPLIES_MINIMUM = 3, 16
"""A batch of a queue with long replies takes the third part of what waits in it, or 16 requests if that is more."""


class RequestQueue:
    """One queue: what waits in it, and whether it stands in the ready list."""

    __slots__ = ("_max_batch", "_settings", "_together", "entries", "external", "is_ready", "long_replies", "parallel", "sibling")

    def __init__(self, settings: QueueSettings, limits: QueueLimits) -> None:
        self.entries: deque[ProxyTask | OrderedTasks] = deque()
        self.is_ready = False
        self.external = settings.external
        self.sibling = settings.sibling
        self.long_replies = settings.long_replies
        self._together = settings.together
        self._settings = settings
        self.configure(limits)

    def configure(self, limits: QueueLimits) -> None:
        """Apply these limits from the next batch on."""
        self.parallel = self._settings.parallel or (limits.max_external if self.external else limits.max_active)
        self._max_batch = 1 if self.external else limits.max_batch

    @property
    def batch_limit(self) -> int:
        """How many of the requests that wait now a batch takes."""
        if not self.long_replies:
            return self._max_batch
        return min(self._max_batch, max(LONG_REPLIES_MINIMUM, len(self.entries) // LONG_REPLIES_SHARE))

    @property
    def next_bytes(self) -> int:
        """Body bytes of the first request in it."""
        entry = self.entries[0]
        return len((entry if isinstance(entry, ProxyTask) else entry.tasks[0]).body)

    def is_busy(self, at_work: Iterable[Batch]) -> bool:
        """Whether as many of its batches are among these as may be at work."""
        return sum(self in batch.queues for batch in at_work) >= self.parallel

    def goes_with(self, sibling: RequestQueue) -> bool:
        """Whether the two go together now, whatever else is ready: one batch has room for what waits in both. Where more waits, they are
        worked off side by side, as a proxy that is alone does it.
        """
        return self._together() and len(self.entries) + len(sibling.entries) <= self._max_batch

    def take_unbegun(self, ordering: Ordering) -> list[ProxyTask]:
        """Take everything but follow-ups."""
        taken: list[ProxyTask] = []
        entries, self.entries = self.entries, deque()
        for entry in entries:
            if isinstance(entry, OrderedTasks):
                taken += ordering.take(entry)
            elif entry.follow_up is None:
                taken.append(entry)
            else:
                self.entries.append(entry)
        return taken
