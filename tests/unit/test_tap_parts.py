"""The parts of dbproxy-tap that do no I/O, and the comparison of messages."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from dbproxy.tap.boundaries import Boundaries
from dbproxy.tap.pdus import Conversations, Notice, TappedPdu, first_field
from dbproxy.tap.records import Event, Record, Unpacker, pack
from dbproxy.tap.selection import Criteria, Selection
from dbproxy.wire.compare import differences
from dbproxy.wire.pb import base_define_pb2 as base
from dbproxy.wire.pb import buddy_pb2 as buddy
from dbproxy.wire.pb import message_pb2 as message
from dbproxy.wire.pb import server_pb2 as server
from dbproxy.wire.pdu import pack_pdu
from dbproxy.wire.pdu_kinds import PDU_KINDS

BODIES = st.lists(st.binary(max_size=40), min_size=1, max_size=12)


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in itertools.pairwise(edges)]


@given(BODIES, st.lists(st.integers(0, 1000), max_size=12))
def test_boundaries_are_where_pdus_begin(bodies: Sequence[bytes], places: Sequence[int]) -> None:
    pdus = [pack_pdu(7, 0x0701, 1, body) for body in bodies]
    begins = {0}
    for pdu in pdus:
        begins.add(max(begins) + len(pdu))
    boundaries, position = Boundaries(), 0
    for part in cut(b"".join(pdus), places):
        found = boundaries.feed(part)
        within = [begin - position for begin in begins if position <= begin <= position + len(part)]
        if found is not None:
            assert found in within
            assert found == min(within)
        else:
            # one that begins at the end of this part is found in the next one, unless this part ends it
            assert all(begin == len(part) or begin == 0 for begin in within)
        position += len(part)
    assert boundaries.pdus == len(pdus)
    assert not boundaries.broken


def test_a_stream_that_is_no_protocol_has_no_boundaries() -> None:
    boundaries = Boundaries()
    assert boundaries.feed(b"GET / HTTP/1.1\r\n") == 0  # a very long PDU, as far as can be seen
    broken = Boundaries()
    assert broken.feed(b"\0\0\0\x01") == 0
    assert broken.broken
    assert broken.feed(pack_pdu(7, 0x0701, 1, b"")) is None


@given(st.lists(st.tuples(st.sampled_from(Event), st.binary(max_size=50)), max_size=10), st.lists(st.integers(0, 1000), max_size=12))
def test_records_survive_any_cut(items: Sequence[tuple[Event, bytes]], places: Sequence[int]) -> None:
    records = [Record(float(number), number, event, data) for number, (event, data) in enumerate(items)]
    stream = b"".join(pack(record.time, record.connection, record.event, record.data) for record in records)
    unpacker = Unpacker()
    assert [record for part in cut(stream, places) for record in unpacker.feed(part)] == records


def passed(*steps: tuple[float, Event, bytes]) -> list[TappedPdu | Notice]:
    conversations = Conversations()
    records = [Record(0.0, 1, Event.OPENED, b"127.0.0.1:5"), *(Record(time, 1, event, data) for time, event, data in steps)]
    return [item for record in records for item in conversations.take(record)]


def pdu(command_id: int, seq_num: int = 1, body: bytes = b"") -> bytes:
    kind = PDU_KINDS[command_id]
    return pack_pdu(kind.service_id, command_id, seq_num, body)


def test_an_answer_has_the_time_since_its_request() -> None:
    items = passed(
        (1.0, Event.FROM_CLIENT, pdu(base.CID_BUDDY_LIST_ALL_USER_REQUEST, 7) + pdu(base.CID_BUDDY_LIST_ALL_USER_REQUEST, 8)),
        (1.5, Event.FROM_SERVER, pdu(base.CID_BUDDY_LIST_ALL_USER_RESPONSE, 8)),
        (1.7, Event.FROM_SERVER, pdu(base.CID_BUDDY_LIST_ALL_USER_RESPONSE, 7) + pdu(base.CID_BUDDY_LIST_ALL_USER_RESPONSE, 7)),
    )
    answers = [(item.pdu.seq_num, item.answers, item.latency) for item in items if isinstance(item, TappedPdu) and item.sender == "server"]
    assert answers == [(8, 2, 0.5), (7, 1, 1.7 - 1.0), (7, None, None)]


def test_a_message_is_answered_by_its_copy_or_by_an_acknowledgement() -> None:
    for answer in (base.CID_MSG_DATA, base.CID_MSG_DATA_ACK):
        items = passed(
            (1.0, Event.FROM_CLIENT, pdu(base.CID_MSG_DATA, 3)),
            (2.0, Event.FROM_SERVER, pdu(answer, 3)),
            (3.0, Event.FROM_SERVER, pdu(base.CID_MSG_DATA, 3)),
        )
        assert [item.answers for item in items if isinstance(item, TappedPdu)] == [None, 1, None]


def test_requests_with_the_same_number_are_answered_each_by_its_user() -> None:
    """A message server passes the seq_nums of its clients on."""

    def unread(user: int) -> bytes:
        return pdu(base.CID_MSG_UNREAD_CNT_REQUEST, 7, message.IMUnreadMsgCntReq(user_id=user).SerializeToString())

    def answer(user: int) -> bytes:
        return pdu(base.CID_MSG_UNREAD_CNT_RESPONSE, 7, message.IMUnreadMsgCntRsp(user_id=user, total_cnt=0).SerializeToString())

    def tokens(*users: int) -> bytes:
        return pdu(base.CID_OTHER_GET_DEVICE_TOKEN_REQ, 7, server.IMGetDeviceTokenReq(user_id=users).SerializeToString())

    asked = unread(1) + unread(300) + unread(2) + tokens(1) + tokens(2)
    answers = (answer(300), answer(2), answer(1), pdu(base.CID_OTHER_GET_DEVICE_TOKEN_RSP, 7), pdu(base.CID_OTHER_GET_DEVICE_TOKEN_RSP, 7))
    items = passed((1.0, Event.FROM_CLIENT, asked), *((2.0, Event.FROM_SERVER, one) for one in answers))
    assert [item.answers for item in items if isinstance(item, TappedPdu) and item.sender == "server"] == [2, 3, 1, 4, 5]


def test_a_message_that_a_server_sends_of_its_own_accord_is_no_request() -> None:
    items = passed(
        (1.0, Event.FROM_SERVER, pdu(base.CID_MSG_DATA, 7)),
        (2.0, Event.FROM_CLIENT, pdu(base.CID_MSG_DATA, 7)),
        (3.0, Event.FROM_SERVER, pdu(base.CID_MSG_DATA, 7)),
    )
    assert [item.answers for item in items if isinstance(item, TappedPdu)] == [None, None, 2]


@given(st.integers(0, 2**32 - 1), st.text(max_size=100))
def test_the_first_field_is_the_user_or_the_name(user: int, name: str) -> None:
    request, reply = message.IMUnreadMsgCntReq(user_id=user), message.IMUnreadMsgCntRsp(user_id=user, total_cnt=5)
    assert first_field(request.SerializeToString()) == first_field(reply.SerializeToString()) != b""
    login = server.IMValidateReq(user_name=name, password="x")
    first = first_field(login.SerializeToString())
    assert first == first_field(server.IMValidateRsp(user_name=name, result_code=0).SerializeToString())
    assert first_field(b"") == first_field(b"\x10\x01") == b""


def test_a_server_may_ask_its_client() -> None:
    items = passed(
        (1.0, Event.FROM_SERVER, pdu(base.CID_OTHER_PUSH_TO_USER_REQ, 3)),
        (1.25, Event.FROM_CLIENT, pdu(base.CID_OTHER_PUSH_TO_USER_RSP, 3)),
    )
    assert [item.latency for item in items if isinstance(item, TappedPdu)] == [None, 0.25]


def test_after_a_loss_the_stream_goes_on_with_a_whole_pdu() -> None:
    whole = pdu(base.CID_BUDDY_LIST_ALL_USER_REQUEST, 9)
    items = passed((1.0, Event.FROM_CLIENT, whole[:10]), (2.0, Event.LOST_OF_CLIENT, b"17"), (3.0, Event.FROM_CLIENT, whole))
    assert [item.text for item in items[1:] if isinstance(item, Notice)] == [
        "17 PDUs of the client are not shown, because showing was too slow"
    ]
    assert [item.pdu.seq_num for item in items if isinstance(item, TappedPdu)] == [9]


def test_something_else_than_the_protocol_is_said_once() -> None:
    items = passed((1.0, Event.FROM_CLIENT, b"\0\0\0\1" + b"x" * 20), (2.0, Event.FROM_CLIENT, b"more"))
    assert len(items) == 2
    assert "not TeamTalk's protocol" in str(items[1])


def selected(criteria: Criteria, *items: TappedPdu | Notice) -> list[int]:
    selection = Selection(criteria)
    return [item.number for item in items if isinstance(item, TappedPdu) and selection.takes(item)[1]]


def test_answers_are_selected_with_their_requests() -> None:
    ask = buddy.IMAllUserReq(user_id=5, latest_update_time=0).SerializeToString()
    items = passed(
        (1.0, Event.FROM_CLIENT, pdu(base.CID_BUDDY_LIST_ALL_USER_REQUEST, 7, ask)),
        (1.1, Event.FROM_CLIENT, pdu(base.CID_MSG_UNREAD_CNT_REQUEST, 8, message.IMUnreadMsgCntReq(user_id=6).SerializeToString())),
        (1.2, Event.FROM_CLIENT, pdu(base.CID_OTHER_HEARTBEAT, 0)),
        (2.0, Event.FROM_SERVER, pdu(base.CID_BUDDY_LIST_ALL_USER_RESPONSE, 7)),
        (2.0, Event.FROM_SERVER, pdu(base.CID_MSG_UNREAD_CNT_RESPONSE, 8)),
    )
    assert selected(Criteria(), *items) == [1, 2, 4, 5]
    assert selected(Criteria(heartbeats=True), *items) == [1, 2, 3, 4, 5]
    assert selected(Criteria(user=5), *items) == [1, 4]
    assert selected(Criteria(command_ids=frozenset({base.CID_MSG_UNREAD_CNT_REQUEST})), *items) == [2, 5]
    assert selected(Criteria(slower=0.95), *items) == [4]
    assert selected(Criteria(connection=2), *items) == []


def test_messages_are_compared_field_by_field() -> None:
    def users(*ids: int, time: int = 5) -> bytes:
        info = [base.UserInfo(
            user_id=one, user_gender=1, user_nick_name=f"n{one}", avatar_url="", department_id=1, email="", user_real_name="", user_tel="",
            user_domain="", status=0,
        ) for one in ids]  # fmt: skip
        return buddy.IMAllUserRsp(user_id=1, latest_update_time=time, user_list=info).SerializeToString()

    def compared(first: bytes, second: bytes, *ignored: str, contents: bool = True) -> list[str]:
        return [str(one) for one in differences(buddy.IMAllUserRsp, first, second, ignored, contents=contents)]

    assert compared(users(1, 2), users(1, 2)) == []
    assert compared(users(1, 2, time=6), users(1, 2)) == ["latest_update_time: expected 6, found 5"]
    assert compared(users(1, 2, time=6), users(1, 2), "latest_update_time") == []
    assert compared(users(1, 2), users(1, 30)) == [
        "user_list[1].user_id: expected 2, found 30", "user_list[1].user_nick_name: expected n2, found n30",
    ]  # fmt: skip
    assert compared(users(1), users(1, 30), contents=False)[0].startswith("user_list[1]: expected absent, found {'user_id': 30")
    assert compared(users(1, 2), users(1, 30), contents=False)[1] == "user_list[1].user_nick_name: expected <2 bytes>, found <3 bytes>"
    assert "does not parse" in compared(users(1), b"\xff")[0]
