"""What a chat client asks a msg_server, as methods with keyword defaults: :class:`ChatRequests`, the base class of the client."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import TypeVar

from google.protobuf.message import Message

from dbproxy.wire.pb import base_define_pb2 as base
from dbproxy.wire.pb import buddy_pb2 as buddy
from dbproxy.wire.pb import file_pb2 as file
from dbproxy.wire.pb import group_pb2 as group
from dbproxy.wire.pb import login_pb2 as login
from dbproxy.wire.pb import message_pb2 as message_pb

M = TypeVar("M", bound=Message)

SINGLE = base.SESSION_TYPE_SINGLE
GROUP = base.SESSION_TYPE_GROUP


class ChatRequests(ABC):
    """One method for each request of a chat client; each sends it and returns the parsed answer, with the errors of :meth:`ask`.

    A session is a conversation: its id is that of the other user (``SINGLE``) or of the group (``GROUP``). Times are unix times.
    """

    user_id = 0
    """The id of the user who is logged in; 0 before that. A msg_server puts the id that it knows into each request itself."""

    @abstractmethod
    def ask(self, message: Message, kind: type[M], *, timeout: float | None = None) -> M:
        """Send a request and return its answer, which has to be of this type, within ``timeout`` seconds."""

    @abstractmethod
    def send(self, message: Message) -> int:
        """Send what is not answered, or whose answer is not waited for; return its seq_num."""

    # people

    def server_time(self) -> int:
        """Ask for the unix time of the msg_server."""
        return self.ask(message_pb.IMClientTimeReq(), message_pb.IMClientTimeRsp).server_time

    def user_infos(self, user_ids: Iterable[int]) -> buddy.IMUsersInfoRsp:
        """Ask for users by their ids; unknown ones are left out."""
        return self.ask(buddy.IMUsersInfoReq(user_id=self.user_id, user_id_list=user_ids), buddy.IMUsersInfoRsp)

    def all_users(self, latest_update_time: int = 0) -> buddy.IMAllUserRsp:
        """Ask for the users that changed after a time; 0: all there are, which may be many MiB."""
        return self.ask(buddy.IMAllUserReq(user_id=self.user_id, latest_update_time=latest_update_time), buddy.IMAllUserRsp)

    def departments(self, latest_update_time: int = 0) -> buddy.IMDepartmentRsp:
        """Ask for the departments that changed after a time; 0: all there are."""
        return self.ask(buddy.IMDepartmentReq(user_id=self.user_id, latest_update_time=latest_update_time), buddy.IMDepartmentRsp)

    def users_status(self, user_ids: Iterable[int]) -> dict[int, base.UserStatType]:
        """Ask which users are logged in with a PC, on whatever msg_server: id → ``USER_STATUS_ONLINE`` or another. A route_server answers,
        for which who has logged in with a phone only is offline.
        """
        answer = self.ask(buddy.IMUsersStatReq(user_id=self.user_id, user_id_list=user_ids), buddy.IMUsersStatRsp)
        return {entry.user_id: entry.status for entry in answer.user_stat_list}

    def change_sign_info(self, text: str) -> buddy.IMChangeSignInfoRsp:
        """Change one's own signature."""
        return self.ask(buddy.IMChangeSignInfoReq(user_id=self.user_id, sign_info=text), buddy.IMChangeSignInfoRsp)

    # sessions and messages

    def sessions(self, latest_update_time: int = 0) -> buddy.IMRecentContactSessionRsp:
        """Ask for the sessions that changed after a time, with the last message of each."""
        request = buddy.IMRecentContactSessionReq(user_id=self.user_id, latest_update_time=latest_update_time)
        return self.ask(request, buddy.IMRecentContactSessionRsp)

    def remove_session(self, session_id: int, session_type: base.SessionType = SINGLE) -> buddy.IMRemoveSessionRsp:
        """Remove a session from one's list; its messages stay."""
        request = buddy.IMRemoveSessionReq(user_id=self.user_id, session_type=session_type, session_id=session_id)
        return self.ask(request, buddy.IMRemoveSessionRsp)

    def unread(self) -> message_pb.IMUnreadMsgCntRsp:
        """Ask what one has not read: a counter and the last message for each session."""
        return self.ask(message_pb.IMUnreadMsgCntReq(user_id=self.user_id), message_pb.IMUnreadMsgCntRsp)

    def messages(
        self, session_id: int, session_type: base.SessionType = SINGLE, *, msg_id_begin: int = 0, msg_cnt: int = 20
    ) -> message_pb.IMGetMsgListRsp:
        """Ask for the messages of a session from ``msg_id_begin`` downwards (0: from the newest), newest first."""
        request = message_pb.IMGetMsgListReq(
            user_id=self.user_id, session_type=session_type, session_id=session_id, msg_id_begin=msg_id_begin, msg_cnt=msg_cnt
        )
        return self.ask(request, message_pb.IMGetMsgListRsp)

    def messages_by_id(
        self, session_id: int, msg_ids: Iterable[int], session_type: base.SessionType = SINGLE
    ) -> message_pb.IMGetMsgByIdRsp:
        """Ask for messages of a session by their ids."""
        request = message_pb.IMGetMsgByIdReq(user_id=self.user_id, session_type=session_type, session_id=session_id, msg_id_list=msg_ids)
        return self.ask(request, message_pb.IMGetMsgByIdRsp)

    def latest_msg_id(self, session_id: int, session_type: base.SessionType = SINGLE) -> int:
        """Ask for the id of the last message of a session; 0 if there is none."""
        request = message_pb.IMGetLatestMsgIdReq(user_id=self.user_id, session_type=session_type, session_id=session_id)
        return self.ask(request, message_pb.IMGetLatestMsgIdRsp).latest_msg_id

    def read_ack(self, session_id: int, msg_id: int, session_type: base.SessionType = SINGLE) -> None:
        """Say that one has read a session; not answered. One's other clients are told (``IMMsgDataReadNotify``)."""
        self.send(message_pb.IMMsgDataReadAck(user_id=self.user_id, session_id=session_id, msg_id=msg_id, session_type=session_type))

    # groups

    def normal_groups(self) -> group.IMNormalGroupListRsp:
        """Ask for ids and versions of one's permanent groups."""
        return self.ask(group.IMNormalGroupListReq(user_id=self.user_id), group.IMNormalGroupListRsp)

    def group_infos(self, versions: Mapping[int, int]) -> group.IMGroupInfoListRsp:
        """Ask for groups that are newer than the version known: group id → known version (0: none)."""
        known = [base.GroupVersionInfo(group_id=group_id, version=version) for group_id, version in versions.items()]
        return self.ask(group.IMGroupInfoListReq(user_id=self.user_id, group_version_list=known), group.IMGroupInfoListRsp)

    def create_group(self, name: str, member_ids: Iterable[int], *, avatar: str = "") -> group.IMGroupCreateRsp:
        """Create a temporary group; one is a member oneself only when listed. A msg_server lets clients create no permanent ones."""
        request = group.IMGroupCreateReq(
            user_id=self.user_id, group_type=base.GROUP_TYPE_TMP, group_name=name, group_avatar=avatar, member_id_list=member_ids
        )
        return self.ask(request, group.IMGroupCreateRsp)

    def add_members(self, group_id: int, member_ids: Iterable[int]) -> group.IMGroupChangeMemberRsp:
        """Add users to a group; its members are told (``IMGroupChangeMemberNotify``). TimeoutError for an unknown group."""
        return self._change_members(group_id, member_ids, base.GROUP_MODIFY_TYPE_ADD)

    def remove_members(self, group_id: int, member_ids: Iterable[int]) -> group.IMGroupChangeMemberRsp:
        """Remove users from a group, which its creator may; they and the others are told. TimeoutError for an unknown group."""
        return self._change_members(group_id, member_ids, base.GROUP_MODIFY_TYPE_DEL)

    def _change_members(self, group_id: int, member_ids: Iterable[int], change: base.GroupModifyType) -> group.IMGroupChangeMemberRsp:
        request = group.IMGroupChangeMemberReq(user_id=self.user_id, change_type=change, group_id=group_id, member_id_list=member_ids)
        return self.ask(request, group.IMGroupChangeMemberRsp)

    def shield_group(self, group_id: int, shield_status: int = 1) -> group.IMGroupShieldRsp:
        """Mute (1) or unmute (0) a group for oneself; TimeoutError for an unknown group."""
        request = group.IMGroupShieldReq(user_id=self.user_id, group_id=group_id, shield_status=shield_status)
        return self.ask(request, group.IMGroupShieldRsp)

    # devices and files

    def set_push_shield(self, shield_status: int) -> login.IMPushShieldRsp:
        """Switch push notifications at night off (1) or on (0)."""
        return self.ask(login.IMPushShieldReq(user_id=self.user_id, shield_status=shield_status), login.IMPushShieldRsp)

    def push_shield(self) -> login.IMQueryPushShieldRsp:
        """Ask whether push notifications at night are switched off."""
        return self.ask(login.IMQueryPushShieldReq(user_id=self.user_id), login.IMQueryPushShieldRsp)

    def offline_files(self) -> file.IMFileHasOfflineRsp:
        """Ask for the files that wait for one."""
        return self.ask(file.IMFileHasOfflineReq(user_id=self.user_id), file.IMFileHasOfflineRsp)

    def kick_pc_client(self) -> login.IMKickPCClientRsp:
        """Log the user's own PC client out. Only a mobile client may; TimeoutError from another one, because a msg_server ignores that."""
        return self.ask(login.IMKickPCClientReq(user_id=self.user_id), login.IMKickPCClientRsp)
