"""One request of each command that users send often, as the benchmark and the cost measurement send them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from google.protobuf.message import Message

from dbproxy.bench.dataset import PASSWORD, token_of
from dbproxy.testing.client import BY_REQUEST
from dbproxy.testing.requests import GROUP, SINGLE, message
from dbproxy.wire.pb import base_define_pb2 as base
from dbproxy.wire.pb import buddy_pb2, file_pb2, group_pb2, login_pb2, message_pb2, server_pb2
from dbproxy.wire.pdu import pack_pdu

LIST_LENGTH = 20
"""Messages that one request for a list of messages asks for."""


@dataclass(frozen=True)
class Subject:
    """Whom a request is about: a user, somebody with whom the user has a conversation, and a group with one of its members.

    ``middle`` is a msg_id in the middle of the history, ``since`` a unix time after which hardly anything has changed.
    """

    user_id: int
    user_name: str
    peer_id: int
    relate_id: int
    group_id: int
    member_id: int
    any_user_id: int = 0
    """A third user for lookups of users; 0: none."""
    middle: int = 10
    since: int = 1


Build = Callable[[Subject], Message]


def _history(session_type: base.SessionType, begin: Callable[[Subject], int]) -> Build:
    return lambda at: message_pb2.IMGetMsgListReq(
        user_id=_user(at, session_type),
        session_type=session_type,
        session_id=_session(at, session_type),
        msg_id_begin=begin(at),
        msg_cnt=LIST_LENGTH,
    )


def _by_id(session_type: base.SessionType) -> Build:
    return lambda at: message_pb2.IMGetMsgByIdReq(
        user_id=_user(at, session_type),
        session_type=session_type,
        session_id=_session(at, session_type),
        msg_id_list=range(max(1, at.middle - 5), at.middle),
    )


def _latest_id(session_type: base.SessionType) -> Build:
    return lambda at: message_pb2.IMGetLatestMsgIdReq(
        user_id=_user(at, session_type), session_type=session_type, session_id=_session(at, session_type)
    )


def _read_ack(session_type: base.SessionType) -> Build:
    return lambda at: message_pb2.IMMsgDataReadAck(
        user_id=_user(at, session_type), session_id=_session(at, session_type), msg_id=1, session_type=session_type
    )


def _user(at: Subject, session_type: base.SessionType) -> int:
    return at.member_id if session_type == GROUP else at.user_id


def _session(at: Subject, session_type: base.SessionType) -> int:
    return at.group_id if session_type == GROUP else at.peer_id


def _users(at: Subject) -> tuple[int, ...]:
    return tuple(user_id for user_id in (at.peer_id, at.user_id, at.any_user_id) if user_id)


def _login(at: Subject) -> Message:
    return server_pb2.IMValidateReq(user_name=at.user_name, password=hashlib.md5(PASSWORD.encode()).hexdigest())


def _group_info(at: Subject) -> Message:
    request = group_pb2.IMGroupInfoListReq(user_id=at.member_id)
    request.group_version_list.add(group_id=at.group_id, version=0)
    return request


def _set_token(at: Subject) -> Message:
    return login_pb2.IMDeviceTokenReq(user_id=at.user_id, device_token=token_of(at.user_id), client_type=base.CLIENT_TYPE_ANDROID)


REQUESTS: Mapping[str, Build] = {
    "send": lambda at: message(at.user_id, at.peer_id, "x" * 64),
    "group send": lambda at: message(at.member_id, at.group_id, "y" * 64, msg_type=base.MSG_TYPE_GROUP_TEXT),
    "list, newest": _history(SINGLE, lambda _: 0),
    "list, middle": _history(SINGLE, lambda at: at.middle),
    "list, oldest": _history(SINGLE, lambda _: LIST_LENGTH),
    "by id": _by_id(SINGLE),
    "latest id": _latest_id(SINGLE),
    "group list, newest": _history(GROUP, lambda _: 0),
    "group list, middle": _history(GROUP, lambda at: at.middle),
    "group list, oldest": _history(GROUP, lambda _: LIST_LENGTH),
    "group by id": _by_id(GROUP),
    "group latest id": _latest_id(GROUP),
    "unread": lambda at: message_pb2.IMUnreadMsgCntReq(user_id=at.user_id),
    "recent": lambda at: buddy_pb2.IMRecentContactSessionReq(user_id=at.user_id, latest_update_time=0),
    "token": lambda at: server_pb2.IMGetDeviceTokenReq(user_id=(at.user_id, at.peer_id)),
    "user info": lambda at: buddy_pb2.IMUsersInfoReq(user_id=at.user_id, user_id_list=_users(at)),
    "login": _login,
    "changed users": lambda at: buddy_pb2.IMAllUserReq(user_id=at.user_id, latest_update_time=at.since),
    "departments": lambda at: buddy_pb2.IMDepartmentReq(user_id=at.user_id, latest_update_time=0),
    "groups": lambda at: group_pb2.IMNormalGroupListReq(user_id=at.user_id),
    "group info": _group_info,
    "mute": lambda at: group_pb2.IMGroupShieldReq(user_id=at.member_id, group_id=at.group_id, shield_status=1),
    "who muted": lambda at: server_pb2.IMGroupGetShieldReq(group_id=at.group_id, user_id=(at.user_id, at.peer_id)),
    "push shield": lambda at: login_pb2.IMQueryPushShieldReq(user_id=at.user_id),
    "set push shield": lambda at: login_pb2.IMPushShieldReq(user_id=at.user_id, shield_status=0),
    "sign info": lambda at: buddy_pb2.IMChangeSignInfoReq(user_id=at.user_id, sign_info="busy"),
    "set token": _set_token,
    "read ack": _read_ack(SINGLE),
    "group read ack": _read_ack(GROUP),
    "offline files": lambda at: file_pb2.IMFileHasOfflineReq(user_id=at.user_id),
}
"""Name → function that builds the request. Each of them can be sent again and again."""

WRITE_MESSAGES = frozenset(("send", "group send"))
"""The requests that store a message."""


def frame(request: Message) -> bytes:
    """Return a request as a PDU with the seq_num 0."""
    command = BY_REQUEST[type(request)]
    return pack_pdu(command.service_id, command.command_id, 0, request.SerializeToString())
