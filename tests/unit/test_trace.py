"""Traces: what matches, what is kept, what is counted instead; and that workers do nothing while nobody traces."""

from __future__ import annotations

import time
from typing import Any

import pytest
from google.protobuf.message import Message

from dbproxy.errors import ControlRefusedError
from dbproxy.ops.trace import MAX_QUEUED, MAX_QUEUED_BYTES, MAX_TRACES, Trace, TraceFilter, Traces
from dbproxy.wire.commands import MSG_DATA, USER_INFO, VALIDATE, Command
from dbproxy.wire.decode import MAX_DECODED
from dbproxy.wire.pb import buddy_pb2, server_pb2
from dbproxy.work.batch import GIVEN_BACK, REFUSED, Batch
from dbproxy.work.handler_map import Handler
from dbproxy.work.proxy_task import ProxyTask
from dbproxy.work.tracing import Tracing


def task_of(command: Command[Any, Any], request: Message, peer: str = "10.1.2.3:4567") -> ProxyTask:
    handler: Handler[Any] = Handler.each(command, lambda request: None)
    task = ProxyTask(handler, 5, peer, 9, request.SerializePartialToString(), time.monotonic() - 2)
    task.request = request
    return task


def users(user_id: int, *ids: int) -> ProxyTask:
    return task_of(USER_INFO, buddy_pb2.IMUsersInfoReq(user_id=user_id, user_id_list=ids))


def done(*tasks: ProxyTask) -> Batch:
    batch = Batch(time.monotonic() - 1)
    batch.tasks.extend(tasks)
    batch.inside = [0.25, 0.125, 0.0]
    return batch


@pytest.mark.parametrize(
    ("wanted", "matches"),
    [
        (TraceFilter(), True),
        (TraceFilter(user=1), True),
        (TraceFilter(user=7), True),
        (TraceFilter(user=2), False),
        (TraceFilter(peer="10.1.2.3"), True),
        (TraceFilter(peer="10.1.2.3:4567"), True),
        (TraceFilter(peer="10.1.2.3:456"), False),
        (TraceFilter(peer="10.1.2"), False),
        (TraceFilter(command_id=USER_INFO.command_id), True),
        (TraceFilter(command_id=MSG_DATA.command_id), False),
        (TraceFilter(user=1, peer="10.9.9.9"), False),
    ],
)
def test_a_request_matches_if_all_of_it_does(wanted: TraceFilter, matches: bool) -> None:
    assert wanted.matches(users(1, 7)) is matches


def test_an_ipv6_peer_is_found_by_its_address() -> None:
    task = task_of(USER_INFO, buddy_pb2.IMUsersInfoReq(user_id=1), peer="::1:4567")
    assert TraceFilter(peer="::1").matches(task)
    assert TraceFilter(peer="::1:4567").matches(task)


def test_a_body_that_was_not_parsed_is_of_no_user() -> None:
    task = users(1)
    task.request = None
    assert TraceFilter().matches(task) is True
    assert TraceFilter(user=1).matches(task) is False


def test_what_became_of_each_request_and_its_times_are_told() -> None:
    traces, trace = Traces(Tracing()), Trace(TraceFilter(), contents=False)
    answered, refused, lost, held = users(1), users(2), users(3), users(4)
    batch = done(answered, refused, lost, held)
    batch.note(refused, REFUSED)
    batch.note(held, GIVEN_BACK)
    reply = buddy_pb2.IMUsersInfoRsp(user_id=1).SerializeToString()
    traces.add(trace)
    traces.record(batch, {answered: (reply,), refused: (reply[:1], reply[1:])})
    items = trace.take(10)
    assert [item["outcome"] for item in items] == ["answered", "refused", "dropped"]
    assert [item["reply"] and item["reply"]["fields"] for item in items] == [{"user_id": 1}, {"user_id": 1}, None]
    first = items[0]
    assert (first["batch"], first["mysql"], first["redis"], first["file_server"]) == (4, 0.25, 0.125, 0.0)
    assert 1 <= first["waited"] < 2 <= first["waited"] + first["worked"] + 1
    assert (first["uuid"], first["seq_num"]) == (5, 9)


def test_a_login_is_of_the_user_whom_its_reply_names() -> None:
    traces, mine, others = Traces(Tracing()), Trace(TraceFilter(user=9), contents=False), Trace(TraceFilter(user=8), contents=False)
    login = task_of(VALIDATE, server_pb2.IMValidateReq(user_name="alice", password="x"))
    reply = server_pb2.IMValidateRsp(user_name="alice", result_code=0)
    reply.user_info.user_id = 9
    for trace in (mine, others):
        traces.add(trace)
    traces.record(done(login), {login: (reply.SerializePartialToString(),)})
    assert len(mine.take(10)) == 1
    assert others.take(10) == []
    assert (mine.shown, others.shown) == (1, 0)


def test_the_queue_is_bounded_in_requests_and_what_finds_no_room_is_counted() -> None:
    traces, trace = Traces(Tracing()), Trace(TraceFilter(), contents=False)
    traces.add(trace)
    traces.record(done(*(users(1) for _ in range(MAX_QUEUED + 5))), {})
    assert trace.dropped == 5
    assert len(trace.take(MAX_QUEUED + 5)) == MAX_QUEUED
    assert not trace.waiting


def test_the_queue_is_bounded_in_bytes_and_long_bodies_are_not_kept() -> None:
    traces, trace = Traces(Tracing()), Trace(TraceFilter(), contents=False)
    traces.add(trace)
    task = users(1)
    traces.record(done(task), {task: (b"x" * MAX_DECODED, b"y")})
    (item,) = trace.take(10)
    assert item["reply"] == {"message": "IMUsersInfoRsp", "bytes": MAX_DECODED + 1, "problem": f"longer than {MAX_DECODED} bytes"}
    count = MAX_QUEUED_BYTES // MAX_DECODED
    for _ in range(count + 3):
        task = users(1)
        traces.record(done(task), {task: (b"x" * (MAX_DECODED - len(task.body)),)})
    assert trace.dropped == 3
    assert len(trace.take(100)) == count
    task = users(1)
    traces.record(done(task), {})
    assert len(trace.take(10)) == 1  # room again


def test_workers_know_of_traces_only_while_there_are_any() -> None:
    tracing = Tracing()
    traces = Traces(tracing)
    active = [Trace(TraceFilter(), contents=False) for _ in range(MAX_TRACES)]
    assert tracing.tracer is None
    for trace in active:
        traces.add(trace)
    assert tracing.tracer is traces
    with pytest.raises(ControlRefusedError, match="4 traces are active already"):
        traces.add(Trace(TraceFilter(), contents=False))
    for trace in active:
        traces.remove(trace)
    assert tracing.tracer is None
