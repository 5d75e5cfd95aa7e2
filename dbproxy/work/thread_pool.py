"""ThreadPool: the worker threads, and what they are given to do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Iterable, Sequence

from dbproxy.work.batch import WAITING_AFTER, Batch
from dbproxy.work.proxy_task import ProxyTask
from dbproxy.work.queue_settings import QueueLimits
from dbproxy.work.queue_state import QueueState, state_of
from dbproxy.work.request_queues import RequestQueues
from dbproxy.work.request_stats import RequestStats
from dbproxy.work.worker_calls import WorkerCalls
from dbproxy.work.worker_thread import WorkerThread


class ThreadPool:
    """``thread_num`` workers around the queues; one lock guards them. How many wait for a backend is bounded by the threads, how many
    compute at once by the queues.

    The worker that fell asleep last is woken first: what it needs is still in the processor's caches, and of many threads only a few
    ever claim memory of their own. To wake them in turn costs a tenth of all lookups.

    ``work`` answers the tasks of one batch. ``wake_reactor`` is called by a worker when the number of waiting requests has fallen to half
    of a limit that it had reached, and when requests are held until ``is_drained`` says that their connection has taken its replies.
    """

    def __init__(
        self,
        thread_num: int,
        queues: RequestQueues,
        work: Callable[[Batch], None],
        calls: WorkerCalls,
        stats: RequestStats,
        *,
        max_waiting: int,
        max_waiting_bytes: int,
        wake_reactor: Callable[[], None],
        is_drained: Callable[[int], bool],
    ) -> None:
        self._queues = queues
        self._max_waiting = max_waiting
        self._max_waiting_bytes = max_waiting_bytes
        self._wake_reactor = wake_reactor
        self._is_drained = is_drained
        self._lock = threading.Lock()
        self._asleep: list[WorkerThread] = []
        self._polling = self._stopping = self._overloaded = self._large_overloaded = False
        self._work = work
        self._calls = calls
        self._stats = stats
        self._reasons_to_wait = self._wanted = self._number = 0
        self._threads: list[WorkerThread] = []
        self._resize(thread_num)
        calls.attach(self)

    def start(self) -> None:
        """Start the workers."""
        for thread in self._threads:
            thread.start()

    def resize(self, thread_num: int) -> None:
        """Change the number of workers of a pool that has been started. Those that are too many end when they have done their batches,
        without being waited for. Any thread but a worker; one at a time.

        Raises:
            RuntimeError: the system has no more threads; the number is what it was before.

        """
        before = self._wanted
        for thread in self._resize(thread_num):
            try:
                thread.start()
            except RuntimeError:
                with self._lock:
                    self._threads = [known for known in self._threads if known.ident is not None]
                self._resize(before)
                raise

    def _resize(self, thread_num: int) -> list[WorkerThread]:
        """Make the workers that are lacking, and return them; wake those that sleep if there are too many."""
        with self._lock:
            made: list[WorkerThread] = []
            self._wanted = thread_num
            while len(self._threads) < thread_num:
                self._number += 1
                made.append(WorkerThread(self, self._number, self._work, self._calls, self._stats))
                self._threads.append(made[-1])
            for _ in range(min(len(self._threads) - thread_num, len(self._asleep))):
                self._asleep.pop(0).wake()
        return made

    def configure(self, queue_limits: QueueLimits, *, max_waiting: int, max_waiting_bytes: int) -> None:
        """Change the limits. Reactor thread."""
        with self._lock:
            self._queues.configure(queue_limits)
            self._max_waiting, self._max_waiting_bytes = max_waiting, max_waiting_bytes
            self._note_drained()
            self._note_overload()
            self._wake_another(time.monotonic())  # more batches may compute now

    @property
    def overloaded(self) -> bool:
        """Whether so much is waiting that nothing more should be read from the sockets. Any thread."""
        return self._overloaded

    @property
    def large_overloaded(self) -> bool:
        """Whether so much of what waits is large that nothing more should be read from those connections that sent it. Any thread."""
        return self._large_overloaded

    def has_large(self, uuid: int) -> bool:
        """Whether large requests of a connection wait. Any thread."""
        return uuid in self._queues.large

    @property
    def outstanding(self) -> int:
        """Requests waiting, held or at work. Any thread."""
        with self._lock:
            return self._queues.outstanding

    def waiting(self) -> tuple[int, float]:
        """How many requests wait, and for how many seconds the oldest has waited. Any thread."""
        with self._lock:
            oldest = self._queues.oldest_waiting()
            return self._queues.waiting, 0.0 if oldest is None else time.monotonic() - oldest

    def state(self) -> QueueState:
        """What waits and what is at work. Any thread."""
        with self._lock:
            busy = len(self._threads) - len(self._asleep)
            return state_of(self._queues, (self._max_waiting, self._max_waiting_bytes), len(self._threads), busy)

    def put(self, tasks: Sequence[ProxyTask]) -> None:
        """Let tasks wait, all under one lock; ``wake_worker`` must follow, and may stand for several of these. Any thread; it never
        blocks, so the caller must check ``overloaded``.
        """
        with self._lock:
            self._queues.put(tasks)
            self._note_overload()

    def wake_worker(self) -> None:
        """Have what waits worked on. Any thread. The reactor does it once in a turn, when it has read everything: to wake a thread is
        expensive, and who was woken by the first request would have to leave the others to the next batch.
        """
        if self._asleep and self._queues.has_ready:  # who missed what has just been put was asleep before that
            with self._lock:
                self._wake_another(time.monotonic())

    def take(self, worker: WorkerThread) -> Batch | None:
        """Wait for the next batch; None when the pool stops or has too many workers. The worker itself."""
        while True:
            with self._lock:
                if len(self._threads) > self._wanted and not self._stopping:
                    self._retire(worker)
                    return None
                batch, wake = self._take_or_sleep(worker)
            if wake:
                self._wake_reactor()
            if batch is not None or self._stopping:
                return batch

    def _retire(self, worker: WorkerThread) -> None:
        """Forget a worker that is about to end. With the lock; it may have been woken for a batch, which another one takes then."""
        self._threads.remove(worker)
        self._wake_another(time.monotonic())

    def finish(self, batch: Batch) -> None:
        """Report a batch as done. Worker threads."""
        with self._lock:
            self._queues.finish(batch)

    def stop(self, timeout: float) -> bool:
        """Let the workers end after the batches they are at, wait up to ``timeout`` seconds; whether all have ended."""
        with self._lock:
            self._stopping = True
            while self._asleep:
                self._asleep.pop().wake()
        deadline = time.monotonic() + timeout
        for thread in tuple(self._threads):
            if thread.ident is not None:
                thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    # beginning nothing new, for a change of the configuration or of the process; any thread

    def stop_taking(self) -> None:
        """Begin no batch until ``start_taking``, which has to be called as often as this; batches at work go on."""
        with self._lock:
            self._reasons_to_wait += 1

    def start_taking(self) -> None:
        """Begin batches again, unless somebody else has stopped it too."""
        with self._lock:
            self._reasons_to_wait -= 1
            self._wake_another(time.monotonic())

    @property
    def batches_at_work(self) -> int:
        """Batches that have been begun and are not done."""
        return self._queues.active_count

    def take_back(self) -> list[ProxyTask]:
        """Take every request that no worker has begun, in the order of arrival."""
        with self._lock:
            taken = self._queues.take_back(time.monotonic())
            self._note_drained()
            return taken

    def ordering_keys_at_work(self) -> list[Hashable]:
        """See RequestQueues."""
        with self._lock:
            return self._queues.ordering_keys_at_work()

    def block(self, keys: Iterable[Hashable]) -> None:
        """See Ordering."""
        with self._lock:
            self._queues.ordering.block(keys)

    def unblock(self, keys: Iterable[Hashable] | None = None) -> None:
        """See Ordering."""
        with self._lock:
            self._queues.ordering.unblock(keys)
            self._wake_another(time.monotonic())

    # connections that do not take their replies

    @property
    def held_bytes(self) -> int:
        """Memory of the requests that are held. Any thread."""
        return self._queues.held.bytes

    def held_memory(self) -> dict[int, int]:
        """Connection uuid → bytes of its held requests. Any thread."""
        with self._lock:
            return self._queues.held.memory()

    def hold(self, tasks: Sequence[ProxyTask]) -> None:
        """Hold requests of a batch until their connections have taken their replies. Worker threads."""
        with self._lock:
            self._queues.held.add(tasks)
        self._wake_reactor()

    def release_drained(self) -> None:
        """Loop callback: let what was held wait again where the connection has taken its replies, or is gone."""
        if not self._queues.held.bytes:
            return
        with self._lock:
            now = time.monotonic()
            for uuid in self._queues.held:
                # not while many wait already: thousands may be held
                if self._queues.waiting < max(1, self._max_waiting // 2) and self._is_drained(uuid):
                    self._queues.release(uuid, now)
            self._note_overload()

    # slots

    def yield_slot(self, batch: Batch) -> None:
        """See Slots."""
        with self._lock:
            now = time.monotonic()
            if self._queues.must_yield(now):
                self._queues.pause(batch, first=False)
                self._wake_another(now)
        self._wait_for_slot(batch)
        batch.slice_started = time.monotonic()

    def suspend(self, batch: Batch) -> None:
        """See Slots."""
        with self._lock:
            batch.paused = batch.suspended = True
            self._wake_another(time.monotonic())

    def resume(self, batch: Batch) -> None:
        """See Slots. Who comes out of a store call goes first: it may hold a connection, and those who wait have none."""
        with self._lock:
            now = time.monotonic()
            batch.suspended = False
            if batch.paused or self._queues.has_too_many(now):
                self._queues.pause(batch, first=True)
                self._queues.try_resume(batch, now)
        self._wait_for_slot(batch)

    def _wait_for_slot(self, batch: Batch) -> None:
        """Wait while the batch is paused. Looking again now and then replaces a signal for the moment when another begins to wait."""
        while batch.paused and batch.resumed is not None and not batch.resumed.wait(WAITING_AFTER):
            with self._lock:
                self._queues.try_resume(batch, time.monotonic())

    def _take_or_sleep(self, worker: WorkerThread) -> tuple[Batch | None, bool]:
        """The next batch, or None after a sleep; and whether the reactor must be woken: the pool is no longer overloaded, or requests are
        held whose connections may have taken their replies in the meantime. With the lock.
        """
        if self._stopping:
            return None, False
        now = time.monotonic()
        held_before = self._queues.held.bytes
        batch = None if self._reasons_to_wait else self._queues.take(now)
        wake = self._note_drained() or self._queues.held.bytes > held_before  # also without a batch: what waited may all be held now
        if batch is not None:
            self._wake_another(now)
        elif not wake:
            self._sleep(worker, now)
        return batch, wake

    def _wake_another(self, now: float) -> None:
        """Wake a worker if it would find a batch, or if nobody polls for what is ready. With the lock."""
        if self._asleep and self._queues.has_ready and not self._reasons_to_wait and (not self._polling or self._queues.may_take(now)):
            self._asleep.pop().wake()

    def _sleep(self, worker: WorkerThread, now: float) -> None:
        """Give up the lock until somebody wakes the worker. One of those that sleep polls for batches that have begun to wait."""
        timeout = None if self._polling or self._reasons_to_wait else self._queues.next_poll(now)
        polling = timeout is not None
        self._polling |= polling
        self._asleep.append(worker)
        self._lock.release()
        try:
            woken = worker.sleep(timeout)
        finally:
            self._lock.acquire()
        if polling:
            self._polling = False
        if not woken:
            if worker in self._asleep:
                self._asleep.remove(worker)
            else:
                worker.sleep(0)  # it was woken in the moment in which it woke up by itself

    def _note_overload(self) -> None:
        """Note whether too much waits. With the lock."""
        queues, limit = self._queues, self._max_waiting_bytes
        if queues.waiting >= self._max_waiting or queues.waiting_bytes >= limit:
            self._large_overloaded = queues.large_bytes >= limit // 2
            # large requests are the business of those who send them, as long as all together do not exceed twice the limit
            small = queues.waiting_bytes - queues.large_bytes
            if queues.waiting >= self._max_waiting or small >= limit // 2 or queues.waiting_bytes >= 2 * limit:
                self._overloaded = True

    def _note_drained(self) -> bool:
        """Whether this is the moment at which the pool stops being overloaded."""
        if not (self._overloaded or self._large_overloaded):
            return False
        queues = self._queues
        if queues.waiting > self._max_waiting // 2 or queues.waiting_bytes > self._max_waiting_bytes // 2:
            return False
        self._overloaded = self._large_overloaded = False
        return True
