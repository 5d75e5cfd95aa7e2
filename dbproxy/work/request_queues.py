"""RequestQueues: where requests wait, and how they are cut into batches.

A *queue* holds requests that are answered alike (those of one command, the sounds, half of the messages). A *batch* is whatever waits in
a queue when a worker comes, up to a limit in requests and in bytes: under load several requests are answered with one round trip, and an
idle system has batches of one. The rules that keep this fair:

- a queue stands in the ready list at most once, so that the commands take turns whatever the number of their requests;
- only ``max_active`` batches compute at a time: more threads than that would only fight for the interpreter. A batch whose worker waits
  for a backend does not count (``Batch.is_waiting``), so nothing has to wait behind it;
- a lookup that computes for long is paused between two store calls while others are ready, and goes on in turn with them;
- requests with the same *ordering key* (the messages of one conversation) start in the order of their arrival, and never while an
  earlier one is in a batch, whatever queues they are in;
- requests of a connection that does not take its replies are held until it does. They count as memory of that connection, not as waiting.

Nothing here locks or blocks: ThreadPool calls it under its lock.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Mapping
from itertools import islice

from dbproxy.work.batch import Batch
from dbproxy.work.held_requests import HeldRequests
from dbproxy.work.ordering import OrderedTasks, Ordering
from dbproxy.work.proxy_task import ProxyTask
from dbproxy.work.queue_settings import QueueLimits, QueueSettings
from dbproxy.work.request_queue import RequestQueue

MAX_BATCH_BYTES = 256 * 1024
"""Bytes of request bodies in one batch, unless it is a single request."""

MAX_ACTIVE_BYTES = 4 * 1024 * 1024
"""Bytes of bodies in all batches at work that are larger than MAX_BATCH_BYTES, unless it is a single batch: parsed, a list of ids takes ten
to thirty times as much."""

MAX_SUSPENDED = 6
"""Batches that wait for their turn to read a large result and do not count for their queues: requests for little can pass them. Each
holds a connection of a pool."""

LARGE_BODY = 64 * 1024
"""Bytes of a body above which it is counted for its connection: few large requests fill the memory, and only who sends them has to wait."""

_USUAL = QueueSettings()


def _never(_uuid: int) -> bool:
    return False


class RequestQueues:
    """All queues, the ready list and the batches at work.

    ``is_blocked(uuid)`` says whether a connection has more unsent replies than it may; ``under_pressure()`` whether any can be, which is
    asked once for each batch so that the question costs nothing while peers read.
    """

    def __init__(
        self,
        settings: Mapping[str, QueueSettings],
        limits: QueueLimits,
        *,
        is_blocked: Callable[[int], bool] = _never,
        under_pressure: Callable[[], bool] = bool,
    ) -> None:
        self._settings = settings
        self._limits = limits
        self._is_blocked = is_blocked
        self._under_pressure = under_pressure
        self._queues: dict[str, RequestQueue] = {}
        self._ready: deque[RequestQueue] = deque()
        self.ordering = Ordering(self._append)
        self._active: set[Batch] = set()
        self._resuming: deque[Batch] = deque()
        self._resume_next = True
        self.held = HeldRequests()
        self.waiting = 0
        self.waiting_bytes = 0
        self.large: dict[int, int] = {}
        """Connection uuid → bytes of its waiting bodies that are large."""
        self.large_bytes = 0

    def configure(self, limits: QueueLimits) -> None:
        """Cut the next batches with these limits; those at work stay as they are."""
        self._limits = limits
        for queue in self._queues.values():
            queue.configure(limits)

    @property
    def outstanding(self) -> int:
        """Requests that are waiting, held or being worked on."""
        return self.waiting + len(self.held) + sum(len(batch.tasks) for batch in self._active)

    @property
    def has_ready(self) -> bool:
        """Whether any queue has something to take, be it that its turn has not come."""
        return bool(self._ready)

    @property
    def active_count(self) -> int:
        """Batches that have been begun and are not done; any thread."""
        return len(self._active)

    def may_take(self, now: float) -> bool:
        """Whether ``take`` is likely to return a batch: something is ready and not too much is being worked on."""
        return bool(self._ready) and (self._has_slot(now) or any(queue.external for queue in self._ready))

    def oldest_waiting(self) -> float | None:
        """Monotonic time at which the longest waiting request arrived; None when none waits. Held requests do not count.

        Ordered tasks are asked by their keys, because those that wait for a batch with their own key stand in no queue.
        """
        times = self.ordering.oldest()
        for queue in self._ready:
            times += islice((entry.received_at for entry in queue.entries if not isinstance(entry, OrderedTasks)), 1)
        return min(times, default=None)

    def copies(self) -> dict[str, list[ProxyTask | OrderedTasks]]:
        """What stands in each queue, by its name; queues that are empty are left out."""
        return {name: list(queue.entries) for name, queue in self._queues.items() if queue.entries}

    def put(self, tasks: Iterable[ProxyTask]) -> None:
        """Let these tasks wait, each in its queue."""
        for task in tasks:
            length = len(task.body)
            self.waiting += 1
            self.waiting_bytes += length
            if length > LARGE_BODY:
                self._count_large(task.conn_uuid, length)
            if task.ordering_key is None:
                self._append(task.queue, task)
            else:
                self.ordering.put(task)

    def take(self, now: float) -> Batch | None:
        """Cut the next batch, or return None when nothing can be started; see ``next_poll``. A paused batch whose turn it is goes on."""
        free = self._limits.max_active - self._computing(now)
        if self._resuming and free > 0 and (self._resume_next or not self._ready):
            self._resume_next = False
            self._resume(self._resuming.popleft())
            free -= 1
        suspended = sum(batch.suspended for batch in self._active)
        at_work = [
            batch
            for batch in self._active
            if batch.external or not (batch.is_waiting(now) or (batch.suspended and suspended <= MAX_SUSPENDED))
        ]
        for _ in range(len(self._ready)):
            queue = self._ready[0]
            sibling = self._queues.get(queue.sibling)
            together = sibling is not None and queue.goes_with(sibling)
            sibling_is_free = sibling is not None and not sibling.is_busy(at_work)
            if (free <= 0 and not queue.external) or queue.is_busy(at_work) or (together and not sibling_is_free) or not self._fits(queue):
                self._ready.rotate(-1)
                continue
            batch = Batch(now)
            self._cut(queue, batch)
            if sibling is not None and sibling.is_ready and sibling_is_free and (together or len(self._ready) > 1 + queue.is_ready):
                self._cut(sibling, batch)
            if not batch.tasks:  # all of it belonged to connections that do not take their replies
                continue
            self._active.add(batch)
            self._resume_next = True
            return batch
        return None

    def next_poll(self, now: float) -> float | None:
        """Seconds after which a batch may have begun to wait for a backend, so that ``take`` may succeed though nothing else happens; None
        when nothing is ready.
        """
        if not self._ready:
            return None
        # a batch that waits already could not help; one that is paused takes no slot
        return min((batch.seconds_until_waiting(now) for batch in self._active if not batch.is_waiting(now)), default=None)

    def finish(self, batch: Batch) -> None:
        """Forget a batch that is done; what waited for its ordering keys may go on."""
        self._active.discard(batch)
        for ordered in batch.ordered:
            self.ordering.finish(ordered)

    # pausing

    def must_yield(self, now: float) -> bool:
        """Whether others are ready or paused and there is no slot for them, so that a batch that has computed for long must give its."""
        return bool(self._ready or self._resuming) and not self._has_slot(now)

    def has_too_many(self, now: float) -> bool:
        """Whether more batches compute than there are slots, so that one that has just left a store call must wait for one."""
        return self._computing(now) > self._limits.max_active

    def pause(self, batch: Batch, *, first: bool) -> None:
        """Take the slot from a batch until ``take`` or ``try_resume`` gives it another and sets ``resumed``; ``first``: before those that
        are paused already.
        """
        batch.paused = True
        batch.resumed = threading.Event()
        self._resume_next = first
        if first:
            self._resuming.appendleft(batch)
        else:
            self._resuming.append(batch)

    def try_resume(self, batch: Batch, now: float) -> bool:
        """Whether the batch is not paused, or need not be any longer."""
        if batch.paused and self._has_slot(now):
            if batch in self._resuming:
                self._resuming.remove(batch)
            self._resume(batch)
        return not batch.paused

    @staticmethod
    def _resume(batch: Batch) -> None:
        batch.paused = False
        if batch.resumed is not None:
            batch.resumed.set()

    # connections that do not take their replies

    def release(self, uuid: int, now: float) -> None:
        """Let the held requests of a connection wait again, before those that came later. The time for which lookups were held does not
        count: it was the peer's. That of follow-ups does, or they would never be late.
        """
        for task in reversed(self.held.pop(uuid)):
            self.waiting += 1
            self.waiting_bytes += len(task.body)
            if len(task.body) > LARGE_BODY:
                self._count_large(uuid, len(task.body))
            if task.follow_up is None:
                task.received_at = now
            queue = self._queue(task.queue)
            queue.entries.appendleft(task)
            self._make_ready(queue)

    # another process takes over

    def ordering_keys_at_work(self) -> list[Hashable]:
        """The ordering keys of all batches that are not done, here or in a process whose replies pass through this one."""
        return [ordered.key for batch in self._active for ordered in batch.ordered] + self.ordering.blocked()

    def take_back(self, now: float) -> list[ProxyTask]:
        """Take every request that waits or is held, in the order of arrival; what has been begun stays: batches, and follow-ups. The time
        for which requests were held does not count, see ``release``.
        """
        held: list[ProxyTask] = []
        taken: list[ProxyTask] = []
        for queue in list(self._ready):
            taken += queue.take_unbegun(self.ordering)
            if not queue.entries:
                queue.is_ready = False
                self._ready.remove(queue)
        taken += self.ordering.take_behind_batches()
        for task in taken:
            self.waiting -= 1
            self.waiting_bytes -= len(task.body)
            if len(task.body) > LARGE_BODY:
                self._count_large(task.conn_uuid, -len(task.body))
        for uuid in self.held:
            tasks = self.held.pop(uuid)
            held += [task for task in tasks if task.follow_up is None]
            self.held.add(task for task in tasks if task.follow_up is not None)
        taken = sorted(taken + held, key=lambda task: task.received_at)
        for task in held:
            task.received_at = now
        return taken

    def _computing(self, now: float) -> int:
        return sum(not (batch.paused or batch.external or batch.is_waiting(now)) for batch in self._active)

    def _has_slot(self, now: float) -> bool:
        return self._computing(now) < self._limits.max_active

    def _fits(self, queue: RequestQueue) -> bool:
        """Whether the next request of a queue may be worked on beside the large ones that are already."""
        size = queue.next_bytes
        if size <= MAX_BATCH_BYTES or queue.external:
            return True
        large = sum(batch.body_bytes for batch in self._active if batch.body_bytes > MAX_BATCH_BYTES and not batch.external)
        return not large or size + large <= MAX_ACTIVE_BYTES

    def _count_large(self, uuid: int, change: int) -> None:
        self.large_bytes += change
        total = self.large.pop(uuid, 0) + change
        if total:
            self.large[uuid] = total

    def _queue(self, name: str) -> RequestQueue:
        queue = self._queues.get(name)
        if queue is None:
            queue = self._queues[name] = RequestQueue(self._settings.get(name, _USUAL), self._limits)
        return queue

    def _append(self, name: str, entry: ProxyTask | OrderedTasks) -> None:
        queue = self._queue(name)
        queue.entries.append(entry)
        self._make_ready(queue)

    def _make_ready(self, queue: RequestQueue) -> None:
        if not queue.is_ready:
            queue.is_ready = True
            self._ready.append(queue)

    def _cut(self, queue: RequestQueue, batch: Batch) -> None:
        """Let a batch take what waits in a ready queue, as far as it has room; what belongs to blocked connections is held."""
        self._ready.remove(queue)
        queue.is_ready = False
        batch.queues.append(queue)
        entries, tasks, size = queue.entries, batch.tasks, batch.body_bytes
        limit, count_before, size_before = queue.batch_limit, len(tasks), size
        pressed = self.held.bytes > 0 or self._under_pressure()
        held: list[ProxyTask] = []
        while entries and (not tasks or len(tasks) < limit):
            entry = entries[0]
            first = entry if isinstance(entry, ProxyTask) else entry.tasks[0]
            length = len(first.body)
            if tasks and size + length > MAX_BATCH_BYTES:
                break
            entries.popleft()
            if isinstance(entry, ProxyTask):
                if pressed and (entry.conn_uuid in self.held or self._is_blocked(entry.conn_uuid)):
                    held.append(entry)
                else:
                    tasks.append(entry)
                    size += length
                continue
            waiting = entry.tasks
            while True:
                tasks.append(waiting.popleft())
                size += length
                if not waiting or waiting[0].queue != first.queue or len(tasks) >= limit:
                    break
                length = len(waiting[0].body)
                if size + length > MAX_BATCH_BYTES:
                    break
            batch.ordered.append(entry)
        if entries:
            self._make_ready(queue)
        if self.large:
            for task in (*tasks[count_before:], *held):
                if len(task.body) > LARGE_BODY:
                    self._count_large(task.conn_uuid, -len(task.body))
        batch.body_bytes = size
        self.waiting -= len(tasks) - count_before + len(held)
        self.waiting_bytes -= size - size_before + sum(len(task.body) for task in held)
        if held:
            self.held.add(held)
