"""Text that is not UTF-8, too long, or strange: echoed or refused with a reply, never half stored."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from google.protobuf.message import Message

from dbproxy.testing import Client, Stack, seed
from dbproxy.testing.requests import message
from dbproxy.wire.pb import base_define_pb2, buddy_pb2, file_pb2, group_pb2, login_pb2, server_pb2

Unanswered = Callable[[Client, Message], None]
pytestmark = [pytest.mark.usefixtures("no_defects"), pytest.mark.data(users=["alice", "bob", "carol"])]

NOT_UTF8 = [b"\xff\xfe", b"\xc3", b"\xc0\x80", b"ok\x80ok"]
"""Lonely bytes, half a character, an overlong zero, a continuation without a beginning."""

SURROGATE = b"\xed\xa0\x80"
"""Not UTF-8 either, but MariaDB takes it."""


def with_bytes(request: Message, field: str, text: bytes) -> Message:
    """Set a string field to bytes that a Python string cannot hold, as a C++ peer may send them."""
    number = request.DESCRIPTOR.fields_by_name[field].number
    request.MergeFromString(bytes((number << 3 | 2, len(text))) + text)
    return request


@pytest.mark.parametrize("text", NOT_UTF8)
def test_a_login_with_invalid_utf8_fails_and_returns_the_name(stack: Stack, dbproxy_client: Client, text: bytes) -> None:
    requests = [
        with_bytes(server_pb2.IMValidateReq(password="x"), "user_name", text),
        with_bytes(server_pb2.IMValidateReq(user_name="alice"), "password", text),
    ]
    named, known = dbproxy_client.requests(requests)
    assert (named.result_code, named.user_name) == (1, text)  # type: ignore[attr-defined]
    assert (known.result_code, known.user_name) == (1, "alice")  # type: ignore[attr-defined]
    assert dbproxy_client.login("alice").result_code == 0


@pytest.mark.parametrize("text", NOT_UTF8)
def test_a_group_with_invalid_utf8_is_refused_and_returns_the_name(stack: Stack, dbproxy_client: Client, text: bytes) -> None:
    before = stack.snapshot()
    normal = base_define_pb2.GROUP_TYPE_NORMAL
    named = group_pb2.IMGroupCreateReq(user_id=1, group_type=normal, group_avatar="", member_id_list=[2, 1])
    pictured = group_pb2.IMGroupCreateReq(user_id=1, group_type=normal, group_name="a group", member_id_list=[2, 1])
    requests = [with_bytes(named, "group_name", text), with_bytes(pictured, "group_avatar", text)]
    replies = dbproxy_client.requests(requests)
    for reply, name in zip(replies, (text, "a group"), strict=True):
        assert isinstance(reply, group_pb2.IMGroupCreateRsp)
        assert (reply.result_code, reply.HasField("group_id")) == (1, False)
        assert reply.group_name == name
    assert stack.snapshot() == before


@pytest.mark.parametrize("text", NOT_UTF8)
def test_a_sign_info_of_such_bytes_is_refused_without_an_echo(stack: Stack, dbproxy_client: Client, text: bytes) -> None:
    before = stack.snapshot()
    request = with_bytes(buddy_pb2.IMChangeSignInfoReq(user_id=1), "sign_info", text)
    reply = dbproxy_client.ask(request, buddy_pb2.IMChangeSignInfoRsp)
    assert (reply.result_code, reply.HasField("sign_info")) == (1, False)
    assert stack.snapshot() == before


@pytest.mark.parametrize("text", NOT_UTF8)
def test_a_token_is_kept_byte_by_byte(stack: Stack, dbproxy_client: Client, text: bytes) -> None:
    request = login_pb2.IMDeviceTokenReq(user_id=1, client_type=base_define_pb2.CLIENT_TYPE_IOS)
    dbproxy_client.ask(with_bytes(request, "device_token", text), login_pb2.IMDeviceTokenRsp)
    with stack.redis("token", decode_responses=False) as redis:
        assert redis.get("device_1") == b"ios:" + text
        assert redis.get(b"device_" + text) == b"1"
    (info,) = dbproxy_client.device_tokens([1]).user_token_info
    assert info.token == text  # type: ignore[comparison-overlap]  # protobuf gives such a string as bytes


@pytest.mark.parametrize("token", ["", ":", "a:b:c", "ios:x", "x" * 5000, "签名"])
def test_a_strange_token_comes_back_whole(stack: Stack, dbproxy_client: Client, token: str) -> None:
    dbproxy_client.set_device_token(2, token)
    dbproxy_client.set_device_token(2, token)  # replacing itself
    (info,) = dbproxy_client.device_tokens([2]).user_token_info
    assert (info.token, info.user_type) == (token, base_define_pb2.CLIENT_TYPE_ANDROID)


@pytest.mark.parametrize("text", NOT_UTF8)
def test_offline_files_with_such_names_are_not_stored_and_delete_nothing(
    stack: Stack, dbproxy_client: Client, unanswered: Unanswered, text: bytes
) -> None:
    dbproxy_client.add_offline_file(1, 2, "good")
    dbproxy_client.unread(1)
    add = file_pb2.IMFileAddOfflineReq(from_user_id=1, to_user_id=2, file_size=1, file_name="f")
    unanswered(dbproxy_client, with_bytes(add, "task_id", text))
    unanswered(dbproxy_client, with_bytes(file_pb2.IMFileDelOfflineReq(from_user_id=1, to_user_id=2), "task_id", text))
    assert [info.task_id for info in dbproxy_client.offline_files(2).offline_file_list] == ["good"]


def test_an_offline_file_with_too_long_a_name_is_not_stored(stack: Stack, dbproxy_client: Client, unanswered: Unanswered) -> None:
    too_long = file_pb2.IMFileAddOfflineReq(from_user_id=1, to_user_id=2, task_id="t", file_name="x" * 256, file_size=1)
    unanswered(dbproxy_client, too_long)
    assert not dbproxy_client.offline_files(2).offline_file_list


@pytest.mark.parametrize("text", NOT_UTF8)
@pytest.mark.parametrize("msg_type", [base_define_pb2.MSG_TYPE_SINGLE_TEXT, base_define_pb2.MSG_TYPE_GROUP_TEXT])
def test_a_message_that_is_not_utf8_is_refused_and_comes_back(
    stack: Stack, dbproxy_client: Client, text: bytes, msg_type: base_define_pb2.MsgType
) -> None:
    seed.group(stack, 9, [1, 2])
    before = stack.snapshot()
    (reply,) = dbproxy_client.requests([message(1, 9, text, msg_type=msg_type)])
    assert (reply.msg_id, reply.msg_data) == (0, text)  # type: ignore[attr-defined]
    assert stack.snapshot() == before


@pytest.mark.parametrize("text", ["\U0001f600", "a\u0000b", "\ufffe", "e\u0301", " blanks ", "x" * 4096, "\u202e"])
def test_a_message_of_strange_characters_comes_back_byte_by_byte(stack: Stack, dbproxy_client: Client, text: str) -> None:
    seed.group(stack, 9, [1, 2])
    assert dbproxy_client.send_message(1, 2, text).msg_id == 1
    assert dbproxy_client.send_group_message(1, 9, text).msg_id == 1
    assert dbproxy_client.messages(2, 1).msg_list[0].msg_data == text.encode()
    assert [info.latest_msg_data for info in dbproxy_client.unread(2).unreadinfo_list] == [text.encode()] * 2
    recent = dbproxy_client.recent_sessions(1).contact_session_list
    assert {info.latest_msg_data for info in recent} == {text.encode()}


def test_a_name_with_a_trailing_blank_finds_the_user_as_in_mysql(stack: Stack, dbproxy_client: Client) -> None:
    reply = dbproxy_client.login("alice ")
    assert (reply.result_code, reply.user_name, reply.user_info.user_id) == (0, "alice ", 1)
    assert dbproxy_client.login(" alice").result_code == 1
    assert dbproxy_client.login("alice\t").result_code == 1
    assert dbproxy_client.login("").result_code == 1


def test_names_that_mysql_takes_for_one_in_one_batch_each_get_their_own_echo(stack: Stack, dbproxy_client: Client) -> None:
    password = "e10adc3949ba59abbe56e057f20f883e"
    names = ["alice ", "alice", "bob  ", "ALICE", "alice "]
    replies = dbproxy_client.requests([server_pb2.IMValidateReq(user_name=name, password=password) for name in names])
    got = [(reply.user_name, reply.result_code, reply.user_info.user_id) for reply in replies]  # type: ignore[attr-defined]
    assert got == [("alice ", 0, 1), ("alice", 0, 1), ("bob  ", 0, 2), ("ALICE", 1, 0), ("alice ", 0, 1)]


@pytest.mark.parametrize(
    ("sign_info", "result"),
    [("x" * 128, 0), ("x" * 129, 1), ("签" * 42, 0), ("签" * 43, 1), ("\U0001f600" * 32, 0), ("\U0001f600" * 33, 1), ("", 0)],
)
def test_a_sign_info_is_measured_in_bytes(stack: Stack, dbproxy_client: Client, sign_info: str, result: int) -> None:
    stack.rows("update IMUser set sign_info='before'")
    reply = dbproxy_client.change_sign_info(1, sign_info)
    assert (reply.result_code, reply.sign_info) == (result, "" if result else sign_info)
    shown = dbproxy_client.user_info([1]).user_info_list[0].sign_info
    assert shown == ("before" if result else sign_info)
    with stack.redis("unread") as redis:
        assert redis.exists("total_user_update") == (0 if result else 1)


def test_what_only_mariadb_takes_for_utf8_breaks_no_list(stack: Stack, dbproxy_client: Client) -> None:
    if stack.mariadb.is_mysql:
        pytest.skip("MySQL refuses surrogates; see the next test")
    request = with_bytes(buddy_pb2.IMChangeSignInfoReq(user_id=1), "sign_info", SURROGATE)
    assert dbproxy_client.ask(request, buddy_pb2.IMChangeSignInfoRsp).result_code == 0
    created = group_pb2.IMGroupCreateReq(user_id=1, group_type=base_define_pb2.GROUP_TYPE_NORMAL, group_avatar="", member_id_list=[1])
    group_id = dbproxy_client.ask(with_bytes(created, "group_name", SURROGATE), group_pb2.IMGroupCreateRsp).group_id
    dbproxy_client.send(
        with_bytes(
            file_pb2.IMFileAddOfflineReq(from_user_id=1, to_user_id=2, task_id="t", file_name="f", file_size=1), "file_name", SURROGATE
        )
    )
    dbproxy_client.unread(1)
    odd: bytes = SURROGATE
    assert [user.sign_info for user in dbproxy_client.all_users().user_list] == [odd, "", ""]
    assert [user.sign_info for user in dbproxy_client.user_info([1, 2]).user_info_list] == [odd, ""]
    login = dbproxy_client.login("alice")
    assert (login.result_code, login.user_info.user_real_name) == (0, "alice")
    assert login.user_info.sign_info == odd  # type: ignore[comparison-overlap]
    assert dbproxy_client.group_info({group_id: 0}).group_info_list[0].group_name == odd  # type: ignore[comparison-overlap]
    assert [info.file_name for info in dbproxy_client.offline_files(2).offline_file_list] == [odd]  # type: ignore[comparison-overlap]
    (refused,) = dbproxy_client.requests([message(1, 2, SURROGATE)])
    assert refused.msg_id == 0  # type: ignore[attr-defined]


def test_what_mysql_does_not_take_for_utf8_is_refused_and_leaves_nothing(stack: Stack, dbproxy_client: Client) -> None:
    if not stack.mariadb.is_mysql:
        pytest.skip("MariaDB takes surrogates")
    request = with_bytes(buddy_pb2.IMChangeSignInfoReq(user_id=1), "sign_info", SURROGATE)
    assert dbproxy_client.ask(request, buddy_pb2.IMChangeSignInfoRsp).result_code == 1
    created = group_pb2.IMGroupCreateReq(user_id=1, group_type=base_define_pb2.GROUP_TYPE_NORMAL, group_avatar="", member_id_list=[1])
    assert dbproxy_client.ask(with_bytes(created, "group_name", SURROGATE), group_pb2.IMGroupCreateRsp).result_code == 1
    dbproxy_client.send(
        with_bytes(
            file_pb2.IMFileAddOfflineReq(from_user_id=1, to_user_id=2, task_id="t", file_name="f", file_size=1), "file_name", SURROGATE
        )
    )
    (refused,) = dbproxy_client.requests([message(1, 2, SURROGATE)])
    assert refused.msg_id == 0  # type: ignore[attr-defined]
    assert [user.sign_info for user in dbproxy_client.all_users().user_list] == ["", "", ""]
    assert list(dbproxy_client.offline_files(2).offline_file_list) == []
    assert stack.rows("select * from IMGroup") == stack.rows("select * from IMGroupMember") == []


def test_users_with_zero_bytes_in_their_names_are_listed(stack: Stack, dbproxy_client: Client) -> None:
    stack.rows("update IMUser set nick='al\\0ice', sign_info='\\0\\0' where name='alice'")
    infos = dbproxy_client.request(buddy_pb2.IMUsersInfoReq(user_id=1, user_id_list=[1, 2])).user_info_list  # type: ignore[attr-defined]
    assert [(info.user_nick_name, info.sign_info, info.user_domain) for info in infos] == [
        ("al\0ice", "\0\0", infos[0].user_domain),
        ("Bob", "", infos[1].user_domain),
    ]
    assert len(dbproxy_client.request(buddy_pb2.IMAllUserReq(user_id=1, latest_update_time=0)).user_list) == 3  # type: ignore[attr-defined]
    assert dbproxy_client.login("alice").user_info.user_nick_name == "al\0ice"


def test_columns_of_different_character_sets_are_all_told_as_utf8(stack: Stack, dbproxy_client: Client) -> None:
    definitions = stack.rows("select column_name as name, column_type as type from information_schema.columns where table_name='IMUser'")
    types = {str(row["name"]): str(row["type"]) for row in definitions}
    try:
        for column, charset in (("nick", "gbk"), ("email", "latin1"), ("sign_info", "utf8mb3")):
            stack.rows(f"alter table IMUser modify {column} {types[column]} character set {charset} not null default ''")
        stack.rows("update IMUser set nick='爱丽丝', email='é@example.com', sign_info='你好' where name='alice'")
        info = dbproxy_client.login("alice").user_info
        assert (info.user_nick_name, info.email, info.sign_info) == ("爱丽丝", "é@example.com", "你好")
    finally:
        for column in ("nick", "email", "sign_info"):
            stack.rows(f"alter table IMUser modify {column} {types[column]} character set utf8mb4 collate utf8mb4_bin not null default ''")
