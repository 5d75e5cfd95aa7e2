"""The worker threads: nothing is lost, nobody sleeps while there is something to do, and few are woken."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence

import pytest

from dbproxy.testing.waiting import eventually
from dbproxy.wire.commands import MSG_DATA, USER_INFO, Command
from dbproxy.work.handler_map import Handler
from dbproxy.work.lanes import Lanes, LaneSettings
from dbproxy.work.proxy_task import ProxyTask
from dbproxy.work.thread_pool import ThreadPool, WorkerThread


def pool_of(work: Callable[[Sequence[ProxyTask]], None], threads: int = 4, max_waiting: int = 1000) -> tuple[ThreadPool, threading.Event]:
    room = threading.Event()
    lanes = Lanes({}, LaneSettings(8, 2), 2)
    pool = ThreadPool(threads, lanes, work, max_waiting=max_waiting, max_waiting_bytes=1 << 20, on_room=room.set)
    return pool, room


def submit(pool: ThreadPool, tasks: Sequence[ProxyTask]) -> None:
    pool.put(tasks)
    pool.call_worker()


def plain_task(number: int, command: Command = USER_INFO) -> ProxyTask:
    return ProxyTask(Handler(command, lambda requests: [None] * len(requests)), number, "peer", 0, b"", time.monotonic())


def test_every_task_is_worked_on_once_also_when_a_run_raises() -> None:
    done: list[int] = []
    lock = threading.Lock()
    finished = threading.Event()

    def work(tasks: Sequence[ProxyTask]) -> None:
        with lock:
            done.extend(task.conn_uuid for task in tasks)
            if len(done) == 500:
                finished.set()
        if tasks[0].conn_uuid % 3 == 0:
            raise RuntimeError("a run fails")

    pool, _ = pool_of(work)
    pool.start()
    for start in range(0, 500, 50):
        submit(pool, [plain_task(n) for n in range(start, start + 50)])
    assert finished.wait(10)
    assert sorted(done) == list(range(500))
    assert pool.stop(5)
    assert pool.outstanding == 0


def all_asleep(pool: ThreadPool) -> bool:
    """Whether all workers sleep, at last."""
    return eventually(lambda: len(pool._asleep) == len(pool._threads), True)


def test_nobody_is_called_before_everything_has_been_put_so_that_it_is_one_run() -> None:
    runs: list[list[int]] = []
    finished = threading.Event()

    def work(tasks: Sequence[ProxyTask]) -> None:
        runs.append([task.conn_uuid for task in tasks])
        finished.set()

    pool, _ = pool_of(work)
    pool.start()
    assert all_asleep(pool)
    for number in range(3):
        pool.put([plain_task(number)])
    assert not finished.wait(0.05)
    pool.call_worker()
    assert finished.wait(5)
    assert pool.stop(5)
    assert runs == [[0, 1, 2]]


def test_the_worker_that_fell_asleep_last_is_called_first() -> None:
    names: list[str] = []
    pool, _ = pool_of(lambda _: names.append(threading.current_thread().name))
    pool.start()
    for number in range(20):
        assert all_asleep(pool)
        submit(pool, [plain_task(number)])
        assert all_asleep(pool)
    assert pool.stop(5)
    assert len(names) == 20
    assert len(set(names)) == 1


def test_no_call_is_missed_while_workers_wake_up_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dbproxy.work.lanes.STALE_AFTER", 0.0005)  # so they mind the clock all the time
    chance = random.Random(5)
    sleep = WorkerThread.sleep

    def sleep_and_be_called_too_late(worker: WorkerThread, timeout: float | None) -> bool:
        called = sleep(worker, timeout)
        if called and timeout:
            worker.call()
            return False
        return called

    monkeypatch.setattr(WorkerThread, "sleep", sleep_and_be_called_too_late)
    done: set[int] = set()

    def work(tasks: Sequence[ProxyTask]) -> None:
        time.sleep(chance.random() / 1000)
        done.update(task.conn_uuid for task in tasks)

    pool, _ = pool_of(work, threads=6)
    pool.start()
    for number in range(1500):
        submit(pool, [plain_task(number, chance.choice((USER_INFO, MSG_DATA)))])
        if chance.random() < 0.3:
            time.sleep(chance.random() / 1000)
    assert eventually(lambda: pool.outstanding, 0, timeout=10) == 0
    assert pool.stop(5)
    assert done == set(range(1500))


def test_stuck_runs_do_not_block_the_others() -> None:
    release, quick = threading.Event(), threading.Event()

    def work(tasks: Sequence[ProxyTask]) -> None:
        if tasks[0].handler.command is MSG_DATA:
            release.wait(10)
        else:
            quick.set()

    pool, _ = pool_of(work)
    pool.start()
    for number in range(2):
        submit(pool, [plain_task(number, MSG_DATA)])
        time.sleep(0.01)  # each a run of its own
    submit(pool, [plain_task(9)])
    assert quick.wait(5)
    release.set()
    assert pool.stop(5)


def test_a_crowded_pool_says_so_and_tells_when_there_is_room_again() -> None:
    release = threading.Event()

    def work(tasks: Sequence[ProxyTask]) -> None:
        release.wait(10)

    pool, room = pool_of(work, threads=1, max_waiting=20)
    pool.start()
    submit(pool, [plain_task(n) for n in range(40)])
    assert pool.crowded
    release.set()
    assert room.wait(5)
    assert not pool.crowded
    assert pool.stop(5)
