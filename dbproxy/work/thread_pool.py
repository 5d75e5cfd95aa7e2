"""ThreadPool and WorkerThread: the threads that talk to MySQL and Redis."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from dbproxy.work.lanes import Lanes, Run
from dbproxy.work.proxy_task import ProxyTask

logger = logging.getLogger(__name__)


class WorkerThread(threading.Thread):
    """Takes runs from the pool and works them off until the pool stops. An error in a run never ends it."""

    def __init__(self, pool: ThreadPool, number: int, work: Callable[[Sequence[ProxyTask]], None]) -> None:
        super().__init__(name=f"worker-{number}", daemon=True)
        self._pool = pool
        self._work = work
        self._alarm = threading.Lock()  # held, but for the moment between the call and the waking up
        self._alarm.acquire()

    def sleep(self, timeout: float | None) -> bool:
        """Sleep until somebody calls; False when ``timeout`` seconds have passed before. The worker itself, without the pool's lock."""
        return self._alarm.acquire(timeout=-1 if timeout is None else timeout)

    def call(self) -> None:
        """End its sleep, or the one that it is about to begin. Once for each sleep; any thread."""
        self._alarm.release()

    def run(self) -> None:
        """Work until the pool says that there is nothing more to come."""
        while (run := self._pool.take(self)) is not None:
            try:
                self._work(run.tasks)
            except Exception:
                logger.exception("a run of %d x %s failed; its requests stay unanswered", len(run.tasks), run.tasks[0])
            finally:
                self._pool.finish(run)


class ThreadPool:
    """``thread_num`` workers around the lanes; one lock guards them. How many wait for a backend is bounded by the threads, how many
    compute at once by the lanes.

    The worker that fell asleep last is called first: what it needs is still in the processor's caches, and of many threads only a few
    ever claim memory of their own. To call them in turn costs a tenth of all look-ups.

    ``work`` answers the tasks of one run. ``on_room`` is called by a worker when the number of waiting requests has fallen to half of
    a limit that it had reached.
    """

    def __init__(
        self,
        thread_num: int,
        lanes: Lanes,
        work: Callable[[Sequence[ProxyTask]], None],
        *,
        max_waiting: int,
        max_waiting_bytes: int,
        on_room: Callable[[], None],
    ) -> None:
        self._lanes = lanes
        self._max_waiting = max_waiting
        self._max_waiting_bytes = max_waiting_bytes
        self._on_room = on_room
        self._lock = threading.Lock()
        self._asleep: list[WorkerThread] = []
        self._watching = False
        self._crowded = False
        self._stopping = False
        self._threads = [WorkerThread(self, number, work) for number in range(1, thread_num + 1)]

    def start(self) -> None:
        """Start the workers."""
        for thread in self._threads:
            thread.start()

    @property
    def crowded(self) -> bool:
        """Whether so much is waiting that nothing more should be read from the sockets. Any thread."""
        return self._crowded

    @property
    def outstanding(self) -> int:
        """Requests waiting or at work. Any thread."""
        with self._lock:
            return self._lanes.outstanding

    def waiting(self) -> tuple[int, float]:
        """How many requests wait, and for how many seconds the oldest has waited. Any thread."""
        with self._lock:
            oldest = self._lanes.oldest_waiting()
            return self._lanes.waiting, 0.0 if oldest is None else time.monotonic() - oldest

    def put(self, tasks: Sequence[ProxyTask]) -> None:
        """Let tasks wait, all under one lock; ``call_worker`` must follow, and may stand for several of these. Any thread; it never
        blocks, so who puts must mind ``crowded``.
        """
        with self._lock:
            self._lanes.put(tasks)
            if self._lanes.waiting >= self._max_waiting or self._lanes.waiting_bytes >= self._max_waiting_bytes:
                self._crowded = True

    def call_worker(self) -> None:
        """Have what waits worked on. Any thread. The reactor does it once in a turn, when it has read everything: to wake a thread is
        expensive, and who was woken by the first request would have to leave the others to the next run.
        """
        if self._asleep and self._lanes.has_ready:  # who missed what has just been put was asleep before that
            with self._lock:
                self._call_another(time.monotonic())

    def take(self, worker: WorkerThread) -> Run | None:
        """Wait for the next run; None when the pool stops. The worker itself."""
        with self._lock:
            while True:
                if self._stopping:
                    return None
                now = time.monotonic()
                run = self._lanes.take(now)
                if run is not None:
                    self._call_another(now)
                    made_room = self._note_room()
                    break
                self._sleep(worker, now)
        if made_room:
            self._on_room()
        return run

    def finish(self, run: Run) -> None:
        """Report a run as done. Worker threads."""
        with self._lock:
            self._lanes.finish(run)

    def stop(self, timeout: float) -> bool:
        """Let the workers end after the runs they are at, wait up to ``timeout`` seconds; whether all have ended."""
        with self._lock:
            self._stopping = True
            while self._asleep:
                self._asleep.pop().call()
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _call_another(self, now: float) -> None:
        """Call a worker if it would find a run, or if nobody minds the clock for what is ready. With the lock."""
        if self._asleep and self._lanes.has_ready and (not self._watching or self._lanes.may_take(now)):
            self._asleep.pop().call()

    def _sleep(self, worker: WorkerThread, now: float) -> None:
        """Give up the lock until somebody calls. One of those that sleep also minds the clock, for the moment when a run goes stale."""
        timeout = None if self._watching else self._lanes.next_look(now)
        watching = timeout is not None
        self._watching |= watching
        self._asleep.append(worker)
        self._lock.release()
        try:
            called = worker.sleep(timeout)
        finally:
            self._lock.acquire()
        if watching:
            self._watching = False
        if not called:
            if worker in self._asleep:
                self._asleep.remove(worker)
            else:
                worker.sleep(0)  # it was called in the moment in which it woke up by itself

    def _note_room(self) -> bool:
        """Whether this is the moment at which the pool stops being crowded."""
        lanes = self._lanes
        if not self._crowded or lanes.waiting > self._max_waiting // 2 or lanes.waiting_bytes > self._max_waiting_bytes // 2:
            return False
        self._crowded = False
        return True
