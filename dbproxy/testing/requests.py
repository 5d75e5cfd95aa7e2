"""The 26 commands as methods with keyword defaults: :class:`Requests`, the base class of the client."""

from __future__ import annotations

import hashlib
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import TypeVar

from google.protobuf.message import Message

from dbproxy.wire.pb import base_define_pb2 as base
from dbproxy.wire.pb import buddy_pb2 as buddy
from dbproxy.wire.pb import file_pb2 as file
from dbproxy.wire.pb import group_pb2 as group
from dbproxy.wire.pb import login_pb2 as login_pb
from dbproxy.wire.pb import message_pb2 as message_pb
from dbproxy.wire.pb import server_pb2 as server

M = TypeVar("M", bound=Message)

SINGLE = base.SESSION_TYPE_SINGLE
GROUP = base.SESSION_TYPE_GROUP


def _data(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text


def message(
    from_user_id: int,
    to_session_id: int,
    text: str | bytes = "hello",
    *,
    msg_type: base.MsgType = base.MSG_TYPE_SINGLE_TEXT,
    create_time: int | None = None,
    attach_data: bytes | None = None,
) -> message_pb.IMMsgData:
    """Return the request that stores a message; ``create_time`` None is now. Text is sent as UTF-8, bytes as they are."""
    when = int(time.time()) if create_time is None else create_time
    return message_pb.IMMsgData(
        from_user_id=from_user_id,
        to_session_id=to_session_id,
        msg_id=0,
        create_time=when,
        msg_type=msg_type,
        msg_data=_data(text),
        attach_data=attach_data,
    )


class Requests(ABC):
    """One method per command; each sends the request and returns the parsed reply, with the errors and the thread rule of the client.

    The three commands that are never answered return as soon as they are sent.
    """

    @abstractmethod
    def ask(self, message: Message, kind: type[M]) -> M:
        """Send ``message`` and return its reply, which must be of ``kind``; implemented by the client."""

    @abstractmethod
    def send(self, message: Message, *, seq_num: int | None = None) -> int:
        """Send ``message``; implemented by the client."""

    # login and device

    def login(self, user_name: str, password: str = "123456", *, attach_data: bytes | None = None) -> server.IMValidateRsp:
        """Validate a name with a plain password, which travels as its md5."""
        hashed = hashlib.md5(password.encode()).hexdigest()
        return self.ask(server.IMValidateReq(user_name=user_name, password=hashed, attach_data=attach_data), server.IMValidateRsp)

    def set_device_token(
        self, user_id: int, device_token: str, client_type: base.ClientType | None = base.CLIENT_TYPE_ANDROID
    ) -> login_pb.IMDeviceTokenRsp:
        """Store a user's push token."""
        request = login_pb.IMDeviceTokenReq(user_id=user_id, device_token=device_token, client_type=client_type)
        return self.ask(request, login_pb.IMDeviceTokenRsp)

    def device_tokens(self, user_ids: Iterable[int]) -> server.IMGetDeviceTokenRsp:
        """Ask for the push tokens of users."""
        return self.ask(server.IMGetDeviceTokenReq(user_id=user_ids), server.IMGetDeviceTokenRsp)

    def set_push_shield(self, user_id: int, shield_status: int = 1) -> login_pb.IMPushShieldRsp:
        """Switch a user's push shield (no notifications at night) on (1) or off (0)."""
        return self.ask(login_pb.IMPushShieldReq(user_id=user_id, shield_status=shield_status), login_pb.IMPushShieldRsp)

    def push_shield(self, user_id: int) -> login_pb.IMQueryPushShieldRsp:
        """Ask for a user's push shield."""
        return self.ask(login_pb.IMQueryPushShieldReq(user_id=user_id), login_pb.IMQueryPushShieldRsp)

    # users

    def user_info(self, user_ids: Iterable[int], *, user_id: int = 1) -> buddy.IMUsersInfoRsp:
        """Ask for users by id; ``user_id`` is who asks."""
        return self.ask(buddy.IMUsersInfoReq(user_id=user_id, user_id_list=user_ids), buddy.IMUsersInfoRsp)

    def all_users(self, latest_update_time: int = 0, *, user_id: int = 1) -> buddy.IMAllUserRsp:
        """Ask for the users that changed since a unix time."""
        return self.ask(buddy.IMAllUserReq(user_id=user_id, latest_update_time=latest_update_time), buddy.IMAllUserRsp)

    def departments(self, latest_update_time: int = 0, *, user_id: int = 1) -> buddy.IMDepartmentRsp:
        """Ask for the departments that changed after a unix time."""
        return self.ask(buddy.IMDepartmentReq(user_id=user_id, latest_update_time=latest_update_time), buddy.IMDepartmentRsp)

    def change_sign_info(self, user_id: int, sign_info: str) -> buddy.IMChangeSignInfoRsp:
        """Set the sign info that is shown with a user's name."""
        return self.ask(buddy.IMChangeSignInfoReq(user_id=user_id, sign_info=sign_info), buddy.IMChangeSignInfoRsp)

    # sessions

    def recent_sessions(self, user_id: int, latest_update_time: int = 0) -> buddy.IMRecentContactSessionRsp:
        """Ask for the sessions of a user that changed after a unix time."""
        request = buddy.IMRecentContactSessionReq(user_id=user_id, latest_update_time=latest_update_time)
        return self.ask(request, buddy.IMRecentContactSessionRsp)

    def remove_session(self, user_id: int, session_id: int, session_type: base.SessionType = SINGLE) -> buddy.IMRemoveSessionRsp:
        """Remove the session with a user or a group from a user's list."""
        request = buddy.IMRemoveSessionReq(user_id=user_id, session_type=session_type, session_id=session_id)
        return self.ask(request, buddy.IMRemoveSessionRsp)

    # messages

    def send_message(
        self,
        from_user_id: int,
        to_user_id: int,
        text: str | bytes = "hello",
        *,
        create_time: int | None = None,
        attach_data: bytes | None = None,
    ) -> message_pb.IMMsgData:
        """Store a text to a user; msg_id 0 in the reply means that it was not stored."""
        request = message(from_user_id, to_user_id, text, create_time=create_time, attach_data=attach_data)
        return self.ask(request, message_pb.IMMsgData)

    def send_group_message(
        self,
        from_user_id: int,
        group_id: int,
        text: str | bytes = "hello",
        *,
        create_time: int | None = None,
        attach_data: bytes | None = None,
    ) -> message_pb.IMMsgData:
        """Store a text to a group; TimeoutError when the sender is not in it, because then there is no reply."""
        kind = base.MSG_TYPE_GROUP_TEXT
        request = message(from_user_id, group_id, text, msg_type=kind, create_time=create_time, attach_data=attach_data)
        return self.ask(request, message_pb.IMMsgData)

    def send_sound(
        self, from_user_id: int, to_session_id: int, sound: bytes, *, seconds: int = 3, group: bool = False, create_time: int | None = None
    ) -> message_pb.IMMsgData:
        """Store a sound to a user or a group."""
        kind = base.MSG_TYPE_GROUP_AUDIO if group else base.MSG_TYPE_SINGLE_AUDIO
        request = message(from_user_id, to_session_id, seconds.to_bytes(4, "big") + sound, msg_type=kind, create_time=create_time)
        return self.ask(request, message_pb.IMMsgData)

    def read_ack(self, user_id: int, session_id: int, session_type: base.SessionType = SINGLE, *, msg_id: int = 1) -> None:
        """Acknowledge that a user has read a session; not answered."""
        self.send(message_pb.IMMsgDataReadAck(user_id=user_id, session_id=session_id, msg_id=msg_id, session_type=session_type))

    def unread(self, user_id: int) -> message_pb.IMUnreadMsgCntRsp:
        """Ask what a user has not read."""
        return self.ask(message_pb.IMUnreadMsgCntReq(user_id=user_id), message_pb.IMUnreadMsgCntRsp)

    def messages(
        self, user_id: int, session_id: int, session_type: base.SessionType = SINGLE, *, msg_id_begin: int = 0, msg_cnt: int = 20
    ) -> message_pb.IMGetMsgListRsp:
        """Ask for the messages of a session from ``msg_id_begin`` downwards (0: from the newest), newest first."""
        request = message_pb.IMGetMsgListReq(
            user_id=user_id, session_type=session_type, session_id=session_id, msg_id_begin=msg_id_begin, msg_cnt=msg_cnt
        )
        return self.ask(request, message_pb.IMGetMsgListRsp)

    def messages_by_id(
        self, user_id: int, session_id: int, msg_ids: Iterable[int], session_type: base.SessionType = SINGLE
    ) -> message_pb.IMGetMsgByIdRsp:
        """Ask for messages of a session by their ids."""
        request = message_pb.IMGetMsgByIdReq(user_id=user_id, session_type=session_type, session_id=session_id, msg_id_list=msg_ids)
        return self.ask(request, message_pb.IMGetMsgByIdRsp)

    def latest_msg_id(self, user_id: int, session_id: int, session_type: base.SessionType = SINGLE) -> message_pb.IMGetLatestMsgIdRsp:
        """Ask for the id of the last message of a session."""
        request = message_pb.IMGetLatestMsgIdReq(user_id=user_id, session_type=session_type, session_id=session_id)
        return self.ask(request, message_pb.IMGetLatestMsgIdRsp)

    # groups

    def normal_groups(self, user_id: int) -> group.IMNormalGroupListRsp:
        """Ask for the permanent groups of a user."""
        return self.ask(group.IMNormalGroupListReq(user_id=user_id), group.IMNormalGroupListRsp)

    def group_info(self, versions: Mapping[int, int], *, user_id: int = 1) -> group.IMGroupInfoListRsp:
        """Ask for groups that are newer than the version known: group id → known version (0: none)."""
        known = [base.GroupVersionInfo(group_id=group_id, version=version) for group_id, version in versions.items()]
        return self.ask(group.IMGroupInfoListReq(user_id=user_id, group_version_list=known), group.IMGroupInfoListRsp)

    def create_group(
        self,
        user_id: int,
        member_ids: Iterable[int],
        *,
        name: str = "a group",
        avatar: str = "",
        group_type: base.GroupType = base.GROUP_TYPE_NORMAL,
    ) -> group.IMGroupCreateRsp:
        """Create a group; the creator is a member only when listed."""
        request = group.IMGroupCreateReq(
            user_id=user_id, group_type=group_type, group_name=name, group_avatar=avatar, member_id_list=member_ids
        )
        return self.ask(request, group.IMGroupCreateRsp)

    def add_members(self, user_id: int, group_id: int, member_ids: Iterable[int]) -> group.IMGroupChangeMemberRsp:
        """Add users to a group; TimeoutError for an unknown group, because then there is no reply."""
        return self._change_members(user_id, group_id, member_ids, base.GROUP_MODIFY_TYPE_ADD)

    def remove_members(self, user_id: int, group_id: int, member_ids: Iterable[int]) -> group.IMGroupChangeMemberRsp:
        """Remove users from a group; TimeoutError for an unknown group, because then there is no reply."""
        return self._change_members(user_id, group_id, member_ids, base.GROUP_MODIFY_TYPE_DEL)

    def _change_members(
        self, user_id: int, group_id: int, member_ids: Iterable[int], change: base.GroupModifyType
    ) -> group.IMGroupChangeMemberRsp:
        request = group.IMGroupChangeMemberReq(user_id=user_id, change_type=change, group_id=group_id, member_id_list=member_ids)
        return self.ask(request, group.IMGroupChangeMemberRsp)

    def shield_group(self, user_id: int, group_id: int, shield_status: int = 1) -> group.IMGroupShieldRsp:
        """Mute (1) or unmute (0) a group for a user."""
        request = group.IMGroupShieldReq(user_id=user_id, group_id=group_id, shield_status=shield_status)
        return self.ask(request, group.IMGroupShieldRsp)

    def group_shield(self, group_id: int, user_ids: Iterable[int]) -> server.IMGroupGetShieldRsp:
        """Ask which of these users have muted a group."""
        return self.ask(server.IMGroupGetShieldReq(group_id=group_id, user_id=user_ids), server.IMGroupGetShieldRsp)

    # offline files

    def offline_files(self, user_id: int) -> file.IMFileHasOfflineRsp:
        """Ask for the files that wait for a user."""
        return self.ask(file.IMFileHasOfflineReq(user_id=user_id), file.IMFileHasOfflineRsp)

    def add_offline_file(self, from_user_id: int, to_user_id: int, task_id: str, *, file_name: str = "a.txt", file_size: int = 1) -> None:
        """Add an offline file for a user; not answered."""
        request = file.IMFileAddOfflineReq(
            from_user_id=from_user_id, to_user_id=to_user_id, task_id=task_id, file_name=file_name, file_size=file_size
        )
        self.send(request)

    def delete_offline_file(self, from_user_id: int, to_user_id: int, task_id: str) -> None:
        """Delete an offline file; not answered."""
        self.send(file.IMFileDelOfflineReq(from_user_id=from_user_id, to_user_id=to_user_id, task_id=task_id))
