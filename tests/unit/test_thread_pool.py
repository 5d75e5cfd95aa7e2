"""The worker threads: nothing is lost, nobody sleeps while there is something to do, and few are woken."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from dbproxy.errors import DeadlineError
from dbproxy.testing.waiting import eventually
from dbproxy.wire.commands import COMMANDS, MSG_DATA, USER_INFO, Command
from dbproxy.work.batch import MYSQL, Batch
from dbproxy.work.handler_map import Handler
from dbproxy.work.proxy_task import ProxyTask
from dbproxy.work.queue_settings import QueueLimits
from dbproxy.work.request_queues import RequestQueues
from dbproxy.work.request_stats import RequestStats
from dbproxy.work.response_deque import ResponseDeque
from dbproxy.work.slow_requests import SlowRequests
from dbproxy.work.thread_pool import ThreadPool
from dbproxy.work.worker_calls import WorkerCalls
from dbproxy.work.worker_thread import WorkerThread


class PoolHarness:
    """A pool whose batches are worked off by ``work``; its store calls are those of ``calls``."""

    def __init__(self, work: Callable[[Batch], None], threads: int = 4, max_waiting: int = 1000) -> None:
        self.drained = threading.Event()
        self.responses = responses = ResponseDeque(lambda: None, max_connection_bytes=1000, max_total_bytes=100_000)
        self.calls = WorkerCalls(responses)
        self.slow = SlowRequests()
        self.stats = RequestStats([], self.slow)
        self.pool = ThreadPool(
            threads,
            RequestQueues(
                {},
                QueueLimits(max_batch=8, max_active=2),
                is_blocked=responses.is_blocked,
                under_pressure=responses.under_pressure,
            ),
            work,
            self.calls,
            self.stats,
            max_waiting=max_waiting,
            max_waiting_bytes=1 << 20,
            wake_reactor=self.drained.set,
            is_drained=responses.is_drained,
        )
        self.pool.start()


class Concurrency:
    """How many threads are inside its block at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now = 0
        self.most = 0

    def __enter__(self) -> None:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._now -= 1


def submit(pool: ThreadPool, tasks: Sequence[ProxyTask]) -> None:
    pool.put(tasks)
    pool.wake_worker()


def plain_task(number: int, command: Command[Any, Any] = USER_INFO) -> ProxyTask:
    return ProxyTask(Handler.batch(command, lambda requests: [None] * len(requests)), number, "peer", 0, b"", time.monotonic())


def test_every_task_is_worked_on_once_also_when_a_batch_raises() -> None:
    done: list[int] = []
    lock = threading.Lock()
    finished = threading.Event()

    def work(batch: Batch) -> None:
        with lock:
            done.extend(task.conn_uuid for task in batch.tasks)
            if len(done) == 500:
                finished.set()
        if batch.tasks[0].conn_uuid % 3 == 0:
            raise RuntimeError("a batch fails")

    pool = PoolHarness(work).pool
    for start in range(0, 500, 50):
        submit(pool, [plain_task(n) for n in range(start, start + 50)])
    assert finished.wait(10)
    assert sorted(done) == list(range(500))
    assert pool.stop(5)
    assert pool.outstanding == 0


def all_asleep(pool: ThreadPool) -> bool:
    """Whether all workers sleep, at last."""
    return eventually(lambda: len(pool._asleep) == len(pool._threads), True)


def test_no_worker_is_woken_before_everything_has_been_put() -> None:
    batches: list[list[int]] = []
    finished = threading.Event()

    def work(batch: Batch) -> None:
        batches.append([task.conn_uuid for task in batch.tasks])
        finished.set()

    pool = PoolHarness(work).pool
    assert all_asleep(pool)
    for number in range(3):
        pool.put([plain_task(number)])
    assert not finished.wait(0.05)
    pool.wake_worker()
    assert finished.wait(5)
    assert pool.stop(5)
    assert batches == [[0, 1, 2]]


def test_the_worker_that_fell_asleep_last_is_woken_first() -> None:
    names: list[str] = []
    pool = PoolHarness(lambda _: names.append(threading.current_thread().name)).pool
    for number in range(20):
        assert all_asleep(pool)
        submit(pool, [plain_task(number)])
        assert all_asleep(pool)
    assert pool.stop(5)
    assert len(names) == 20
    assert len(set(names)) == 1


def test_no_wake_up_is_missed_while_workers_wake_up_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dbproxy.work.batch.WAITING_AFTER", 0.0005)  # so they mind the clock all the time
    chance = random.Random(5)
    sleep = WorkerThread.sleep

    def sleep_and_be_woken_too_late(worker: WorkerThread, timeout: float | None) -> bool:
        woken = sleep(worker, timeout)
        if woken and timeout:
            worker.wake()
            return False
        return woken

    monkeypatch.setattr(WorkerThread, "sleep", sleep_and_be_woken_too_late)
    done: set[int] = set()

    def work(batch: Batch) -> None:
        time.sleep(chance.random() / 1000)
        done.update(task.conn_uuid for task in batch.tasks)

    pool = PoolHarness(work, threads=6).pool
    for number in range(1500):
        submit(pool, [plain_task(number, chance.choice((USER_INFO, MSG_DATA)))])
        if chance.random() < 0.3:
            time.sleep(chance.random() / 1000)
    assert eventually(lambda: pool.outstanding, 0, timeout=10) == 0
    assert pool.stop(5)
    assert done == set(range(1500))


def test_batches_that_wait_for_a_backend_do_not_block_the_others() -> None:
    release, quick = threading.Event(), threading.Event()

    def work(batch: Batch) -> None:
        if batch.tasks[0].handler.command is MSG_DATA:
            calls.begin()
            release.wait(10)
            calls.end()
        else:
            quick.set()

    harness = PoolHarness(work)
    calls = harness.calls.backend(MYSQL, str)
    for number in range(2):
        submit(harness.pool, [plain_task(number, MSG_DATA)])
        assert eventually(lambda: harness.pool.waiting()[0], 0) == 0  # each a batch of its own
    submit(harness.pool, [plain_task(9)])
    assert quick.wait(5)
    release.set()
    assert harness.pool.stop(5)


def test_long_lookups_let_others_go_on_between_store_calls() -> None:
    quick, over = threading.Event(), threading.Event()

    def work(batch: Batch) -> None:
        if batch.tasks[0].handler.command is MSG_DATA:
            batch.interruptible = True
            while not over.is_set():
                harness.calls.before_call()
        else:
            quick.set()

    harness = PoolHarness(work)
    for number in range(2):
        submit(harness.pool, [plain_task(number, MSG_DATA)])
        assert eventually(lambda: harness.pool.waiting()[0], 0) == 0
    submit(harness.pool, [plain_task(9)])
    assert quick.wait(5)
    over.set()
    assert harness.pool.stop(5)


def test_after_a_common_wait_only_so_many_batches_go_on_at_a_time() -> None:
    backend = threading.Event()
    computing = Concurrency()

    def work(batch: Batch) -> None:
        batch.interruptible = True
        calls.begin()
        backend.wait(10)
        calls.end()
        with computing:
            time.sleep(0.02)  # so that batches overlap if they may

    harness = PoolHarness(work, threads=8)
    calls = harness.calls.backend(MYSQL, str)
    for number in range(8):
        submit(harness.pool, [plain_task(number, list(COMMANDS.values())[number])])
    assert eventually(lambda: harness.pool.waiting()[0], 0) == 0
    backend.set()
    assert eventually(lambda: harness.pool.outstanding, 0) == 0
    assert harness.pool.stop(5)
    assert computing.most == 2


def test_one_worker_at_a_time_makes_replies_of_a_large_result() -> None:
    making_replies = Concurrency()

    def work(batch: Batch) -> None:
        batch.interruptible = True
        harness.calls.large_result()
        harness.calls.large_result()
        with making_replies:
            time.sleep(0.001)

    harness = PoolHarness(work, threads=8)
    for number in range(20):
        submit(harness.pool, [plain_task(number, list(COMMANDS.values())[number])])
    assert eventually(lambda: harness.pool.outstanding, 0) == 0
    assert harness.pool.stop(5)
    assert making_replies.most == 1


def test_a_lookup_is_given_up_at_its_deadline() -> None:
    raised: list[Exception] = []

    def work(batch: Batch) -> None:
        batch.interruptible, batch.deadline = True, time.monotonic() - 1
        for call in (harness.calls.before_call, harness.calls.large_result):
            try:
                call()
            except DeadlineError as error:
                raised.append(error)

    harness = PoolHarness(work)
    submit(harness.pool, [plain_task(1)])
    assert eventually(lambda: len(raised), 2) == 2
    assert harness.pool.stop(5)


def test_an_overloaded_pool_says_so_and_tells_when_it_is_drained() -> None:
    release = threading.Event()

    def work(batch: Batch) -> None:
        release.wait(10)

    harness = PoolHarness(work, threads=1, max_waiting=20)
    pool = harness.pool
    submit(pool, [plain_task(n) for n in range(40)])
    assert pool.overloaded
    release.set()
    assert harness.drained.wait(5)
    assert not pool.overloaded
    assert pool.stop(5)


def test_held_requests_are_served_once_the_connection_is_drained() -> None:
    done: list[int] = []
    harness = PoolHarness(lambda batch: done.extend(task.conn_uuid for task in batch.tasks))
    harness.responses.keep(1, 2000)
    submit(harness.pool, [plain_task(1), plain_task(2)])
    assert eventually(lambda: done, [2]) == [2]
    assert harness.drained.wait(5)  # the reactor is woken, or it might have looked just before
    assert (harness.pool.outstanding, set(harness.pool.held_memory())) == (1, {1})
    for kept in (2000, 600):
        harness.responses.keep(1, kept)
        harness.pool.release_drained()
        assert harness.pool.held_bytes > 0
    harness.responses.keep(1, 500)
    harness.pool.release_drained()
    harness.pool.wake_worker()
    assert eventually(lambda: done, [2, 1]) == [2, 1]
    assert harness.pool.stop(5)
    assert harness.pool.held_bytes == 0


@pytest.mark.parametrize("max_waiting", [1, 1000])
def test_the_reactor_is_woken_when_all_that_waited_is_held(max_waiting: int) -> None:
    done: list[int] = []
    harness = PoolHarness(lambda batch: done.extend(task.conn_uuid for task in batch.tasks), max_waiting=max_waiting)
    harness.responses.keep(1, 2000)
    submit(harness.pool, [plain_task(1)])
    assert harness.drained.wait(5)  # the connection may have been drained before its request was held
    harness.responses.keep(1, 0)
    harness.pool.release_drained()
    harness.pool.wake_worker()
    assert eventually(lambda: done, [1]) == [1]
    assert harness.pool.stop(5)


def test_waiting_for_peers_to_read_does_not_count_against_a_lookup() -> None:
    deadlines: list[float] = []

    def work(batch: Batch) -> None:
        batch.interruptible, batch.deadline = True, time.monotonic() + 60
        before = batch.deadline
        harness.calls.large_result()
        deadlines.append(batch.deadline - before)

    harness = PoolHarness(work)
    harness.responses.keep(9, 400_000)
    submit(harness.pool, [plain_task(1)])
    assert eventually(lambda: harness.responses._room_wanted, 1) == 1
    harness.responses.keep(9, 0)
    assert eventually(lambda: len(deadlines), 1) == 1
    assert deadlines[0] > 0
    assert harness.pool.stop(5)


def test_the_overload_is_over_when_all_that_waits_is_held() -> None:
    harness = PoolHarness(lambda batch: None, max_waiting=20)
    harness.responses.keep(1, 2000)
    harness.pool.put([plain_task(1) for _ in range(30)])
    assert harness.pool.overloaded
    harness.pool.wake_worker()
    assert eventually(lambda: harness.pool.overloaded, False) is False
    assert harness.drained.wait(5)
    assert harness.pool.waiting()[0] == 0
    harness.responses.keep(1, 0)
    harness.pool.release_drained()
    harness.pool.wake_worker()
    assert eventually(lambda: harness.pool.outstanding, 0) == 0
    assert eventually(lambda: harness.pool.overloaded, False) is False
    assert harness.pool.stop(5)


def test_a_pool_that_takes_nothing_begins_no_batch_and_finishes_what_it_has_begun() -> None:
    begun, go_on = threading.Event(), threading.Event()
    done: list[int] = []

    def work(batch: Batch) -> None:
        begun.set()
        go_on.wait(10)
        done.extend(task.conn_uuid for task in batch.tasks)

    harness = PoolHarness(work)
    submit(harness.pool, [plain_task(1)])
    assert begun.wait(10)
    harness.pool.stop_taking()
    submit(harness.pool, [plain_task(2)])
    assert harness.pool.batches_at_work == 1
    go_on.set()
    assert eventually(lambda: harness.pool.batches_at_work, 0) == 0
    assert done == [1]
    tasks = harness.pool.take_back()
    assert [task.conn_uuid for task in tasks] == [2]
    submit(harness.pool, tasks)
    harness.pool.start_taking()
    assert eventually(lambda: done, [1, 2]) == [1, 2]
    assert harness.pool.stop(10)


def test_a_pool_grows_and_shrinks_while_it_works() -> None:
    at_work = threading.Semaphore(0)
    go_on = threading.Event()

    def work(_: Batch) -> None:
        at_work.release()
        go_on.wait(10)

    def workers() -> int:
        return sum(
            isinstance(thread, WorkerThread) and thread.is_alive() and thread.name.startswith("worker") for thread in threading.enumerate()
        )

    before = workers()
    harness = PoolHarness(work, threads=1)
    harness.pool.configure(QueueLimits(max_batch=1, max_active=8), max_waiting=1000, max_waiting_bytes=1 << 20)
    submit(harness.pool, [plain_task(uuid) for uuid in range(6)])
    assert at_work.acquire(timeout=10)
    assert not at_work.acquire(timeout=0.1)
    harness.pool.resize(6)
    assert workers() - before == 6
    for _ in range(5):
        harness.pool.wake_worker()
        assert at_work.acquire(timeout=10)
    harness.pool.resize(2)
    go_on.set()
    assert eventually(lambda: workers() - before, 2) == 2
    submit(harness.pool, [plain_task(7)])
    assert at_work.acquire(timeout=10)
    assert eventually(lambda: harness.pool.outstanding, 0) == 0
    harness.pool.resize(1)
    assert eventually(lambda: workers() - before, 1) == 1
    assert harness.pool.stop(10)
    assert workers() == before


def test_two_who_stop_a_pool_from_taking_have_to_start_it_both() -> None:
    done: list[int] = []
    harness = PoolHarness(lambda batch: done.extend(task.conn_uuid for task in batch.tasks))
    harness.pool.stop_taking()
    harness.pool.stop_taking()
    submit(harness.pool, [plain_task(1)])
    harness.pool.start_taking()
    assert harness.pool.waiting()[0] == 1
    harness.pool.start_taking()
    assert eventually(lambda: done, [1]) == [1]
    assert harness.pool.stop(10)
