"""The table of all PDUs of TeamTalk's protocol."""

from __future__ import annotations

import pytest

from dbproxy.wire.command_names import find_pdu_kind
from dbproxy.wire.commands import COMMANDS, MSG_DATA, Command
from dbproxy.wire.pb import base_define_pb2 as base
from dbproxy.wire.pb import login_pb2, message_pb2, server_pb2, switch_service_pb2
from dbproxy.wire.pdu_kinds import PDU_KINDS, find_kind


@pytest.mark.parametrize("command", COMMANDS.values(), ids=lambda command: command.name)
def test_it_agrees_with_the_table_of_the_proxy(command: Command) -> None:  # type: ignore[type-arg]
    kind = PDU_KINDS[command.command_id]
    assert (kind.name, kind.service_id, kind.message) == (command.name, command.service_id, command.request)
    if command is not MSG_DATA:
        assert kind.reply_id == command.reply_command_id
    if command.reply is not None:
        assert PDU_KINDS[command.reply_command_id].message is command.reply


@pytest.mark.parametrize(
    ("command_id", "message", "reply_id"),
    [
        (0x0103, login_pb2.IMLoginReq, 0x0104),
        (0x0107, login_pb2.IMKickUser, 0),
        (0x0301, message_pb2.IMMsgData, 0x0302),
        (0x0304, message_pb2.IMMsgDataReadNotify, 0),
        (0x0601, switch_service_pb2.IMP2PCmdMsg, 0),
        (0x0702, server_pb2.IMStopReceivePacket, 0),
        (0x070D, server_pb2.IMServerKickUser, 0),
        (0x0733, server_pb2.IMFileServerIPReq, 0x0734),
    ],
)
def test_it_has_what_other_servers_say(command_id: int, message: object, reply_id: int) -> None:
    kind = PDU_KINDS[command_id]
    assert (kind.message, kind.reply_id, kind.service_id) == (message, reply_id, command_id >> 8)


def test_every_id_of_the_protocol_is_there() -> None:
    names = {value.name for enum in base.DESCRIPTOR.enum_types_by_name.values() for value in enum.values if value.name.startswith("CID_")}
    assert {kind.name for kind in PDU_KINDS.values()} == names
    assert find_kind(0x0799) is None


@pytest.mark.parametrize("text", ["CID_LOGIN_REQ_USERLOGIN", "login_req_userlogin", "IMLoginReq", "0x0103", "259"])
def test_a_kind_is_found_by_all_its_names(text: str) -> None:
    assert find_pdu_kind(text).command_id == 0x0103


@pytest.mark.parametrize(("text", "remark"), [("login_req", "may be any of"), ("nothing", "is no command"), ("0x0999", "has this id")])
def test_a_name_that_means_none_or_several_is_refused(text: str, remark: str) -> None:
    with pytest.raises(ValueError, match=remark):
        find_pdu_kind(text)
