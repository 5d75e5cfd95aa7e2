"""Dispatching requests and answering batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from google.protobuf.message import Message

from dbproxy.errors import StatementError, StoreUnavailableError
from dbproxy.wire.commands import HEARTBEAT_COMMAND_ID, MSG_DATA, USER_INFO, VALIDATE
from dbproxy.wire.pb import base_define_pb2, buddy_pb2, message_pb2, server_pb2
from dbproxy.wire.pdu import HEADER_LENGTH, ImPdu
from dbproxy.work.batch import Batch
from dbproxy.work.batch_executor import MAX_PART_BYTES, BatchExecutor
from dbproxy.work.dispatcher import Dispatcher
from dbproxy.work.handler_map import Answer, FollowUp, Handler, HandlerMap, LazyAnswer
from dbproxy.work.proxy_task import ProxyTask
from dbproxy.work.request_queues import LARGE_BODY
from dbproxy.work.request_stats import RequestRecorder
from dbproxy.work.response_deque import NO_LIMIT, ResponseDeque
from dbproxy.work.slow_requests import SlowRequests
from dbproxy.work.worker_calls import WorkerCalls


class ExecutorHarness:
    """Answers tasks and keeps what was posted, resubmitted and held."""

    def __init__(self, timeout: float = 10, max_connection_bytes: int = NO_LIMIT, max_total_bytes: int = NO_LIMIT) -> None:
        self.wake_ups = 0
        self.responses = ResponseDeque(self._wake, max_connection_bytes, max_total_bytes)
        self.resubmitted: list[ProxyTask] = []
        self.held: list[ProxyTask] = []
        calls = WorkerCalls(self.responses)
        self._execute = BatchExecutor(self.responses, calls, timeout, resubmit=self.resubmitted.extend, hold=self.held.extend)

    def _wake(self) -> None:
        self.wake_ups += 1

    def run(self, tasks: Sequence[ProxyTask]) -> dict[int, Message]:
        """Answer tasks of one batch and return the replies by connection."""
        batch = Batch(time.monotonic())
        batch.tasks = list(tasks)
        batch.body_bytes = sum(len(task.body) for task in tasks)
        self._execute(batch)
        parts: dict[int, bytes] = {}
        for uuid, response in self.responses.drain():
            assert isinstance(response, bytes)
            parts[uuid] = parts.get(uuid, b"") + response
        replies: dict[int, Message] = {}
        for uuid, pdu in parts.items():
            reply = next(task for task in tasks if task.conn_uuid == uuid).handler.command.reply
            assert reply is not None
            assert int.from_bytes(pdu[:4], "big") == len(pdu)
            replies[uuid] = reply.FromString(pdu[HEADER_LENGTH:])
        return replies


def user_task(uuid: int, handler: Handler[Any], attach: bytes | None = None, age: float = 0) -> ProxyTask:
    request = buddy_pb2.IMUsersInfoReq(user_id=uuid, attach_data=attach)
    return ProxyTask(handler, uuid, "peer", uuid, request.SerializeToString(), time.monotonic() - age)


def echo(requests: Sequence[Any]) -> list[Answer]:
    return [buddy_pb2.IMUsersInfoRsp(user_id=request.user_id) for request in requests]


def counting(calls: list[int]) -> Callable[[Sequence[Any]], list[Answer]]:
    """An echo that notes how many requests each call gets."""

    def answer(requests: Sequence[Any]) -> list[Answer]:
        calls.append(len(requests))
        return echo(requests)

    return answer


def test_a_batch_is_answered_with_one_call_and_one_wake_up() -> None:
    calls: list[int] = []
    harness = ExecutorHarness()
    handler = Handler.batch(USER_INFO, counting(calls))
    replies = harness.run([user_task(n, handler, attach=b"%d" % n) for n in range(1, 6)])
    assert calls == [5]
    assert harness.wake_ups == 1
    assert {uuid: (reply.user_id, reply.attach_data) for uuid, reply in replies.items()} == {  # type: ignore[attr-defined]
        n: (n, b"%d" % n) for n in range(1, 6)
    }


def test_attach_data_is_set_in_the_reply_even_when_the_request_has_none() -> None:
    harness = ExecutorHarness()
    reply = harness.run([user_task(1, Handler.batch(USER_INFO, echo))])[1]
    assert reply.HasField("attach_data")


def test_a_body_that_does_not_parse_gets_silence_and_spoils_nobody() -> None:
    harness = ExecutorHarness()
    handler = Handler.batch(USER_INFO, echo)
    bad = ProxyTask(handler, 2, "peer", 2, b"\xff\xff", time.monotonic())
    assert set(harness.run([user_task(1, handler), bad, user_task(3, handler)])) == {1, 3}


def test_bodies_that_cannot_be_used_are_logged_together(caplog: pytest.LogCaptureFixture) -> None:
    harness = ExecutorHarness()
    handler = Handler.batch(USER_INFO, echo)
    bodies = [b"\xff\xff", b"", b"\x08\x01", b"\xff"]
    harness.run([ProxyTask(handler, uuid, "peer", uuid, body, time.monotonic()) for uuid, body in enumerate(bodies)])
    (line,) = caplog.messages
    assert line.startswith("body does not parse: CID_BUDDY_LIST_USER_INFO_REQUEST [peer=peer uuid=0 seq=0] (and 2 more")


def test_unknown_commands_are_logged_together_and_heartbeats_not_at_all(caplog: pytest.LogCaptureFixture) -> None:
    submitted: list[ProxyTask] = []
    dispatcher = Dispatcher(HandlerMap([Handler.batch(USER_INFO, echo)]), submitted.extend, RequestRecorder(SlowRequests()))
    commands = [0x7777, HEARTBEAT_COMMAND_ID, USER_INFO.command_id, 0x7778, 0x7777]
    dispatcher.dispatch(5, "peer", [ImPdu(3, command_id, 1, b"") for command_id in commands])
    assert len(submitted) == 1
    assert caplog.messages == ["unknown command 0x7777 ignored (and 2 more) [peer=peer uuid=5]"]


def test_an_unreadable_login_is_answered() -> None:
    harness = ExecutorHarness()
    handler = Handler.batch(VALIDATE, echo, unreadable=lambda: server_pb2.IMValidateRsp(user_name="", result_code=2))
    task = ProxyTask(handler, 1, "peer", 1, b"\x0a\x05alice", time.monotonic())
    assert harness.run([task])[1].result_code == 2  # type: ignore[attr-defined]


def refusing(error: Exception, calls: list[int]) -> Callable[[Sequence[Any]], list[Answer]]:
    def answer(requests: Sequence[Any]) -> list[Answer]:
        calls.append(len(requests))
        if len(requests) > 1 or requests[0].user_id == 2:
            raise error
        return echo(requests)

    return answer


def test_one_bad_lookup_does_not_spoil_those_beside_it() -> None:
    calls: list[int] = []
    harness = ExecutorHarness()
    handler = Handler.lookup(USER_INFO, refusing(StatementError(1064, "no"), calls))
    assert set(harness.run([user_task(n, handler) for n in (1, 2, 3)])) == {1, 3}
    assert calls == [3, 1, 1, 1]


def test_a_dead_backend_is_not_asked_once_per_request() -> None:
    calls: list[int] = []
    harness = ExecutorHarness()
    handler = Handler.lookup(USER_INFO, refusing(StoreUnavailableError("gone"), calls))
    assert harness.run([user_task(n, handler) for n in (1, 2, 3)]) == {}
    assert calls == [3]


def message_task(uuid: int, handler: Handler[Any], age: float = 0) -> ProxyTask:
    request = message_pb2.IMMsgData(
        from_user_id=1, to_session_id=2, msg_id=7, create_time=1, msg_type=base_define_pb2.MSG_TYPE_SINGLE_TEXT, msg_data=b"x"
    )
    return ProxyTask(handler, uuid, "peer", uuid, request.SerializeToString(), time.monotonic() - age)


def no_msg_id(request: message_pb2.IMMsgData) -> Message:
    request.msg_id = 0
    return request


def test_what_the_handler_cannot_do_is_refused_where_there_is_a_refusal() -> None:
    def broken(requests: Sequence[Any]) -> list[Answer]:
        raise ValueError("a defect")

    harness = ExecutorHarness()
    handler = Handler.batch(MSG_DATA, broken, refuse=no_msg_id, copies_attach_data=False)
    assert harness.run([message_task(1, handler)])[1].msg_id == 0  # type: ignore[attr-defined]


def test_a_request_that_waited_too_long_is_refused_without_its_handler() -> None:
    calls: list[int] = []

    def answer(requests: Sequence[Any]) -> list[Answer]:
        calls.append(len(requests))
        return list(requests)

    harness = ExecutorHarness(timeout=5)
    handler = Handler.batch(MSG_DATA, answer, refuse=no_msg_id, copies_attach_data=False)
    replies = harness.run([message_task(1, handler, age=6), message_task(2, handler)])
    assert {uuid: reply.msg_id for uuid, reply in replies.items()} == {1: 0, 2: 7}  # type: ignore[attr-defined]
    assert calls == [1]


def test_a_follow_up_is_done_later_from_its_queue() -> None:
    harness = ExecutorHarness()

    def answer(requests: Sequence[Any]) -> list[Answer]:
        with_sounds, without = buddy_pb2.IMUsersInfoRsp(user_id=42), buddy_pb2.IMUsersInfoRsp(user_id=43)
        return [FollowUp("slow", lambda: with_sounds, lambda: without) for _ in requests]

    handler = Handler.batch(USER_INFO, answer)
    assert harness.run([user_task(1, handler)]) == {}
    (later,) = harness.resubmitted
    assert later.queue == "slow"
    assert harness.run([later])[1].user_id == 42  # type: ignore[attr-defined]


def test_unbatched_handlers_succeed_and_fail_each_for_itself() -> None:
    calls: list[int] = []
    harness = ExecutorHarness()
    answer = refusing(StoreUnavailableError("gone"), calls)
    handler = Handler.each(USER_INFO, lambda request: answer([request])[0])
    assert set(harness.run([user_task(n, handler) for n in (1, 2, 3)])) == {1, 3}
    assert calls == [1, 1, 1]


def test_long_lists_of_ids_are_answered_in_parts() -> None:
    calls: list[int] = []
    harness = ExecutorHarness()
    handler = Handler.lookup(USER_INFO, counting(calls))
    tasks = []
    for uuid in range(1, 7):
        request = buddy_pb2.IMUsersInfoReq(user_id=uuid, user_id_list=range(1, MAX_PART_BYTES // 6))  # two bytes each
        tasks.append(ProxyTask(handler, uuid, "peer", uuid, request.SerializeToString(), time.monotonic()))
    assert set(harness.run(tasks)) == {1, 2, 3, 4, 5, 6}
    assert len(calls) > 1
    assert sum(calls) == 6


def test_what_asks_for_many_rows_is_answered_in_parts() -> None:
    calls: list[int] = []
    harness = ExecutorHarness()
    handler = Handler.lookup(USER_INFO, counting(calls), rows=lambda request: 900)
    assert len(harness.run([user_task(n, handler) for n in range(1, 6)])) == 5
    assert calls == [2, 2, 1]


def test_a_reply_in_parts_arrives_as_one_pdu() -> None:
    def answer(requests: Sequence[Any]) -> list[LazyAnswer]:
        body = buddy_pb2.IMUsersInfoRsp(user_id=5).SerializePartialToString()
        return [lambda: [body[:1], body[1:]] for _ in requests]

    harness = ExecutorHarness()
    for size in (3, 1 << 20):
        reply = harness.run([user_task(1, Handler.lookup(USER_INFO, answer), attach=b"x" * size)])[1]
        assert reply == buddy_pb2.IMUsersInfoRsp(user_id=5, attach_data=b"x" * size)


def long_replies(requests: Sequence[Any]) -> list[LazyAnswer]:
    return [lambda request=request: buddy_pb2.IMUsersInfoRsp(user_id=request.user_id, attach_data=b"x") for request in requests]  # type: ignore[misc]


def test_lookups_of_a_blocked_connection_are_held_and_others_answered() -> None:
    harness = ExecutorHarness(max_connection_bytes=1000)
    handler = Handler.lookup(USER_INFO, long_replies)
    harness.responses.keep(1, 2000)
    tasks = [user_task(1, handler), user_task(2, handler), user_task(1, handler)]
    assert set(harness.run(tasks)) == {2}
    assert harness.held == [tasks[0], tasks[2]]


def test_replies_made_by_the_batch_itself_can_block_a_connection() -> None:
    def answer(requests: Sequence[Any]) -> list[LazyAnswer]:
        return [lambda: [buddy_pb2.IMUsersInfoRsp(user_id=1, attach_data=b"x" * 300_000).SerializeToString()] for _ in requests]

    harness = ExecutorHarness(max_connection_bytes=1_000_000)
    tasks = [user_task(1, Handler.lookup(USER_INFO, answer)) for _ in range(10)]
    batch = Batch(time.monotonic())
    batch.tasks = tasks
    harness._execute(batch)
    assert harness.held == tasks[4:]


def test_what_writes_is_never_held() -> None:
    harness = ExecutorHarness(max_connection_bytes=1000)
    harness.responses.keep(1, 2000)
    assert set(harness.run([user_task(1, Handler.batch(USER_INFO, echo))])) == {1}
    assert harness.held == []


def test_a_reply_that_cannot_be_made_spoils_no_other() -> None:
    def answer(requests: Sequence[Any]) -> list[LazyAnswer]:
        def make(number: int) -> Answer:
            if number == 2:
                raise StatementError(1064, "no")
            return buddy_pb2.IMUsersInfoRsp(user_id=number)

        return [lambda number=request.user_id: make(number) for request in requests]  # type: ignore[misc]

    harness = ExecutorHarness()
    handler = Handler.lookup(USER_INFO, answer)
    assert set(harness.run([user_task(n, handler) for n in (1, 2, 3)])) == {1, 3}


def test_after_a_backend_has_failed_no_further_reply_of_the_batch_asks_it() -> None:
    made: list[int] = []

    def answer(requests: Sequence[Any]) -> list[LazyAnswer]:
        def make(number: int) -> Answer:
            made.append(number)
            if number == 2:
                raise StoreUnavailableError("gone")
            return buddy_pb2.IMUsersInfoRsp(user_id=number)

        return [lambda number=request.user_id: make(number) for request in requests]  # type: ignore[misc]

    harness = ExecutorHarness()
    handler = Handler.lookup(USER_INFO, answer)
    assert set(harness.run([user_task(n, handler) for n in (1, 2, 3, 4)])) == {1}
    assert made == [1, 2]


def test_a_batch_that_writes_is_not_executed_again_after_a_failure() -> None:
    calls: list[int] = []
    harness = ExecutorHarness()
    handler = Handler.batch(USER_INFO, refusing(StatementError(1064, "no"), calls))
    assert harness.run([user_task(n, handler) for n in (1, 2, 3)]) == {}
    assert calls == [3]


def test_a_slow_answer_is_posted_before_those_behind_it_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dbproxy.work.batch_executor.SLOW_ANSWER", 0)
    posted_before: list[bool] = []

    def answer(request: buddy_pb2.IMUsersInfoReq) -> Answer:
        posted_before.append(not harness.responses.is_empty)
        return buddy_pb2.IMUsersInfoRsp(user_id=request.user_id)

    harness = ExecutorHarness()
    handler = Handler.each(USER_INFO, answer)
    assert set(harness.run([user_task(n, handler) for n in (1, 2, 3)])) == {1, 2, 3}
    assert posted_before == [False, True, True]


def test_large_requests_wait_in_a_queue_of_their_own() -> None:
    submitted: list[ProxyTask] = []
    handler = Handler.lookup(USER_INFO, echo)
    dispatcher = Dispatcher(HandlerMap([handler]), submitted.extend, RequestRecorder(SlowRequests()))
    dispatcher.dispatch(5, "peer", [ImPdu(2, USER_INFO.command_id, 1, b"x" * size) for size in (10, LARGE_BODY + 1)])
    assert [task.queue for task in submitted] == [handler.queue, handler.large_queue]
    assert HandlerMap([handler]).queue_settings[handler.large_queue].parallel == 1


def test_a_large_reply_waits_until_there_is_room() -> None:
    def answer(requests: Sequence[Any]) -> list[LazyAnswer]:
        return [lambda: [buddy_pb2.IMUsersInfoRsp(user_id=1, attach_data=b"x" * 2_000_000).SerializeToString()] for _ in requests]

    harness = ExecutorHarness(max_total_bytes=1_000_000)
    harness.responses.keep(9, 4_000_000)
    task = user_task(1, Handler.lookup(USER_INFO, answer))
    assert harness.run([task]) == {}
    assert harness.held == [task]
    assert not harness.responses.is_drained(1)
    harness.responses.keep(9, 0)
    assert harness.responses.is_drained(1)
    assert set(harness.run([task])) == {1}
