"""WorkerThread: one of the threads that talk to MySQL and Redis."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol

from dbproxy.work.batch import Batch
from dbproxy.work.request_stats import RequestStats
from dbproxy.work.worker_calls import WorkerCalls

logger = logging.getLogger(__name__)


class Batches(Protocol):
    """Where a worker gets its batches; see ``ThreadPool``."""

    def take(self, worker: WorkerThread) -> Batch | None:
        """Wait for the next batch; None when there is to be none."""

    def finish(self, batch: Batch) -> None:
        """Report a batch as done."""


class WorkerThread(threading.Thread):
    """Takes batches from the pool and works them off until the pool stops or shrinks. An error in a batch never ends it."""

    def __init__(self, pool: Batches, number: int, work: Callable[[Batch], None], calls: WorkerCalls, stats: RequestStats) -> None:
        super().__init__(name=f"worker-{number}", daemon=True)
        self._pool = pool
        self._work = work
        self._calls = calls
        self._stats = stats
        self._wakeup = threading.Lock()  # held, but for the moment between the wake-up call and the waking up
        self._wakeup.acquire()

    def sleep(self, timeout: float | None) -> bool:
        """Sleep until ``wake``; False when ``timeout`` seconds have passed before. The worker itself, without the pool's lock."""
        return self._wakeup.acquire(timeout=-1 if timeout is None else timeout)

    def wake(self) -> None:
        """End its sleep, or the one that it is about to begin. Once for each sleep; any thread."""
        self._wakeup.release()

    def run(self) -> None:
        """Work until the pool says that there is nothing more to come for this worker."""
        recorder = self._stats.recorder()
        while (batch := self._pool.take(self)) is not None:
            self._calls.work_for(batch)
            try:
                self._work(batch)
            except Exception:
                logger.exception("a batch of %d x %s failed; its requests stay unanswered", len(batch.tasks), batch.tasks[0])
                batch.drop_the_rest()
            finally:
                self._calls.replies_posted()
                self._calls.work_for(None)
                self._pool.finish(batch)
            try:
                recorder.record(batch, time.monotonic())
            except Exception:
                logger.exception("a batch of %d x %s could not be counted", len(batch.tasks), batch.tasks[0])
        self._stats.release(recorder)
