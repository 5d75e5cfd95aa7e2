"""What is shown of a body, what is never shown of it, and whose it is."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

import dbproxy.wire.pb
from dbproxy.wire.commands import COMMANDS
from dbproxy.wire.decode import HIDDEN, MAX_DECODED, MAX_ITEMS, SECRET_FIELDS, decode, names_users, users_of
from dbproxy.wire.pb import base_define_pb2 as base
from dbproxy.wire.pb import buddy_pb2, group_pb2, message_pb2, other_pb2, server_pb2

TEXT = message_pb2.IMMsgData(
    from_user_id=1,
    to_session_id=2,
    msg_id=0,
    create_time=3,
    msg_type=base.MSG_TYPE_SINGLE_TEXT,
    msg_data="héllo".encode(),
    attach_data=b"\xff",
)


def every_message() -> Iterator[Descriptor]:
    for module in pkgutil.iter_modules(dbproxy.wire.pb.__path__):
        file = importlib.import_module(f"dbproxy.wire.pb.{module.name}").DESCRIPTOR
        yield from file.message_types_by_name.values()


def fields(message: Message, *, contents: bool = False) -> object:
    return decode(type(message), message.SerializeToString(), contents=contents)["fields"]


def test_numbers_and_enums_are_shown_and_texts_only_as_their_length() -> None:
    shown = decode(message_pb2.IMMsgData, TEXT.SerializeToString(), contents=False)
    assert (shown["message"], shown["bytes"]) == ("IMMsgData", TEXT.ByteSize())
    assert shown["fields"] == {
        "from_user_id": 1, "to_session_id": 2, "msg_id": 0, "create_time": 3,
        "msg_type": "MSG_TYPE_SINGLE_TEXT", "msg_data": "<6 bytes>", "attach_data": "<1 bytes>",
    }  # fmt: skip


def test_contents_are_text_or_hexadecimal_digits() -> None:
    shown = fields(TEXT, contents=True)
    assert isinstance(shown, dict)
    assert (shown["msg_data"], shown["attach_data"]) == ("héllo", "0xff")


def test_long_texts_and_bytes_are_cut() -> None:
    message = message_pb2.IMMsgData()
    message.CopyFrom(TEXT)
    message.msg_data, message.attach_data = b"x" * 501, b"\xff" * 65
    shown = fields(message, contents=True)
    assert isinstance(shown, dict)
    assert shown["msg_data"] == "x" * 500 + "... (501 characters)"
    assert shown["attach_data"] == "0x" + "ff" * 64 + "... (65 bytes)"


@pytest.mark.parametrize("contents", [False, True])
def test_a_password_and_a_token_are_never_shown(contents: bool) -> None:
    login = server_pb2.IMValidateReq(user_name="alice", password="5f4dcc3b")
    tokens = server_pb2.IMGetDeviceTokenRsp()
    tokens.user_token_info.add(user_id=1, user_type=base.CLIENT_TYPE_IOS, token="ios:abcdef", push_count=1, push_type=1)
    for message in (login, tokens):
        shown = str(fields(message, contents=contents))
        assert HIDDEN in shown
        assert "5f4dcc3b" not in shown
        assert "abcdef" not in shown


def test_no_field_of_the_protocol_that_is_called_a_password_or_a_token_is_missing_in_the_table() -> None:
    texts = (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES)
    suspects = {
        field.name
        for message in every_message()
        for field in message.fields
        if field.type in texts and any(word in field.name for word in ("pass", "pwd", "token", "secret"))
    }
    assert suspects == SECRET_FIELDS


def test_a_long_list_shows_its_beginning_and_its_length() -> None:
    shown = fields(buddy_pb2.IMUsersInfoReq(user_id=1, user_id_list=range(100)))
    assert isinstance(shown, dict)
    assert shown["user_id_list"] == [*range(MAX_ITEMS), "... and 80 more"]


def test_messages_in_messages_are_shown_with_their_names() -> None:
    reply = server_pb2.IMGroupGetShieldRsp(group_id=5)
    reply.shield_status_list.add(user_id=1, group_id=5, shield_status=0)
    assert fields(reply) == {"group_id": 5, "shield_status_list": [{"user_id": 1, "group_id": 5, "shield_status": 0}]}


@pytest.mark.parametrize(
    ("body", "problem"),
    [(b"\xff", "does not parse"), (b"", "lacks from_user_id, to_session_id"), (b"x" * (MAX_DECODED + 1), "longer than")],
)
def test_a_body_that_cannot_be_used_says_why(body: bytes, problem: str) -> None:
    shown = decode(message_pb2.IMMsgData, body, contents=True)
    assert shown["problem"].startswith(problem)
    assert shown["bytes"] == len(body)


def test_users_are_senders_receivers_and_those_whom_it_is_about() -> None:
    assert set(users_of(TEXT)) == {1, 2}
    to_group = message_pb2.IMMsgData()
    to_group.CopyFrom(TEXT)
    to_group.msg_type = base.MSG_TYPE_GROUP_TEXT
    assert set(users_of(to_group)) == {1}
    assert set(users_of(buddy_pb2.IMUsersInfoReq(user_id=1, user_id_list=[7, 8]))) == {1, 7, 8}
    assert set(users_of(server_pb2.IMGetDeviceTokenReq(user_id=[3, 4]))) == {3, 4}
    assert set(users_of(group_pb2.IMGroupCreateReq(user_id=1, member_id_list=[5]))) == {1, 5}
    ack = message_pb2.IMMsgDataReadAck(user_id=1, session_id=2, msg_id=1, session_type=base.SESSION_TYPE_SINGLE)
    assert set(users_of(ack)) == {1, 2}
    ack.session_type = base.SESSION_TYPE_GROUP
    assert set(users_of(ack)) == {1}


def test_of_a_login_only_the_reply_says_whose_it_is() -> None:
    reply = server_pb2.IMValidateRsp(user_name="alice", result_code=0)
    assert set(users_of(reply)) == set()
    reply.user_info.user_id = 9
    assert set(users_of(reply)) == {9}
    assert [command.name for command in COMMANDS.values() if not names_users(command.request)] == ["CID_OTHER_VALIDATE_REQ"]
    assert not names_users(other_pb2.IMHeartBeat)
