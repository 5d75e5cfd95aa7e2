"""What a user does: one request of each command, about the same user, group and conversation. The growth and the counting measure these."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from google.protobuf.message import Message

from dbproxy.bench.dataset import PASSWORD, token_of
from dbproxy.bench.workloads import LIST_LENGTH
from dbproxy.testing.requests import GROUP, SINGLE, message
from dbproxy.wire.pb import base_define_pb2 as base
from dbproxy.wire.pb import buddy_pb2, file_pb2, group_pb2, login_pb2, message_pb2, server_pb2


@dataclass(frozen=True)
class Focus:
    """Whom the requests are about: a user with name, a peer, a group that the user is in; ``middle`` is a msg_id half way down the
    history, ``since`` a unix time after which hardly anything changed.
    """

    user_id: int
    user_name: str
    peer_id: int
    relate_id: int
    group_id: int
    middle: int = 10
    since: int = 0


def requests(at: Focus) -> Mapping[str, Message]:
    """Name → request, everything that a user does often and that can be asked again and again."""
    password = hashlib.md5(PASSWORD.encode()).hexdigest()
    info = group_pb2.IMGroupInfoListReq(user_id=at.user_id)
    info.group_version_list.add(group_id=at.group_id, version=0)

    def history(session_type: base.SessionType, session_id: int, begin: int) -> Message:
        return message_pb2.IMGetMsgListReq(
            user_id=at.user_id, session_type=session_type, session_id=session_id, msg_id_begin=begin, msg_cnt=LIST_LENGTH
        )

    def by_id(session_type: base.SessionType, session_id: int) -> Message:
        msg_ids = range(max(1, at.middle - 5), at.middle)
        return message_pb2.IMGetMsgByIdReq(user_id=at.user_id, session_type=session_type, session_id=session_id, msg_id_list=msg_ids)

    def latest(session_type: base.SessionType, session_id: int) -> Message:
        return message_pb2.IMGetLatestMsgIdReq(user_id=at.user_id, session_type=session_type, session_id=session_id)

    return {
        "send": message(at.user_id, at.peer_id, "x" * 64),
        "group send": message(at.user_id, at.group_id, "y" * 64, msg_type=base.MSG_TYPE_GROUP_TEXT),
        "list, newest": history(SINGLE, at.peer_id, 0),
        "list, middle": history(SINGLE, at.peer_id, at.middle),
        "list, oldest": history(SINGLE, at.peer_id, LIST_LENGTH),
        "by id": by_id(SINGLE, at.peer_id),
        "latest id": latest(SINGLE, at.peer_id),
        "group list, newest": history(GROUP, at.group_id, 0),
        "group list, middle": history(GROUP, at.group_id, at.middle),
        "group list, oldest": history(GROUP, at.group_id, LIST_LENGTH),
        "group by id": by_id(GROUP, at.group_id),
        "group latest id": latest(GROUP, at.group_id),
        "unread": message_pb2.IMUnreadMsgCntReq(user_id=at.user_id),
        "recent": buddy_pb2.IMRecentContactSessionReq(user_id=at.user_id, latest_update_time=0),
        "token": server_pb2.IMGetDeviceTokenReq(user_id=(at.user_id, at.peer_id)),
        "user info": buddy_pb2.IMUsersInfoReq(user_id=at.user_id, user_id_list=(at.user_id, at.peer_id)),
        "login": server_pb2.IMValidateReq(user_name=at.user_name, password=password),
        "changed users": buddy_pb2.IMAllUserReq(user_id=at.user_id, latest_update_time=at.since or 1),
        "departments": buddy_pb2.IMDepartmentReq(user_id=at.user_id, latest_update_time=0),
        "groups": group_pb2.IMNormalGroupListReq(user_id=at.user_id),
        "group info": info,
        "mute": group_pb2.IMGroupShieldReq(user_id=at.user_id, group_id=at.group_id, shield_status=1),
        "who muted": server_pb2.IMGroupGetShieldReq(group_id=at.group_id, user_id=(at.user_id, at.peer_id)),
        "push shield": login_pb2.IMQueryPushShieldReq(user_id=at.user_id),
        "set push shield": login_pb2.IMPushShieldReq(user_id=at.user_id, shield_status=0),
        "sign info": buddy_pb2.IMChangeSignInfoReq(user_id=at.user_id, sign_info="busy"),
        "set token": login_pb2.IMDeviceTokenReq(
            user_id=at.user_id, device_token=token_of(at.user_id), client_type=base.CLIENT_TYPE_ANDROID
        ),
        "read ack": message_pb2.IMMsgDataReadAck(user_id=at.user_id, session_id=at.peer_id, msg_id=1, session_type=SINGLE),
        "group read ack": message_pb2.IMMsgDataReadAck(user_id=at.user_id, session_id=at.group_id, msg_id=1, session_type=GROUP),
        "offline files": file_pb2.IMFileHasOfflineReq(user_id=at.user_id),
    }
