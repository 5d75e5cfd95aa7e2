"""Dispatching requests and answering runs."""

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
from dbproxy.work.answering import Answering
from dbproxy.work.dispatcher import Dispatcher
from dbproxy.work.handler_map import Answer, FollowUp, Handler, HandlerMap
from dbproxy.work.proxy_task import ProxyTask
from dbproxy.work.response_deque import ResponseDeque


class Desk:
    """Answers tasks and keeps what was posted and resubmitted."""

    def __init__(self, timeout: float = 10) -> None:
        self.rings = 0
        self.responses = ResponseDeque(self._ring)
        self.resubmitted: list[ProxyTask] = []
        self.answer = Answering(self.responses, self.resubmitted.extend, timeout)

    def _ring(self) -> None:
        self.rings += 1

    def run(self, tasks: Sequence[ProxyTask]) -> dict[int, Message]:
        self.answer(tasks)
        replies: dict[int, Message] = {}
        for uuid, response in self.responses.drain():
            assert isinstance(response, bytes)
            reply = next(task for task in tasks if task.conn_uuid == uuid).handler.command.reply
            assert reply is not None
            replies[uuid] = reply.FromString(response[HEADER_LENGTH:])
        return replies


def user_task(uuid: int, handler: Handler, attach: bytes | None = None, age: float = 0) -> ProxyTask:
    request = buddy_pb2.IMUsersInfoReq(user_id=uuid, attach_data=attach)
    return ProxyTask(handler, uuid, "peer", uuid, request.SerializeToString(), time.monotonic() - age)


def echo(requests: Sequence[Any]) -> list[Answer]:
    return [buddy_pb2.IMUsersInfoRsp(user_id=request.user_id) for request in requests]


def test_a_run_is_answered_with_one_call_and_one_ring() -> None:
    calls: list[int] = []

    def answer(requests: Sequence[Any]) -> list[Answer]:
        calls.append(len(requests))
        return echo(requests)

    desk = Desk()
    handler = Handler(USER_INFO, answer)
    replies = desk.run([user_task(n, handler, attach=b"%d" % n) for n in range(1, 6)])
    assert calls == [5]
    assert desk.rings == 1
    assert {uuid: (reply.user_id, reply.attach_data) for uuid, reply in replies.items()} == {  # type: ignore[attr-defined]
        n: (n, b"%d" % n) for n in range(1, 6)
    }


def test_attach_data_is_set_in_the_reply_even_when_the_request_has_none() -> None:
    desk = Desk()
    reply = desk.run([user_task(1, Handler(USER_INFO, echo))])[1]
    assert reply.HasField("attach_data")


def test_a_body_that_does_not_parse_gets_silence_and_spoils_nobody() -> None:
    desk = Desk()
    handler = Handler(USER_INFO, echo)
    bad = ProxyTask(handler, 2, "peer", 2, b"\xff\xff", time.monotonic())
    assert set(desk.run([user_task(1, handler), bad, user_task(3, handler)])) == {1, 3}


def test_bodies_that_cannot_be_used_are_logged_together(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk()
    handler = Handler(USER_INFO, echo)
    bodies = [b"\xff\xff", b"", b"\x08\x01", b"\xff"]
    desk.run([ProxyTask(handler, uuid, "peer", uuid, body, time.monotonic()) for uuid, body in enumerate(bodies)])
    (line,) = caplog.messages
    assert line.startswith("body does not parse: CID_BUDDY_LIST_USER_INFO_REQUEST [peer=peer uuid=0 seq=0] (and 2 more")


def test_pdus_of_unknown_commands_are_logged_together_and_heartbeats_not_at_all(caplog: pytest.LogCaptureFixture) -> None:
    submitted: list[ProxyTask] = []
    dispatcher = Dispatcher(HandlerMap([Handler(USER_INFO, echo)]), submitted.extend)
    commands = [0x7777, HEARTBEAT_COMMAND_ID, USER_INFO.command_id, 0x7778, 0x7777]
    dispatcher.dispatch(5, "peer", [ImPdu(3, command_id, 1, b"") for command_id in commands])
    assert len(submitted) == 1
    assert caplog.messages == ["unknown command 0x7777 ignored (and 2 more) [peer=peer uuid=5]"]


def test_an_unreadable_login_is_answered() -> None:
    desk = Desk()
    handler = Handler(VALIDATE, echo, unreadable=lambda: server_pb2.IMValidateRsp(user_name="", result_code=2))
    task = ProxyTask(handler, 1, "peer", 1, b"\x0a\x05alice", time.monotonic())
    assert desk.run([task])[1].result_code == 2  # type: ignore[attr-defined]


def refusing(error: Exception, calls: list[int]) -> Callable[[Sequence[Any]], list[Answer]]:
    def answer(requests: Sequence[Any]) -> list[Answer]:
        calls.append(len(requests))
        if len(requests) > 1 or requests[0].user_id == 2:
            raise error
        return echo(requests)

    return answer


def test_one_bad_look_up_does_not_spoil_those_beside_it() -> None:
    calls: list[int] = []
    desk = Desk()
    handler = Handler(USER_INFO, refusing(StatementError(1064, "no"), calls), only_reads=True)
    assert set(desk.run([user_task(n, handler) for n in (1, 2, 3)])) == {1, 3}
    assert calls == [3, 1, 1, 1]


def test_a_dead_backend_is_not_asked_once_per_request() -> None:
    calls: list[int] = []
    desk = Desk()
    handler = Handler(USER_INFO, refusing(StoreUnavailableError("gone"), calls), only_reads=True)
    assert desk.run([user_task(n, handler) for n in (1, 2, 3)]) == {}
    assert calls == [3]


def message_task(uuid: int, handler: Handler, age: float = 0) -> ProxyTask:
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

    desk = Desk()
    handler = Handler(MSG_DATA, broken, refuse=no_msg_id, copies_attach_data=False)
    assert desk.run([message_task(1, handler)])[1].msg_id == 0  # type: ignore[attr-defined]


def test_a_request_that_waited_too_long_is_refused_without_asking_the_handler() -> None:
    calls: list[int] = []

    def answer(requests: Sequence[Any]) -> list[Answer]:
        calls.append(len(requests))
        return list(requests)

    desk = Desk(timeout=5)
    handler = Handler(MSG_DATA, answer, refuse=no_msg_id, copies_attach_data=False)
    replies = desk.run([message_task(1, handler, age=6), message_task(2, handler)])
    assert {uuid: reply.msg_id for uuid, reply in replies.items()} == {1: 0, 2: 7}  # type: ignore[attr-defined]
    assert calls == [1]


def test_a_follow_up_is_done_later_in_its_lane() -> None:
    desk = Desk()

    def answer(requests: Sequence[Any]) -> list[Answer]:
        with_sounds, without = buddy_pb2.IMUsersInfoRsp(user_id=42), buddy_pb2.IMUsersInfoRsp(user_id=43)
        return [FollowUp("slow", lambda: with_sounds, lambda: without) for _ in requests]

    handler = Handler(USER_INFO, answer)
    assert desk.run([user_task(1, handler)]) == {}
    (later,) = desk.resubmitted
    assert later.lane == "slow"
    assert desk.run([later])[1].user_id == 42  # type: ignore[attr-defined]


def test_one_by_one_handlers_succeed_and_fail_each_for_itself() -> None:
    calls: list[int] = []
    desk = Desk()
    handler = Handler(USER_INFO, refusing(StoreUnavailableError("gone"), calls), one_by_one=True)
    assert set(desk.run([user_task(n, handler) for n in (1, 2, 3)])) == {1, 3}
    assert calls == [1, 1, 1]
