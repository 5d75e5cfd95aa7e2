"""Empty lists, ids that do not exist, user 0, things nobody has: every command that is answered answers, and the others stay silent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.message import Message

from dbproxy.testing import Client, Stack, seed
from dbproxy.testing.requests import GROUP, SINGLE, message
from dbproxy.wire.commands import COMMANDS, Command
from dbproxy.wire.pb import base_define_pb2, buddy_pb2, group_pb2, message_pb2, server_pb2

Unanswered = Callable[[Client, Message], None]
pytestmark = [pytest.mark.usefixtures("no_defects"), pytest.mark.data(users=["alice", "bob", "carol"], groups={9: [1, 2]})]

NOBODY = 4_294_967_295
GHOST_GROUP = 4_294_967_295


def test_empty_lists_get_empty_replies(stack: Stack, dbproxy_client: Client) -> None:
    client = dbproxy_client
    assert not client.user_info([]).user_info_list
    assert not client.device_tokens([]).user_token_info
    assert not client.messages_by_id(1, 2, []).msg_list
    assert not client.messages_by_id(1, 9, [], GROUP).msg_list
    assert not client.group_info({}).group_info_list
    assert not client.group_shield(9, []).shield_status_list


def test_empty_lists_beside_full_ones_in_one_batch_are_told_apart(stack: Stack, dbproxy_client: Client) -> None:
    dbproxy_client.send_message(1, 2, "hello")
    dbproxy_client.send_group_message(1, 9, "hello all")
    lists = [[], [1], [], [1, 1], [0], [NOBODY], [2, 1]]
    by_id = [message_pb2.IMGetMsgByIdReq(user_id=1, session_type=SINGLE, session_id=2, msg_id_list=ids) for ids in lists]
    by_id += [message_pb2.IMGetMsgByIdReq(user_id=2, session_type=GROUP, session_id=9, msg_id_list=ids) for ids in lists]
    found = [len(reply.msg_list) for reply in dbproxy_client.requests(by_id)]  # type: ignore[attr-defined]
    assert found == [0, 1, 0, 1, 0, 0, 1] * 2
    users = [buddy_pb2.IMUsersInfoReq(user_id=1, user_id_list=ids) for ids in lists]
    shown = [[info.user_id for info in reply.user_info_list] for reply in dbproxy_client.requests(users)]  # type: ignore[attr-defined]
    assert shown == [[], [1], [], [1], [], [], [1, 2]]
    shields = [server_pb2.IMGroupGetShieldReq(group_id=9, user_id=ids) for ids in lists]
    muted = [len(reply.shield_status_list) for reply in dbproxy_client.requests(shields)]  # type: ignore[attr-defined]
    assert muted == [len(ids) for ids in lists]


@pytest.mark.parametrize("user_id", [0, 3, NOBODY])
def test_who_has_nothing_gets_nothing(stack: Stack, dbproxy_client: Client, user_id: int) -> None:
    client = dbproxy_client
    before = stack.snapshot()
    assert not client.recent_sessions(user_id).contact_session_list
    assert client.unread(user_id).total_cnt == 0
    assert not client.normal_groups(user_id).group_version_list
    assert not client.offline_files(user_id).offline_file_list
    assert not client.device_tokens([user_id]).user_token_info
    assert not client.messages(user_id, 2).msg_list
    assert not client.messages(user_id, 9, GROUP).msg_list
    assert not client.messages_by_id(user_id, 9, [1], GROUP).msg_list
    assert client.latest_msg_id(user_id, 2).latest_msg_id == 0
    assert client.remove_session(user_id, 2).result_code == 1
    assert client.remove_session(user_id, 9, GROUP).result_code == 1
    assert client.shield_group(user_id, 9).result_code == 1
    client.read_ack(user_id, 2)
    client.delete_offline_file(user_id, 2, "no such task")
    assert client.unread(user_id).total_cnt == 0
    assert stack.snapshot() == before


@pytest.mark.parametrize("user_id", [0, NOBODY])
def test_a_user_who_does_not_exist_changes_nothing(stack: Stack, dbproxy_client: Client, user_id: int) -> None:
    before = stack.snapshot()
    sign_info = dbproxy_client.change_sign_info(user_id, "anything")
    assert (sign_info.result_code, sign_info.HasField("sign_info")) == (1, False)
    assert dbproxy_client.set_push_shield(user_id).result_code == 1
    query = dbproxy_client.push_shield(user_id)
    assert (query.result_code, query.HasField("shield_status")) == (1, False)
    assert stack.snapshot() == before


def test_a_push_shield_that_the_column_cannot_hold_is_refused(stack: Stack, dbproxy_client: Client) -> None:
    reply = dbproxy_client.set_push_shield(1, 4_000_000_000)
    assert (reply.result_code, reply.HasField("shield_status")) == (1, False)
    assert dbproxy_client.push_shield(1).shield_status == 0


def test_requests_about_an_unknown_group_are_unanswered_as_in_the_original(
    stack: Stack, dbproxy_client: Client, unanswered: Unanswered
) -> None:
    before = stack.snapshot()
    add = base_define_pb2.GROUP_MODIFY_TYPE_ADD
    unanswered(dbproxy_client, group_pb2.IMGroupChangeMemberReq(user_id=0, change_type=add, group_id=GHOST_GROUP, member_id_list=[1]))
    unanswered(dbproxy_client, group_pb2.IMGroupShieldReq(user_id=1, group_id=GHOST_GROUP, shield_status=1))
    unanswered(dbproxy_client, server_pb2.IMGroupGetShieldReq(group_id=GHOST_GROUP, user_id=[1]))
    unanswered(dbproxy_client, message(1, GHOST_GROUP, msg_type=base_define_pb2.MSG_TYPE_GROUP_TEXT))
    assert not dbproxy_client.group_info({GHOST_GROUP: 0}).group_info_list
    assert dbproxy_client.latest_msg_id(1, GHOST_GROUP, GROUP).latest_msg_id == 0
    assert stack.snapshot() == before


@pytest.mark.parametrize("sender", [0, 3])
def test_a_group_message_of_a_non_member_gets_no_reply_and_is_not_stored(
    stack: Stack, dbproxy_client: Client, unanswered: Unanswered, sender: int
) -> None:
    before = stack.snapshot()
    unanswered(dbproxy_client, message(sender, 9, msg_type=base_define_pb2.MSG_TYPE_GROUP_TEXT))
    assert stack.snapshot() == before


@pytest.mark.parametrize("msg_type", [base_define_pb2.MSG_TYPE_SINGLE_TEXT, base_define_pb2.MSG_TYPE_GROUP_TEXT])
def test_an_empty_message_gets_no_reply_and_leaves_nothing(
    stack: Stack, dbproxy_client: Client, unanswered: Unanswered, msg_type: base_define_pb2.MsgType
) -> None:
    before = stack.snapshot()
    unanswered(dbproxy_client, message(1, 9, b"", msg_type=msg_type))
    assert stack.snapshot() == before


@pytest.mark.parametrize("value", [0, 3, 16, 19, 200])
def test_a_message_of_an_unknown_type_gets_no_reply(stack: Stack, dbproxy_client: Client, unanswered: Unanswered, value: int) -> None:
    request = message_pb2.IMMsgData(from_user_id=1, to_session_id=2, msg_id=0, create_time=1, msg_data=b"x")
    field = message_pb2.IMMsgData.DESCRIPTOR.fields_by_name["msg_type"]
    request.MergeFromString(bytes((field.number << 3,)) + (bytes((value,)) if value < 128 else bytes((value & 0x7F | 0x80, value >> 7))))
    unanswered(dbproxy_client, request)
    assert stack.rows("select count(*) as n from IMRelationShip") == [{"n": 0}]


def test_an_unknown_kind_of_change_gets_no_reply(stack: Stack, dbproxy_client: Client, unanswered: Unanswered) -> None:
    request = group_pb2.IMGroupChangeMemberReq(user_id=1, group_id=9, member_id_list=[3])
    number = request.DESCRIPTOR.fields_by_name["change_type"].number
    request.MergeFromString(bytes((number << 3, 5)))
    unanswered(dbproxy_client, request)
    assert stack.rows("select version from IMGroup") == [{"version": 1}]


def test_a_session_type_beside_the_two_gets_no_reply(stack: Stack, dbproxy_client: Client, unanswered: Unanswered) -> None:
    for request in (
        message_pb2.IMGetMsgListReq(user_id=1, session_id=2, msg_id_begin=0, msg_cnt=5),
        message_pb2.IMGetMsgByIdReq(user_id=1, session_id=2, msg_id_list=[1]),
        message_pb2.IMGetLatestMsgIdReq(user_id=1, session_id=2),
        message_pb2.IMMsgDataReadAck(user_id=1, session_id=2, msg_id=1),
        buddy_pb2.IMRemoveSessionReq(user_id=1, session_id=2),
    ):
        number = request.DESCRIPTOR.fields_by_name["session_type"].number
        request.MergeFromString(bytes((number << 3, 3)))
        unanswered(dbproxy_client, request)


def test_the_system_may_change_every_group_and_others_only_their_own(stack: Stack, dbproxy_client: Client) -> None:
    seed.group(stack, 10, [1], type=2)
    assert dbproxy_client.add_members(3, 9, [3]).result_code == 1
    assert dbproxy_client.remove_members(2, 9, [1]).result_code == 1
    assert dbproxy_client.add_members(0, 9, [3]).result_code == 0
    assert dbproxy_client.add_members(3, 10, [3]).result_code == 0
    assert dbproxy_client.remove_members(3, 10, [3]).result_code == 1
    assert dbproxy_client.add_members(1, 9, [1, 2, 3]).result_code == 1  # all of them are in it


def test_removing_somebody_who_is_not_in_the_group_is_a_change(stack: Stack, dbproxy_client: Client) -> None:
    reply = dbproxy_client.remove_members(1, 9, [3, NOBODY, 3])
    assert (reply.result_code, list(reply.cur_user_id_list), list(reply.chg_user_id_list)) == (0, [1, 2], [3, NOBODY])
    assert stack.rows("select version,userCnt from IMGroup") == [{"version": 2, "userCnt": 2}]


def test_the_last_member_may_leave(stack: Stack, dbproxy_client: Client, unanswered: Unanswered) -> None:
    reply = dbproxy_client.remove_members(1, 9, [1, 2])
    assert (reply.result_code, list(reply.cur_user_id_list), list(reply.chg_user_id_list)) == (0, [], [1, 2])
    assert not dbproxy_client.group_info({9: 0}).group_info_list
    unanswered(dbproxy_client, message(1, 9, msg_type=base_define_pb2.MSG_TYPE_GROUP_TEXT))


def test_a_message_list_from_an_id_downwards_or_past_the_end(stack: Stack, dbproxy_client: Client) -> None:
    for number in range(1, 6):
        dbproxy_client.send_message(1, 2, f"m{number}", create_time=100 + number)

    def ids(begin: int, count: int) -> list[int]:
        return [info.msg_id for info in dbproxy_client.messages(2, 1, msg_id_begin=begin, msg_cnt=count).msg_list]

    assert ids(0, 2) == [5, 4]
    assert ids(3, 2) == [3, 2]
    assert ids(NOBODY, NOBODY) == [5, 4, 3, 2, 1]
    assert ids(1, 100) == [1]
    assert ids(3, 0) == []


GIVEN = {"session_id": 2, "to_session_id": 2, "group_id": 9, "msg_data": b"x"}
"""What a least request needs so that it is answered; every other required field is 1, its first value or "x"."""


def least(kind: type[Message], attach_data: bytes) -> Message:
    """A request with the required fields only."""
    request = kind()
    for name in request.FindInitializationErrors():  # type: ignore[attr-defined]
        field = kind.DESCRIPTOR.fields_by_name[name]
        if field.enum_type is not None:
            value: object = field.enum_type.values[0].number
        else:
            value = GIVEN.get(name, "x" if field.type == field.TYPE_STRING else 1)
        setattr(request, name, value)
    request.attach_data = attach_data  # type: ignore[attr-defined]
    return request


ANSWERED = [command for command in COMMANDS.values() if command.reply is not None]


@pytest.mark.parametrize("command", ANSWERED, ids=lambda command: command.name)
def test_every_answered_command_copies_attach_data_and_seq_num(stack: Stack, dbproxy_client: Client, command: Command[Any, Any]) -> None:
    for number, attach_data in ((1, b"\x00\xff"), (65_535, b""), (0, b"x" * 5000)):
        reply = dbproxy_client.request(least(command.request, attach_data), seq_num=number)
        assert reply.HasField("attach_data")
        assert reply.attach_data == attach_data  # type: ignore[attr-defined]
