"""What is counted of requests, and which of them are slow."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from dbproxy.errors import StatementError
from dbproxy.wire.commands import MSG_READ_ACK, USER_INFO, Command
from dbproxy.wire.pb import base_define_pb2, buddy_pb2, message_pb2
from dbproxy.wire.pdu import ImPdu
from dbproxy.work.batch import MYSQL, REDIS, Batch
from dbproxy.work.batch_executor import BatchExecutor
from dbproxy.work.dispatcher import Dispatcher
from dbproxy.work.handler_map import Answer, FollowUp, Handler, HandlerMap, Routing
from dbproxy.work.proxy_task import ProxyTask
from dbproxy.work.request_stats import SECONDS_BOUNDS, CommandStats, Histogram, RequestStats
from dbproxy.work.response_deque import NO_LIMIT, ResponseDeque
from dbproxy.work.slow_requests import KEPT, SlowRequests
from dbproxy.work.worker_calls import WorkerCalls

NAME = USER_INFO.name
SINGLE = base_define_pb2.SESSION_TYPE_SINGLE


class Worker:
    """Works off batches as a worker thread does, and records them."""

    def __init__(self, max_connection_bytes: int = NO_LIMIT) -> None:
        self.responses = ResponseDeque(lambda: None, max_connection_bytes, NO_LIMIT)
        self.calls = WorkerCalls(self.responses)
        self.given_back: list[ProxyTask] = []
        give_back = self.given_back.extend
        self._execute = BatchExecutor(self.responses, self.calls, 10, resubmit=give_back, hold=give_back)
        self.slow = SlowRequests()
        self.stats = RequestStats([NAME], self.slow)
        self.recorder = self.stats.recorder()

    def work(self, tasks: Sequence[ProxyTask], began: float | None = None, inside: Callable[[Batch], None] | None = None) -> None:
        batch = Batch(time.monotonic() if began is None else began)
        batch.tasks = list(tasks)
        self.calls.work_for(batch)
        self._execute(batch)
        self.calls.work_for(None)
        if inside is not None:
            inside(batch)
        self.recorder.record(batch, time.monotonic())

    def outcomes(self, command: str = NAME) -> list[int]:
        """Answered, refused, dropped, unreadable."""
        return self.stats.totals().commands[command].outcomes


def task(handler: Handler[Any], body: bytes | None = None, uuid: int = 7, age: float = 0.0) -> ProxyTask:
    if body is None:
        body = buddy_pb2.IMUsersInfoReq(user_id=uuid).SerializeToString()
    return ProxyTask(handler, uuid, "1.2.3.4:5", 1, body, time.monotonic() - age)


def answer(requests: Sequence[Any]) -> list[Answer]:
    return [buddy_pb2.IMUsersInfoRsp(user_id=1) for _ in requests]


def fail(_requests: Sequence[Any]) -> list[Answer]:
    raise StatementError(1064, "no")


ECHO = Handler.lookup(USER_INFO, answer)


def test_answered_requests_of_a_batch_are_counted_with_their_times() -> None:
    worker = Worker()
    worker.work([task(ECHO, age=3.0), task(ECHO, age=0.06), task(ECHO, age=0.06)])
    stats = worker.stats.totals().commands[NAME]
    assert stats.outcomes == [3, 0, 0, 0]
    assert stats.waiting.count == stats.working.count == 3
    assert stats.waiting.sum == pytest.approx(3.12, abs=0.5)
    assert stats.waiting.buckets[SECONDS_BOUNDS.index(5.0)] == 1
    assert sum(stats.waiting.buckets[SECONDS_BOUNDS.index(0.1) :]) == 3
    assert worker.stats.totals().batch_sizes.buckets[2] == 1


def test_requests_that_waited_for_equally_long_are_in_one_bucket() -> None:
    worker = Worker()
    now = time.monotonic()
    tasks = [task(ECHO) for _ in range(5)]
    for one in tasks:
        one.received_at = now - 0.3
    worker.work(tasks, began=now)
    waiting = worker.stats.totals().commands[NAME].waiting
    assert waiting.buckets[SECONDS_BOUNDS.index(0.5)] == 5
    assert waiting.sum == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("handler", "outcomes"),
    [
        (Handler.batch(USER_INFO, fail, refuse=lambda request: buddy_pb2.IMUsersInfoRsp(user_id=request.user_id)), [0, 2, 0, 0]),
        (Handler.batch(USER_INFO, fail), [0, 0, 2, 0]),
        (Handler.lookup(USER_INFO, fail), [0, 0, 2, 0]),
        (Handler.batch(USER_INFO, lambda requests: [None] * len(requests)), [2, 0, 0, 0]),
    ],
    ids=["refused", "no refusal exists", "lookup", "no reply exists"],
)
def test_what_became_of_requests(handler: Handler[Any], outcomes: list[int]) -> None:
    worker = Worker()
    worker.work([task(handler), task(handler)])
    assert worker.outcomes() == outcomes


def test_one_bad_request_of_a_batch_is_unreadable_and_has_no_times() -> None:
    worker = Worker()
    worker.work([task(ECHO), task(ECHO, b"\xff"), task(ECHO)])
    assert worker.outcomes() == [2, 0, 0, 1]
    assert worker.stats.totals().commands[NAME].waiting.count == 2


def test_a_request_that_waited_too_long_is_dropped() -> None:
    worker = Worker()
    worker.work([task(ECHO, age=20), task(ECHO)])
    assert worker.outcomes() == [1, 0, 1, 0]


def test_a_request_with_a_follow_up_counts_once_and_its_first_part_is_work() -> None:
    def with_sound(requests: Sequence[Any]) -> list[Answer]:
        return [FollowUp("audio", work=lambda: answer(requests)[0], without=lambda: answer(requests)[0]) for _ in requests]  # type: ignore[arg-type, return-value]

    worker = Worker()
    one = task(Handler.lookup(USER_INFO, with_sound), age=1.0)
    worker.work([one], began=time.monotonic() - 0.4)
    assert worker.outcomes() == [0, 0, 0, 0]
    assert worker.given_back == [one]
    worker.work([one])
    stats = worker.stats.totals().commands[NAME]
    assert stats.outcomes == [1, 0, 0, 0]
    assert stats.working.sum == pytest.approx(0.4, abs=0.2)
    assert stats.waiting.sum == pytest.approx(0.6, abs=0.2)


def test_requests_that_are_held_do_not_count_yet() -> None:
    worker = Worker(max_connection_bytes=100)
    worker.responses.keep(7, 200)
    worker.work([task(ECHO), task(ECHO, uuid=8)])
    assert [one.conn_uuid for one in worker.given_back] == [7]
    assert worker.outcomes() == [1, 0, 0, 0]


def test_requests_of_a_batch_that_fails_as_a_whole_are_dropped() -> None:
    worker = Worker()
    batch = Batch(time.monotonic())
    batch.tasks = [task(ECHO), task(ECHO)]
    batch.drop_the_rest()
    worker.recorder.record(batch, time.monotonic())
    assert worker.outcomes() == [0, 0, 2, 0]


def test_messages_that_the_dispatcher_cannot_parse_are_unreadable() -> None:
    stats = RequestStats([NAME], SlowRequests())
    routed: Handler[Any] = Handler.batch(USER_INFO, answer, routing=lambda request: Routing("q", None))
    dispatcher = Dispatcher(HandlerMap([routed]), lambda tasks: None, stats.recorder())
    dispatcher.dispatch(1, "peer", [ImPdu(2, USER_INFO.command_id, number, b"\xff") for number in range(3)])
    assert stats.totals().commands[NAME].outcomes == [0, 0, 0, 3]


def test_the_numbers_of_all_threads_are_added_up() -> None:
    stats = RequestStats([NAME], SlowRequests())
    for size in (1, 2):
        batch = Batch(time.monotonic())
        batch.tasks = [task(ECHO)] * size
        batch.uniform = True
        stats.recorder().record(batch, time.monotonic())
    totals = stats.totals()
    assert totals.commands[NAME].outcomes == [3, 0, 0, 0]
    assert totals.batch_sizes.sum == 3


def test_the_numbers_of_a_thread_that_has_ended_stay_and_another_goes_on_with_them() -> None:
    stats = RequestStats([NAME], SlowRequests())
    recorder = stats.recorder()
    recorder.unreadable(NAME)
    stats.release(recorder)
    assert stats.recorder() is recorder
    assert stats.recorder() is not recorder
    assert stats.totals().commands[NAME].outcomes == [0, 0, 0, 1]


def test_a_value_on_a_bound_belongs_to_the_bucket_of_the_bound() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0.0, 1.0, 1.5, 2.0, 99.0):
        histogram.observe(value)
    assert histogram.buckets == [2, 2, 1]
    assert histogram.sum == 103.5


def test_a_command_that_never_occurred_has_numbers_too() -> None:
    assert RequestStats(["never"], SlowRequests()).totals().commands["never"].outcomes == CommandStats().outcomes


class TestSlowRequests:
    def test_a_slow_request_is_logged_with_ids_and_times(self, caplog: pytest.LogCaptureFixture) -> None:
        def inside(batch: Batch) -> None:
            batch.inside[MYSQL], batch.inside[REDIS] = 0.25, 0.125
            batch.longest_call = (lambda call: f"select {call}", "IMUser")

        worker = Worker()
        worker.slow.configure(0.5)
        worker.work([task(ECHO, uuid=9, age=0.8), task(ECHO, age=0.6), task(ECHO)], inside=inside)
        (line,) = [record for record in caplog.records if "was slow" in record.getMessage()]
        assert line.levelno == logging.WARNING
        for part in (
            *(NAME, "waited 0.8", "MySQL 0.250 s", "Redis 0.125 s", "longest: select IMUser", "batch of 3, 1 more"),
            *("user=9", "peer=1.2.3.4:5", "uuid=9"),
        ):
            assert part in line.getMessage()
        (slow,) = worker.slow.last()
        assert (slow.command, slow.user_id, slow.group_id, slow.batch, slow.more) == (NAME, 9, None, 3, 1)
        assert (slow.mysql, slow.redis, slow.statement) == (0.25, 0.125, "select IMUser")

    @pytest.mark.parametrize("seconds", [0, 5])
    def test_below_the_threshold_nothing_is_slow(self, seconds: float, caplog: pytest.LogCaptureFixture) -> None:
        worker = Worker()
        worker.slow.configure(seconds)
        worker.work([task(ECHO, age=2)])
        assert worker.slow.last() == []
        assert caplog.records == []

    def test_held_and_unreadable_requests_are_not_slow(self) -> None:
        worker = Worker(max_connection_bytes=100)
        worker.slow.configure(0.5)
        worker.responses.keep(7, 200)
        worker.work([task(ECHO, age=2), task(ECHO, b"\xff", uuid=8, age=2)])
        assert worker.slow.last() == []

    def test_so_many_are_kept(self) -> None:
        worker = Worker()
        worker.slow.configure(0.001)
        for number in range(KEPT + 5):
            worker.work([task(ECHO, uuid=number, age=1)])
        last = worker.slow.last()
        assert len(last) == KEPT
        assert (last[0].uuid, last[-1].uuid) == (5, KEPT + 4)

    @pytest.mark.parametrize(
        ("command", "request_", "ids"),
        [
            (
                MSG_READ_ACK,
                message_pb2.IMMsgDataReadAck(user_id=1, session_id=2, msg_id=3, session_type=base_define_pb2.SESSION_TYPE_SINGLE),
                (1, None, 2),
            ),
            (USER_INFO, buddy_pb2.IMUsersInfoReq(user_id=4, user_id_list=[5, 6]), (4, None, None)),
        ],
    )
    def test_ids_come_from_the_request(
        self, command: Command[Any, Any], request_: Any, ids: tuple[int | None, int | None, int | None]
    ) -> None:
        worker = Worker()
        worker.slow.configure(0.5)
        handler: Handler[Any] = Handler.batch(command, lambda requests: [None] * len(requests))
        worker.work([task(handler, request_.SerializeToString(), age=1)])
        (slow,) = worker.slow.last()
        assert (slow.user_id, slow.group_id, slow.session_id) == ids
