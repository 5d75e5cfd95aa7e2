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

    def run(self) -> None:
        """Work until the pool says that there is nothing more to come."""
        while (run := self._pool.take()) is not None:
            try:
                self._work(run.tasks)
            except Exception:
                logger.exception("a run of %d x %s failed; its requests stay unanswered", len(run.tasks), run.tasks[0])
            finally:
                self._pool.finish(run)


class ThreadPool:
    """``thread_num`` workers around the lanes; one lock guards them. How many wait for a backend is bounded by the threads, how many
    compute at once by the lanes.

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
        self._condition = threading.Condition()
        self._idle = 0
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
        with self._condition:
            return self._lanes.outstanding

    def waiting(self) -> tuple[int, float]:
        """How many requests wait, and for how many seconds the oldest has waited. Any thread."""
        with self._condition:
            oldest = self._lanes.oldest_waiting()
            return self._lanes.waiting, 0.0 if oldest is None else time.monotonic() - oldest

    def submit(self, tasks: Sequence[ProxyTask]) -> None:
        """Hand over tasks, all under one lock. Any thread; it never blocks, so who submits must mind ``crowded``."""
        with self._condition:
            self._lanes.put(tasks)
            if self._lanes.waiting >= self._max_waiting or self._lanes.waiting_bytes >= self._max_waiting_bytes:
                self._crowded = True
            self._wake_another(time.monotonic())

    def take(self) -> Run | None:
        """Wait for the next run; None when the pool stops. Worker threads."""
        with self._condition:
            while True:
                if self._stopping:
                    return None
                now = time.monotonic()
                run = self._lanes.take(now)
                if run is not None:
                    self._wake_another(now)
                    made_room = self._note_room()
                    break
                self._wait(now)
        if made_room:
            self._on_room()
        return run

    def finish(self, run: Run) -> None:
        """Report a run as done. Worker threads."""
        with self._condition:
            self._lanes.finish(run)

    def stop(self, timeout: float) -> bool:
        """Let the workers end after the runs they are at, wait up to ``timeout`` seconds; whether all have ended."""
        with self._condition:
            self._stopping = True
            self._condition.notify_all()
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _wake_another(self, now: float) -> None:
        """Wake an idle worker if it would find a run, or if nobody minds the clock for what is ready."""
        if self._idle and self._lanes.has_ready and (not self._watching or self._lanes.may_take(now)):
            self._condition.notify()

    def _wait(self, now: float) -> None:
        """Wait for a notification. One idle worker at most also minds the clock, for the moment when a run goes stale."""
        timeout = None if self._watching else self._lanes.next_look(now)
        watching = timeout is not None
        self._watching |= watching
        self._idle += 1
        self._condition.wait(timeout)
        self._idle -= 1
        if watching:
            self._watching = False

    def _note_room(self) -> bool:
        """Whether this is the moment at which the pool stops being crowded."""
        lanes = self._lanes
        if not self._crowded or lanes.waiting > self._max_waiting // 2 or lanes.waiting_bytes > self._max_waiting_bytes // 2:
            return False
        self._crowded = False
        return True
