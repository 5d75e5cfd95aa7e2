"""The comparison itself: a replay that overlooks something would make every recording agree."""

from __future__ import annotations

from dbproxy.conformance.comparison import differences, raw, shown_message, shown_pdu, with_now
from dbproxy.conformance.replay import fill
from dbproxy.testing import Pdu
from dbproxy.testing.observe import changes, text
from dbproxy.wire.pb import base_define_pb2, buddy_pb2, message_pb2


def test_differences_are_found_at_any_depth() -> None:
    expected = {"replies": [{"fields": {"a": 1, "list": [1, 2]}}], "redis": {"k": "1", "any": "@any", "gone": "2"}}
    found = {"replies": [{"fields": {"a": 2, "list": [1]}}], "redis": {"k": "1", "new": "3"}}
    assert differences(expected, expected) == []
    assert differences(expected, found) == [
        '/redis/gone: missing "2"',
        '/redis/new: unexpected "3"',
        "/replies[0]/fields/a: expected 1, found 2",
        "/replies[0]/fields/list: expected [1, 2], found [1]",
    ]


def test_any_accepts_anything_and_nothing() -> None:
    assert differences({"mysql": "@any", "redis": "@any"}, {"mysql": {"T": 1}}) == []


def test_only_times_around_the_step_are_now() -> None:
    value = {"created": 100, "text": "101", "list": [99, 103], "old": 98, "name": "x100"}
    assert with_now(value, 99, 102) == {"created": "@now", "text": "@now", "list": ["@now", 103], "old": 98, "name": "x100"}


def test_bytes_are_shown_and_read_back() -> None:
    for value in ("早安".encode(), b"\xff\x00", b"hex:12", b""):
        assert raw(text(value)) == value
    assert text(b"\xff\x00") == "hex:ff00"


def test_messages_are_filled_and_shown() -> None:
    fields = {"user_id": 1, "total_cnt": 2, "attach_data": "hex:ff", "unreadinfo_list": [{"session_id": 3, "latest_msg_data": ""}]}
    message = fill(message_pb2.IMUnreadMsgCntRsp(), fields)
    assert message.attach_data == b"\xff"  # type: ignore[attr-defined]
    assert shown_message(message) == fields


def test_a_body_with_its_fields_in_another_order_is_not_canonical() -> None:
    shown = [
        shown_pdu(Pdu(20, 1, 0, base_define_pb2.SID_MSG, base_define_pb2.CID_MSG_UNREAD_CNT_RESPONSE, 7, 0, body))
        for body in (b"\x08\x01\x10\x00", b"\x10\x00\x08\x01")
    ]
    assert shown[0]["fields"] == shown[1]["fields"] == {"user_id": 1, "total_cnt": 0}
    assert (shown[0]["canonical"], shown[1]["canonical"]) == (True, False)


def test_changes_are_rows_and_keys_that_are_new_differ_or_are_gone() -> None:
    before = ({"A": {1: {"id": 1, "x": 1}, 2: {"id": 2, "x": 2}}, "B": {}}, {"same": "1", "other": "2", "lost": "3"})
    after = ({"A": {1: {"id": 1, "x": 5}, 3: {"id": 3, "x": 3}}, "B": {}}, {"same": "1", "other": {"f": "2"}, "last_update_group": "9"})
    assert changes(before, after) == {
        "mysql": {"A": {"rows": [{"id": 1, "x": 5}, {"id": 3, "x": 3}], "deleted": [2]}},
        "redis": {"other": {"f": "2"}, "@deleted": ["lost"]},
    }


def test_replies_without_their_fields_differ_and_do_not_end_the_run() -> None:
    body = buddy_pb2.IMRecentContactSessionRsp(user_id=1)
    body.contact_session_list.add(session_id=2, session_type=1)
    body.contact_session_list.add(session_type=1)
    command = base_define_pb2.CID_BUDDY_LIST_RECENT_CONTACT_SESSION_RESPONSE
    shown = shown_pdu(Pdu(20, 1, 0, base_define_pb2.SID_BUDDY_LIST, command, 7, 0, body.SerializePartialToString()))
    assert [session.get("session_id") for session in shown["fields"]["contact_session_list"]] == [None, 2]
    assert with_now({"a": "²", "b": "9" * 5000}, 1, 2) == {"a": "²", "b": "9" * 5000}
