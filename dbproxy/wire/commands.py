"""The 26 commands of the proxy: which message comes with which command id, and which message answers it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message

from dbproxy.wire.pb import base_define_pb2 as base
from dbproxy.wire.pb import buddy_pb2 as buddy
from dbproxy.wire.pb import file_pb2 as file
from dbproxy.wire.pb import group_pb2 as group
from dbproxy.wire.pb import login_pb2 as login
from dbproxy.wire.pb import message_pb2 as message
from dbproxy.wire.pb import other_pb2 as other
from dbproxy.wire.pb import server_pb2 as server
from dbproxy.wire.pdu import HEADER, HEADER_LENGTH, VERSION, pack_header, pack_pdu

Request = TypeVar("Request", bound=Message)
Reply = TypeVar("Reply", bound=Message)


@dataclass(frozen=True, slots=True)
class Command(Generic[Request, Reply]):
    """One command: ids and messages of the request and of its reply; a reply of None means that the command is not answered."""

    name: str
    service_id: int
    command_id: int
    request: type[Request]
    reply_service_id: int = 0
    reply_command_id: int = 0
    reply: type[Reply] | None = None

    def pack_reply(self, seq_num: int, body: bytes) -> bytes:
        """Return the reply PDU with this body, which carries the request's seq_num."""
        # as pack_pdu does, which would be two more calls for each reply
        return HEADER.pack(HEADER_LENGTH + len(body), VERSION, 0, self.reply_service_id, self.reply_command_id, seq_num, 0) + body

    def pack_reply_header(self, seq_num: int, length: int) -> bytes:
        """Return the header of the reply PDU to a body of so many bytes."""
        return pack_header(self.reply_service_id, self.reply_command_id, seq_num, length)


def _command(
    service_id: int, name: str, request: type[Request], reply_name: str = "", reply: type[Reply] | None = None
) -> Command[Request, Reply]:
    """Look the command ids up by their names in the protocol's enums; a reply comes with the request's service id."""
    command_id: int = getattr(base, name)
    if not reply_name:
        return Command(name, service_id, command_id, request)
    return Command(name, service_id, command_id, request, service_id, getattr(base, reply_name), reply)


_LOGIN, _BUDDY, _MSG, _GROUP, _FILE, _OTHER = (
    base.SID_LOGIN,
    base.SID_BUDDY_LIST,
    base.SID_MSG,
    base.SID_GROUP,
    base.SID_FILE,
    base.SID_OTHER,
)

VALIDATE = _command(_OTHER, "CID_OTHER_VALIDATE_REQ", server.IMValidateReq, "CID_OTHER_VALIDATE_RSP", server.IMValidateRsp)
DEVICE_TOKEN = _command(_LOGIN, "CID_LOGIN_REQ_DEVICETOKEN", login.IMDeviceTokenReq, "CID_LOGIN_RES_DEVICETOKEN", login.IMDeviceTokenRsp)
PUSH_SHIELD = _command(_LOGIN, "CID_LOGIN_REQ_PUSH_SHIELD", login.IMPushShieldReq, "CID_LOGIN_RES_PUSH_SHIELD", login.IMPushShieldRsp)
QUERY_PUSH_SHIELD = _command(
    _LOGIN, "CID_LOGIN_REQ_QUERY_PUSH_SHIELD", login.IMQueryPushShieldReq, "CID_LOGIN_RES_QUERY_PUSH_SHIELD", login.IMQueryPushShieldRsp
)
RECENT_SESSIONS = _command(
    _BUDDY,
    "CID_BUDDY_LIST_RECENT_CONTACT_SESSION_REQUEST",
    buddy.IMRecentContactSessionReq,
    "CID_BUDDY_LIST_RECENT_CONTACT_SESSION_RESPONSE",
    buddy.IMRecentContactSessionRsp,
)
REMOVE_SESSION = _command(
    _BUDDY, "CID_BUDDY_LIST_REMOVE_SESSION_REQ", buddy.IMRemoveSessionReq, "CID_BUDDY_LIST_REMOVE_SESSION_RES", buddy.IMRemoveSessionRsp
)
USER_INFO = _command(
    _BUDDY, "CID_BUDDY_LIST_USER_INFO_REQUEST", buddy.IMUsersInfoReq, "CID_BUDDY_LIST_USER_INFO_RESPONSE", buddy.IMUsersInfoRsp
)
ALL_USERS = _command(_BUDDY, "CID_BUDDY_LIST_ALL_USER_REQUEST", buddy.IMAllUserReq, "CID_BUDDY_LIST_ALL_USER_RESPONSE", buddy.IMAllUserRsp)
DEPARTMENTS = _command(
    _BUDDY, "CID_BUDDY_LIST_DEPARTMENT_REQUEST", buddy.IMDepartmentReq, "CID_BUDDY_LIST_DEPARTMENT_RESPONSE", buddy.IMDepartmentRsp
)
CHANGE_SIGN_INFO = _command(
    _BUDDY,
    "CID_BUDDY_LIST_CHANGE_SIGN_INFO_REQUEST",
    buddy.IMChangeSignInfoReq,
    "CID_BUDDY_LIST_CHANGE_SIGN_INFO_RESPONSE",
    buddy.IMChangeSignInfoRsp,
)
MSG_DATA = _command(_MSG, "CID_MSG_DATA", message.IMMsgData, "CID_MSG_DATA", message.IMMsgData)
MSG_READ_ACK: Command[message.IMMsgDataReadAck, Message] = _command(_MSG, "CID_MSG_READ_ACK", message.IMMsgDataReadAck)
UNREAD_COUNT = _command(
    _MSG, "CID_MSG_UNREAD_CNT_REQUEST", message.IMUnreadMsgCntReq, "CID_MSG_UNREAD_CNT_RESPONSE", message.IMUnreadMsgCntRsp
)
MSG_LIST = _command(_MSG, "CID_MSG_LIST_REQUEST", message.IMGetMsgListReq, "CID_MSG_LIST_RESPONSE", message.IMGetMsgListRsp)
LATEST_MSG_ID = _command(
    _MSG, "CID_MSG_GET_LATEST_MSG_ID_REQ", message.IMGetLatestMsgIdReq, "CID_MSG_GET_LATEST_MSG_ID_RSP", message.IMGetLatestMsgIdRsp
)
MSG_BY_ID = _command(_MSG, "CID_MSG_GET_BY_MSG_ID_REQ", message.IMGetMsgByIdReq, "CID_MSG_GET_BY_MSG_ID_RES", message.IMGetMsgByIdRsp)
NORMAL_GROUPS = _command(
    _GROUP, "CID_GROUP_NORMAL_LIST_REQUEST", group.IMNormalGroupListReq, "CID_GROUP_NORMAL_LIST_RESPONSE", group.IMNormalGroupListRsp
)
GROUP_INFO = _command(_GROUP, "CID_GROUP_INFO_REQUEST", group.IMGroupInfoListReq, "CID_GROUP_INFO_RESPONSE", group.IMGroupInfoListRsp)
CREATE_GROUP = _command(_GROUP, "CID_GROUP_CREATE_REQUEST", group.IMGroupCreateReq, "CID_GROUP_CREATE_RESPONSE", group.IMGroupCreateRsp)
CHANGE_MEMBERS = _command(
    _GROUP,
    "CID_GROUP_CHANGE_MEMBER_REQUEST",
    group.IMGroupChangeMemberReq,
    "CID_GROUP_CHANGE_MEMBER_RESPONSE",
    group.IMGroupChangeMemberRsp,
)
SHIELD_GROUP = _command(
    _GROUP, "CID_GROUP_SHIELD_GROUP_REQUEST", group.IMGroupShieldReq, "CID_GROUP_SHIELD_GROUP_RESPONSE", group.IMGroupShieldRsp
)
OFFLINE_FILES = _command(_FILE, "CID_FILE_HAS_OFFLINE_REQ", file.IMFileHasOfflineReq, "CID_FILE_HAS_OFFLINE_RES", file.IMFileHasOfflineRsp)
ADD_OFFLINE_FILE: Command[file.IMFileAddOfflineReq, Message] = _command(_FILE, "CID_FILE_ADD_OFFLINE_REQ", file.IMFileAddOfflineReq)
DELETE_OFFLINE_FILE: Command[file.IMFileDelOfflineReq, Message] = _command(_FILE, "CID_FILE_DEL_OFFLINE_REQ", file.IMFileDelOfflineReq)
GET_DEVICE_TOKENS = _command(
    _OTHER, "CID_OTHER_GET_DEVICE_TOKEN_REQ", server.IMGetDeviceTokenReq, "CID_OTHER_GET_DEVICE_TOKEN_RSP", server.IMGetDeviceTokenRsp
)
GET_GROUP_SHIELD = _command(
    _OTHER, "CID_OTHER_GET_SHIELD_REQ", server.IMGroupGetShieldReq, "CID_OTHER_GET_SHIELD_RSP", server.IMGroupGetShieldRsp
)

COMMANDS: dict[int, Command[Any, Any]] = {value.command_id: value for value in list(globals().values()) if isinstance(value, Command)}
"""Every command by its id."""

HEARTBEAT_COMMAND_ID = base.CID_OTHER_HEARTBEAT
HEARTBEAT_PDU = pack_pdu(_OTHER, base.CID_OTHER_HEARTBEAT, 0, other.IMHeartBeat().SerializeToString())
"""What the proxy sends on a connection on which it has been silent for a while."""

STOP_RECEIVE_PDU = pack_pdu(_OTHER, base.CID_OTHER_STOP_RECV_PACKET, 0, server.IMStopReceivePacket(result=0).SerializeToString())
"""Tells a message server that this proxy is shutting down and that new work belongs to another one."""
