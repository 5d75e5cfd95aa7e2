"""WorkerCalls: what the worker threads tell the pool about their store calls, and where long lookups are paused, bounded or stopped."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

from dbproxy.errors import DeadlineError
from dbproxy.work.batch import WAITING_AFTER, Batch
from dbproxy.work.response_deque import ResponseDeque

TIME_SLICE = 0.05
"""Seconds that a lookup computes before it lets others that are ready go on."""

ROOM_TIMEOUT = 30.0
"""Seconds that a large reply waits for peers to take what was made before it."""


class Slots(Protocol):
    """What the pool does about a batch; each call may block until the batch has a slot (again)."""

    def yield_slot(self, batch: Batch) -> None:
        """Let others go on if any are ready."""

    def suspend(self, batch: Batch) -> None:
        """Give the slot away, without blocking, until ``resume``."""

    def resume(self, batch: Batch) -> None:
        """Get a slot for a batch that may have lost it."""


class _Local(threading.local):
    batch: Batch | None = None
    """What the thread works for."""
    since = 0.0
    """Monotonic time at which a thread without a batch began to wait for a backend; 0: it does not."""


class WorkerCalls:
    """What the daemon does about store calls. The methods act on the batch of the calling thread. The stores get what ``backend`` returns.

    Only lookups (``Batch.interruptible``) are paused or stopped. One worker at a time may read a large result and make replies of it, so
    that the memory for that is bounded whatever the number of threads.
    """

    def __init__(self, responses: ResponseDeque) -> None:
        self._responses = responses
        self._local = _Local()
        self._large = threading.Lock()
        self._slots: Slots | None = None

    def attach(self, slots: Slots) -> None:
        """Name the pool; once, before its threads start."""
        self._slots = slots

    def work_for(self, batch: Batch | None) -> None:
        """Tell which batch the calling thread works for from now on."""
        self._local.batch = batch

    def backend(self, kind: int, name_of: Callable[[object], str]) -> BackendTimer:
        """Return the BackendCalls of one kind of backend: ``MYSQL``, ``REDIS`` or ``FILE_SERVER``. ``name_of`` makes the name of a call."""
        return BackendTimer(self, self._local, kind, name_of)

    def regain_slot(self, batch: Batch) -> None:
        """The batch of the calling thread comes out of a store call during which its slot may have been given away."""
        if batch.interruptible and self._slots is not None:
            self._slots.resume(batch)

    def before_call(self) -> None:
        """See BackendCalls."""
        batch = self._local.batch
        if batch is None or not batch.interruptible:
            return
        now = time.monotonic()
        if now > batch.deadline:
            raise DeadlineError("worked on for longer than RequestTimeout")
        if now - batch.slice_started > TIME_SLICE and self._slots is not None:
            self._slots.yield_slot(batch)

    def between_replies(self) -> None:
        """A reply has been made and the next one is about to be: a good moment to let others go on."""
        batch = self._local.batch
        if batch is not None and time.monotonic() - batch.slice_started > TIME_SLICE and self._slots is not None:
            self._slots.yield_slot(batch)

    def large_result(self) -> None:
        """See BackendCalls. The first call waits until no other worker has a large result and its replies will find room."""
        batch = self._local.batch
        if batch is None or not batch.interruptible:
            return
        if not batch.has_large_result:
            self._wait_for_large(batch)
        if time.monotonic() > batch.deadline:
            raise DeadlineError("worked on for longer than RequestTimeout")

    def replies_posted(self) -> None:
        """The replies to all that was looked up have been made: others may have a large result now."""
        batch = self._local.batch
        if batch is not None and batch.has_large_result:
            batch.has_large_result = False
            self._large.release()

    def _wait_for_large(self, batch: Batch) -> None:
        if self._responses.has_room and self._large.acquire(blocking=False):
            batch.has_large_result = True
            return
        if self._slots is not None:
            self._slots.suspend(batch)
        try:
            self._wait_in_line(batch)
        finally:
            if self._slots is not None:
                self._slots.resume(batch)

    def _wait_in_line(self, batch: Batch) -> None:
        while True:
            began = time.monotonic()
            if not self._responses.wait_for_room(ROOM_TIMEOUT):
                raise DeadlineError("the peers did not take the replies made before this one (MaxSendBufferTotal)")
            batch.deadline += time.monotonic() - began  # that time was the peers'
            if not self._large.acquire(timeout=max(0.0, min(batch.deadline - time.monotonic(), threading.TIMEOUT_MAX))):
                raise DeadlineError("waited for other large replies until RequestTimeout")
            if self._responses.has_room:
                batch.has_large_result = True
                return
            self._large.release()


class BackendTimer:
    """The BackendCalls of one kind of backend: it adds up for each batch how long its worker was inside, and remembers the longest wait."""

    def __init__(self, calls: WorkerCalls, local: _Local, kind: int, name_of: Callable[[object], str]) -> None:
        self._calls = calls
        self._local = local
        self._kind = kind
        self._name_of = name_of
        self.before_call = calls.before_call
        self.large_result = calls.large_result

    def begin(self) -> None:
        """See BackendCalls."""
        batch = self._local.batch
        if batch is not None:
            batch.begin_wait()
        elif self._local.since == 0.0:
            self._local.since = time.monotonic()

    def read_since(self) -> float:
        """See BackendCalls."""
        batch = self._local.batch
        if batch is None or not batch.interruptible:
            return time.monotonic()
        return max(task.received_at for task in batch.tasks)

    def end(self, call: object = None) -> float:
        """See BackendCalls."""
        batch = self._local.batch
        if batch is None:
            since, self._local.since = self._local.since, 0.0
            return time.monotonic() - since if since else 0.0
        seconds = batch.end_wait()
        if seconds:
            batch.inside[self._kind] += seconds
            if seconds > batch.longest:
                batch.longest = seconds
                batch.longest_call = (self._name_of, call)
            if batch.waited >= WAITING_AFTER:
                self._calls.regain_slot(batch)
        return seconds
